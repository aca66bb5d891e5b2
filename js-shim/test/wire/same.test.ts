import { expect, it } from "vitest";
import { Decimal } from "../../src/wire/decimal.js";
import { isSame } from "../../src/wire/same.js";
import { DateTime, Duration } from "../../src/wire/times.js";

const at = (text: string): DateTime => new DateTime(text);

it.each([
  [Number.NaN, Number.NaN],
  [3, 3n],
  [3n, 3],
  [[], []],
  [{ a: [1, { b: null }] }, { a: [1, { b: null }] }],
  [new Uint8Array([1, 2]), new Uint8Array([1, 2])],
  [at("2026-01-02T00:00:00Z"), at("2026-01-02T00:00:00Z")],
  [new Decimal("1.5"), new Decimal("1.5")],
  [new Duration(5), new Duration(5)],
  [new Set([1, 2]), new Set([2, 1])],
  [new Map([["a", [1]]]), new Map([["a", [1]]])],
])("%o is the same as %o", (one, other) => {
  expect(isSame(one, other)).toBe(true);
});

it.each([
  [1.5, 1n],
  [1n, 1.5],
  [1, true],
  [null, undefined],
  [null, {}],
  [[1], { 0: 1 }],
  [{ a: undefined }, { b: undefined }],
  [new Uint8Array([1]), new Uint8Array([2])],
  [at("2026-01-02T00:00:00Z"), at("2026-01-02T00:00:01Z")],
  [new Set([1]), new Set([2])],
  [new Map([["a", 1]]), new Map([["a", 2]])],
])("%o is not the same as %o", (one, other) => {
  expect(isSame(one, other)).toBe(false);
});
