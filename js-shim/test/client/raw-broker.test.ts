/** What a bus answers to messages that only brokers send. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MemoryListener } from "../../src/channels/memory.js";
import { type Bus, type BusOptions, createBus } from "../../src/client/bus.js";
import { ConnectionLost, InvalidPayload, type IonbusError, NotFound } from "../../src/errors.js";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { createAcceptor } from "../../src/testing/acceptor.js";
import { encodeEvent, encodeMessage } from "../../src/wire/messages.js";
import { encode } from "../../src/wire/values.js";
import { Conductor } from "../conductor.js";

const messages: (readonly unknown[])[] = [];
const refusals: IonbusError[] = [];
const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
  findHandler: (name) => new NotFound(name),
  event() {},
  other: (_seq, message) => messages.push(message) > 0,
  refused: (error) => refusals.push(error),
}));
let bus: Bus;

async function connect(options: BusOptions = {}) {
  bus = createBus({ open: new MemoryListener(acceptor.accept).open, mayRenewToken: false }, options);
  await vi.waitFor(() => expect(bus.state).toBe("open"));
  const [session] = acceptor.sessions;
  if (session === undefined) throw new Error("no session");
  return session.peer;
}

beforeEach(() => {
  messages.length = 0;
  refusals.length = 0;
});
afterEach(() => bus.close());

test("it has no description of a contract to give, and says so", async () => {
  const peer = await connect();
  peer.send(encodeMessage(Message.Describe, ["one", "two"]));
  await vi.waitFor(() => expect(messages).toHaveLength(2));
  expect(messages).toEqual([
    [Message.Description, "one"],
    [Message.Description, "two"],
  ]);
});

test("a refusal that is too large is told in short", async () => {
  const problems = Array.from({ length: 20_000 }, (_, index) => [`files[${index}]`, "is wrong"] as const);
  const peer = await connect({
    limits: { maxMessageBytes: 0 }, // the broker tells no other
    validators: { "conductor.finished": { event: () => problems } },
  });
  bus.on(Conductor.finished, () => {});
  const payload = encode({ files: 1 });
  void peer.emit(encodeEvent("conductor.finished", payload), payload.length, "session");
  await vi.waitFor(() => expect(refusals).toHaveLength(1));
  expect(refusals[0]).toBeInstanceOf(InvalidPayload);
  expect((refusals[0] as InvalidPayload).paths).toEqual([]);
});

test("a subscription is confirmed by the broker, refused by it, or closed first", async () => {
  const peer = await connect();
  bus.onError(() => {});
  const [one, other, closed, left] = ["a", "b", "c", "d"].map((word) => bus.on(`${word}.*`, () => {}));
  let isConfirmed = false;
  const confirmed = one?.confirmed().then(() => {
    isConfirmed = true;
  });
  await vi.waitFor(() => expect(messages.filter(([kind]) => kind === Message.Subscribe)).toHaveLength(4));
  expect(isConfirmed).toBe(false);
  peer.send(encodeMessage(Message.Subscribed, 1));
  peer.send(encodeMessage(Message.Subscribed, 2, "not_allowed", "b.*: not for you"));
  await confirmed;
  await expect(other?.confirmed()).rejects.toThrow("not for you");
  closed?.close();
  await expect(closed?.confirmed()).rejects.toThrow("closed before the broker confirmed it");
  await bus.close();
  await expect(left?.confirmed()).rejects.toBeInstanceOf(ConnectionLost);
  await expect(bus.on(Conductor.finished, () => {}).confirmed()).rejects.toBeInstanceOf(ConnectionLost);
});
