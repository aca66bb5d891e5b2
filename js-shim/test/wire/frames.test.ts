import { expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { closeFields, decodeFrame, encodeClose, MalformedFrame } from "../../src/wire/frames.js";

test("a CLOSE fits where little is taken yet, and is not cut within a character", () => {
  const frame = encodeClose("protocol_error", `x${"𝄞".repeat(1_000_000)}`, { over: true });
  expect(frame.length).toBeLessThan(DEFAULT_LIMITS.maxGreetingBytes);
  expect(closeFields(decodeFrame(frame))).toStrictEqual([
    "protocol_error",
    `x${"𝄞".repeat(499)}`,
    { over: true },
  ]);
});

test("what is told of a malformed frame is short, whatever its keys are", () => {
  const key = Uint8Array.of(0xda, 0x3e, 0x80, ...new Uint8Array(16_000).fill(1));
  const frame = new Uint8Array((key.length + 1) * 60 + 1).fill(0xc1);
  for (let level = 0; level < 60; level++) {
    frame[level * (key.length + 1)] = 0x81;
    frame.set(key, level * (key.length + 1) + 1);
  }
  let told = "";
  try {
    decodeFrame(frame);
  } catch (error) {
    expect(error).toBeInstanceOf(MalformedFrame);
    told = (error as Error).message;
  }
  expect(told).toMatch(/^not a msgpack frame: /);
  expect(told.length).toBeLessThan(2_000);
});
