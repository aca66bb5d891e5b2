import { MessageChannel as NodeMessageChannel } from "node:worker_threads";
import { describe, expect, it, vi } from "vitest";
import type { Receiver } from "../../src/channels/base.js";
import { CLOSED, ownBuffer, type PortLike, portChannel } from "../../src/channels/port.js";
import { createBus } from "../../src/client/bus.js";
import { serve } from "../../src/dispatch/answer.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { createAcceptor } from "../../src/testing/acceptor.js";
import { Conductor } from "../conductor.js";

const KINDS: [name: string, pair: () => { port1: PortLike; port2: PortLike }][] = [
  ["a page's", () => new MessageChannel()],
  ["Node.js's", () => new NodeMessageChannel()],
];

function hear(): Receiver & { frames: Uint8Array[]; ends: unknown[] } {
  const frames: Uint8Array[] = [];
  const ends: unknown[] = [];
  return {
    frames,
    ends,
    frameReceived: (frame) => frames.push(frame),
    writable() {},
    closed: (...end) => ends.push(end),
  };
}

describe.each(KINDS)("%s port", (_, pair) => {
  it("moves frames", async () => {
    const { port1, port2 } = pair();
    const [one, two] = [hear(), hear()];
    const [a, b] = [portChannel(port1, one), portChannel(port2, two)];
    a.send(new Uint8Array([1, 2]));
    b.send(new Uint8Array([3]));
    await vi.waitUntil(() => one.frames.length === 1 && two.frames.length === 1);
    expect(two.frames).toEqual([new Uint8Array([1, 2])]);
    expect(one.frames).toEqual([new Uint8Array([3])]);
    a.close();
    await vi.waitUntil(() => two.ends.length > 0);
    expect(two.ends).toEqual([[false, "connection_lost", "the other end of the port is gone"]]);
    expect(one.ends).toEqual([]);
  });

  it("ends on what is no frame, and on a frame above the bound", async () => {
    for (const [sent, code] of [
      [{ no: "frame" }, "protocol_error"],
      [new Uint8Array(20_000), "too_large"],
    ] as const) {
      const { port1, port2 } = pair();
      const heard = hear();
      portChannel(port1, heard);
      const other = hear();
      portChannel(port2, other);
      port2.postMessage(sent);
      await vi.waitUntil(() => heard.ends.length > 0);
      expect(heard.ends).toMatchObject([[false, code, expect.any(String)]]);
      expect(heard.frames).toEqual([]);
      await vi.waitUntil(() => other.ends.length > 0);
    }
  });
});

it("carries a bus", async () => {
  const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
    findHandler: (name) => ({
      kind: "call",
      name,
      raises: [],
      serve,
      decodeRequest: () => null,
      encodeAnswer: () => new Uint8Array([0xc0]),
      run: () => null,
    }),
    event() {},
    other: () => true,
    refused() {},
  }));
  const bus = createBus({
    mayRenewToken: false,
    async open(receiver) {
      const { port1, port2 } = new MessageChannel();
      let at: Receiver | undefined;
      const broker = portChannel(port2, {
        frameReceived: (frame) => at?.frameReceived(frame),
        writable() {},
        closed: (...end) => at?.closed(...end),
      });
      at = acceptor.accept(broker, { role: "window" });
      return { channel: portChannel(port1, receiver) };
    },
  });
  await expect(bus.call(Conductor.ping)).resolves.toBeNull();
  await bus.close();
});

it("copies a view of a larger buffer, and nothing else", () => {
  const whole = new Uint8Array(8);
  expect(ownBuffer(whole)).toBe(whole);
  const part = whole.subarray(2, 4);
  expect(ownBuffer(part).buffer.byteLength).toBe(2);
  expect(CLOSED).toBe("closed");
});
