/** A value as one text: what tests/fuzz/canonical.py writes for the same bytes. */

import { allValues } from "../../src/wire/all_values.js";
import { Decimal } from "../../src/wire/decimal.js";
import { DateTime, Duration, PlainDate, PlainTime } from "../../src/wire/times.js";
import { Uuid } from "../../src/wire/uuid.js";
import { know } from "../../src/wire/values.js";
import { toHex } from "../replay.js";

know(allValues);

const KINDS: readonly string[] = [
  "Int8Array",
  "Uint8Array",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "BigInt64Array",
  "BigUint64Array",
  "Float32Array",
  "Float64Array",
];
const utf8 = new TextEncoder();
const view = new DataView(new ArrayBuffer(8));

export function canonical(value: unknown): string {
  switch (typeof value) {
    case "number":
      return `#${numberText(value)}`;
    case "string":
      return `text ${toHex(utf8.encode(value))}`;
    case "boolean":
      return String(value);
    case "bigint":
      return `wide ${value.toString(16)}`;
  }
  if (value === null) return "nil";
  if (value instanceof DateTime) return `date_time ${value}`;
  if (value instanceof PlainDate) return `date ${value}`;
  if (value instanceof PlainTime) return `time ${value}`;
  if (value instanceof Duration) return `duration ${value.microseconds}`;
  if (value instanceof Decimal) return `decimal ${decimalText(String(value))}`;
  if (value instanceof Uuid) return `uuid ${value}`;
  if (ArrayBuffer.isView(value)) return arrayText(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(", ")}]`;
  if (value instanceof Set) return `set(${Array.from(value, canonical).sort(byBytes).join(", ")})`;
  const entries = value instanceof Map ? [...value] : Object.entries(value as object);
  const texts = entries.map(([key, part]) => `${canonical(key)}: ${canonical(part)}`);
  return `{${texts.sort(byBytes).join(", ")}}`;
}

/** All texts are ASCII, so that their units are in the order of Python's. */
function byBytes(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  view.setFloat64(0, value);
  return toHex(new Uint8Array(view.buffer));
}

function arrayText(value: ArrayBufferView): string {
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const kind = KINDS.indexOf(value.constructor.name);
  if (kind === 1) return `bytes ${toHex(bytes)}`;
  if (kind < 8) return `typed ${kind} ${toHex(bytes)}`;
  return `typed ${kind} ${Array.from(value as Float64Array, numberText).join(" ")}`;
}

/** As Python's `str(Decimal(text))`. */
function decimalText(text: string): string {
  const match = /^(-?)(?:([0-9]*)(?:\.([0-9]*))?(?:E([+-]?[0-9]+))?|(Infinity)|(s?NaN)([0-9]*))$/.exec(text);
  if (match === null) return text;
  const [, sign = "", whole = "", fraction = "", exponent = "0", infinity, nan, payload = ""] = match;
  if (infinity !== undefined) return `${sign}Infinity`;
  if (nan !== undefined) return `${sign}${nan}${payload.replace(/^0+/, "")}`;
  const digits = (whole + fraction).replace(/^0+(?=.)/, "");
  const power = Number(exponent) - fraction.length;
  const left = digits.length + power;
  if (power <= 0 && left > -6) {
    if (power === 0) return sign + digits;
    return left > 0
      ? `${sign}${digits.slice(0, left)}.${digits.slice(left)}`
      : `${sign}0.${"0".repeat(-left)}${digits}`;
  }
  const rest = digits.length > 1 ? `.${digits.slice(1)}` : "";
  return `${sign}${digits[0]}${rest}E${left - 1 >= 0 ? "+" : ""}${left - 1}`;
}
