/** A program knows the kinds of values that its contracts have; others pass through it unread. */

import { beforeEach, expect, it, vi } from "vitest";

const DATE_TIME = [0xd6, 1, 0x32, 0x30, 0x32, 0x34]; // its text is none: nobody looks at it
const SET = [0xd5, 8, 0x91, 1];

let values: typeof import("../../src/wire/values.js");

beforeEach(async () => {
  vi.resetModules(); // the kinds that all tests know are those of another copy
  values = await import("../../src/wire/values.js");
});

it.each([
  ["a scalar", DATE_TIME],
  ["a container", SET],
])("leaves %s of a kind that it does not know as it is", (_, bytes) => {
  const record = Uint8Array.of(0x82, 0xa1, 0x61, ...bytes, 0xa1, 0x62, 1);
  const value = values.decode(record) as { a: unknown; b: unknown };
  expect(value.b).toBe(1);
  expect(values.encode(value)).toEqual(record);
});

it("refuses what no version of the table has", () => {
  expect(() => values.decode(Uint8Array.of(0xd4, 11, 0))).toThrow("extension type 11 is unknown");
});

it("refuses the body of an unknown kind that is cut short", () => {
  expect(() => values.decode(Uint8Array.from(DATE_TIME.slice(0, -1)))).toThrow(
    "the bytes end inside the value",
  );
});

it("reads and writes what it has come to know", async () => {
  const { sets } = await import("../../src/wire/collections.js");
  expect(() => values.encode(new Set([1]))).toThrow("Set is not a value that travels");
  values.know([sets]);
  expect(values.decode(Uint8Array.from(SET))).toEqual(new Set([1]));
  expect(values.encode(new Set([1]))).toEqual(Uint8Array.from(SET));
  expect(() => values.decode(Uint8Array.of(0xd5, 8, 0x81, 1))).toThrow("a set is one array");
});
