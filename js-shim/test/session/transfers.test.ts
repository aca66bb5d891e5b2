import { expect, test } from "vitest";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { Session } from "../../src/session/session.js";
import { Incoming, Receiving } from "../../src/session/transfers.js";
import { encodeData, MalformedFrame } from "../../src/wire/frames.js";
import { encodeMessage } from "../../src/wire/messages.js";

test("parts of a message do not keep the frames that they came in", () => {
  const receiving = new Receiving(300_000, 300_000);
  const frame = new Uint8Array(1_048_576).fill(7);
  for (let at = 0; at < 300_000; at += 1_000) receiving.add(frame.subarray(at, at + 1_000));
  expect(receiving.bytes).toStrictEqual(new Uint8Array(300_000).fill(7));
  expect(receiving.bytes.buffer.byteLength).toBe(300_000);
});

test("a message in tiny parts is put together", () => {
  const session = new Session({ ...DEFAULT_LIMITS, transferThresholdBytes: 100 });
  session.attach(0, [0, 0], 0);
  const message = encodeMessage(Message.Result, 1, new Uint8Array(200).fill(1));
  let seq = 0;
  for (let at = 0; at < message.length; at++) {
    const part = message.subarray(at, at + 1);
    const element =
      at === 0
        ? encodeMessage(Message.Begin, 1, message.length, part)
        : encodeMessage(Message.Chunk, 1, part);
    const arrivals = session.receiveBytes(encodeData(++seq, 0, [element], 1), 0);
    expect(arrivals).toHaveLength(at === message.length - 1 ? 1 : 0);
  }
  expect(session.heldBytes).toBe(session.queuedMessageBytes);
});

test("transfers that wait are counted and bounded, and end in any order", () => {
  const limits = { ...DEFAULT_LIMITS, maxRequests: 10 };
  const incoming = new Incoming(limits);
  for (let number = 1; number <= 20; number++) {
    incoming.begin(number, limits.maxMessageBytes, Uint8Array.of(1));
  }
  expect(() => incoming.begin(21, limits.maxMessageBytes, Uint8Array.of(1))).toThrow(MalformedFrame);
  expect(incoming.heldBytes).toBe(20 * 257);
  for (let number = 20; number > 0; number--) incoming.abort(number);
  expect(incoming.heldBytes).toBe(0);
  expect(incoming.replies).toHaveLength(2); // the two that there was room for
});
