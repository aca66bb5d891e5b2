import { expect, test } from "vitest";
import { Listeners } from "../../src/dispatch/listeners.js";
import { kept } from "../../src/wire/kept.js";

test("a small part of a frame is copied, so that the frame is let go of", () => {
  const frame = new Uint8Array(1_000).map((_, index) => index % 251);
  const small = kept(frame.subarray(10, 20));
  expect(small).toEqual(frame.slice(10, 20));
  expect(small.buffer.byteLength).toBe(10);
});

test("of Node.js's buffers, too, whose slice is a view", () => {
  expect(kept(Buffer.alloc(1_000).subarray(10, 20)).buffer.byteLength).toBe(10);
});

test("most of a frame is not copied", () => {
  const frame = new Uint8Array(1_000);
  expect(kept(frame.subarray(10)).buffer).toBe(frame.buffer);
});

test("an event that waits for its listener does not keep its frame", async () => {
  const sizes: number[] = [];
  let end = (): void => {};
  const listeners = new Listeners(
    1,
    () => {},
    () => {},
  );
  const target = {
    isOpen: true,
    decode: (_: string, payload: Uint8Array) => sizes.push(payload.buffer.byteLength),
    hand: () => new Promise<void>((resolve) => (end = resolve)),
  };
  const payload = new Uint8Array(1_000).subarray(10, 20);
  listeners.arrive(1, "demo.Ticked", payload, [target]);
  listeners.arrive(2, "demo.Ticked", payload, [target]);
  end();
  await new Promise(setImmediate);
  expect(sizes).toEqual([1_000, 10]);
});
