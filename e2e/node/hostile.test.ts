/** Clients that break the wire's rules: each is told so and closed, and a decent client beside them notices nothing. */
import { randomBytes } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import { connect } from "ionbus";
import { afterAll, beforeAll, expect, test } from "vitest";
import WebSocket from "ws";
import { Lab } from "../page/lab.js";
import { type ServedBroker, startBroker } from "../support/broker.js";

let broker: ServedBroker;

beforeAll(async () => {
  broker = await startBroker();
  globalThis.lab = new Lab(connect({ url: broker.url, token: broker.token }));
});
afterAll(async () => {
  await lab?.bus.close();
  await broker?.stop();
});

type Frame = [kind: number, ...fields: unknown[]];

interface Conversation {
  /** What the broker sent. */
  readonly received: Frame[];
  /** How it closed the WebSocket. */
  readonly closeCode: number;
  readonly reason: string;
}

/** Send what is given, then wait for the broker to close. */
function converse(...frames: (Frame | Uint8Array | string)[]): Promise<Conversation> {
  const socket = new WebSocket(broker.url, "ionbus.v1");
  const received: Frame[] = [];
  return new Promise((resolve, reject) => {
    socket.on("open", () => {
      for (const frame of frames) socket.send(Array.isArray(frame) ? encode(frame) : frame);
    });
    socket.on("message", (data: Buffer) => received.push(decode(data) as Frame));
    socket.on("close", (closeCode, reason) => resolve({ received, closeCode, reason: String(reason) }));
    socket.on("error", reject);
  });
}

function hello(changes: Record<string, unknown> = {}): Frame {
  return [
    1,
    {
      protocol: 1,
      agent: "hostile",
      session: randomBytes(16),
      secret: randomBytes(32),
      attempt: 1,
      received: 0,
      credit: [1_000_000, 1000],
      token: broker.token,
      ...changes,
    },
  ];
}

function nested(depth: number): Uint8Array {
  return Buffer.concat([Buffer.alloc(depth, 0x91), Buffer.from([0xc0])]);
}

test.each<[string, string, () => (Frame | Uint8Array)[]]>([
  ["no msgpack at all", "protocol_error", () => [Buffer.from([0xc1, 0xff])]],
  ["a truncated HELLO", "protocol_error", () => [encode(hello()).slice(0, 40)]],
  ["anything before HELLO", "protocol_error", () => [[6, 1]]],
  ["a HELLO with fields of a wrong type", "protocol_error", () => [hello({ session: "me" })]],
  ["protocol version 0", "protocol_error", () => [hello({ protocol: 0 })]],
  ["a second HELLO", "protocol_error", () => [hello(), hello()]],
  ["a frame that is too deep", "protocol_error", () => [hello(), nested(5000)]],
  ["a sequence number from nowhere", "protocol_error", () => [hello(), [0, 7, 0, [12, 1]]]],
  ["an ack of what was never sent", "protocol_error", () => [hello(), [4, 99]]],
  ["a message of a wrong shape", "protocol_error", () => [hello(), [0, 1, 0, [2, "one", 2, 3]]]],
  [
    "an answer to what was never asked",
    "protocol_error",
    () => [hello(), [0, 1, 0, [3, 5, Buffer.from([0xc0])]]],
  ],
])("%s is told and closed", async (_, code, frames) => {
  const { received } = await converse(...frames());
  expect(received.at(-1)?.slice(0, 3)).toEqual([3, code, expect.stringMatching(/\w+ \w+/)]);
  expect(await lab.bus.call(lab.Probe.add, { a: 1, b: 1 })).toBe(2);
});

// What the WebSocket itself notices is told in its own way (docs/protocol.md, section 9).
test.each<[string, number, () => (Frame | Uint8Array | string)[]]>([
  ["a text message", 1003, () => ["hello"]],
  ["a large frame before WELCOME", 1009, () => [Buffer.alloc(20_000)]],
  ["a frame above 1 MiB", 1009, () => [hello(), Buffer.alloc(1_100_000)]],
])("%s closes the WebSocket", async (_, expected, frames) => {
  const { closeCode, reason } = await converse(...frames());
  expect(closeCode).toBe(expected);
  expect(reason).toMatch(/\w+ \w+/);
  expect(await lab.bus.call(lab.Probe.add, { a: 1, b: 1 })).toBe(2);
});

test("a decent client has noticed nothing of all this", async () => {
  expect(await lab.bus.call(lab.Probe.add, { a: 1, b: 1 })).toBe(2);
  expect(lab.changes.map(({ to }) => to)).toEqual(["open"]);
});
