/**
 * Filters over payloads, as plain data (docs/aggregation.md, docs/protocol.md, section 5.2).
 *
 * The broker fits a filter to the event's schema and applies it. `predicate` is for the fake broker: it says the same of the same data, but knows
 * no schema: it fits a value to what it is compared with.
 */

import { Decimal } from "../wire/decimal.js";
import { isSame } from "../wire/same.js";
import { DateTime, Duration, PlainDate, PlainTime } from "../wire/times.js";
import { Uuid } from "../wire/uuid.js";

type Dated = DateTime | PlainDate | PlainTime;
/** What a field is compared with. */
export type Scalar =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Dated
  | Duration
  | Decimal
  | Uuid;
type Collection = readonly unknown[] | ReadonlySet<unknown> | ReadonlyMap<unknown, unknown> | ArrayBufferView;

/** The names of a payload's fields, with dots between those inside one another; five deep. */
export type PathOf<Payload, Deep extends readonly 0[] = []> = unknown extends Payload
  ? string
  : Payload extends Scalar | undefined | Collection
    ? Deep extends []
      ? ""
      : never
    : Payload extends object
      ? {
          [Name in keyof Payload & string]-?:
            | Name
            | (Deep["length"] extends 4 ? never : `${Name}.${PathOf<Payload[Name], [...Deep, 0]>}`);
        }[keyof Payload & string]
      : never;

/** What a field may be. */
type ValueAt<Payload, Path extends string> = unknown extends Payload
  ? Scalar
  : Path extends ""
    ? Payload
    : Payload extends null | undefined
      ? null
      : Path extends `${infer Name}.${infer Rest}`
        ? Name extends keyof Payload
          ? ValueAt<Payload[Name], Rest>
          : never
        : Path extends keyof Payload
          ? Payload[Path]
          : never;

/** What a field of this type is compared with: dates and the like with their text too, durations with seconds. */
type Compared<Value> = Value extends undefined
  ? null
  : Value extends Dated | Decimal | Uuid
    ? Value | string
    : Value extends Duration
      ? Value | number
      : Extract<Value, Scalar>;

type Comparison<Path extends string, Value> =
  | readonly [path: Path, op: "==" | "!=", value: Value]
  | readonly [path: Path, op: "<" | "<=" | ">" | ">=", value: Exclude<Value, null | boolean | Uint8Array>]
  | readonly [path: Path, op: "in", values: readonly Value[]];

type Condition<Payload> = {
  [Path in PathOf<Payload>]: Comparison<Path, Compared<ValueAt<Payload, Path>>>;
}[PathOf<Payload>];

/** Which payloads are wanted: `["percent", ">=", 50]`, and `all`, `any` and `not` of such. */
export type Filter<Payload = unknown> =
  | Condition<Payload>
  | { readonly all: readonly Filter<Payload>[] }
  | { readonly any: readonly Filter<Payload>[] }
  | { readonly not: Filter<Payload> };

/** Make what tells whether a payload passes. @throws TypeError it is no filter. */
export function predicate(filter: Filter<never> | Filter): (payload: unknown) => boolean {
  const given: unknown = filter;
  if (Array.isArray(given) && given.length === 3) return comparison(given[0], given[1], given[2]);
  const [entry, ...others] = typeof given === "object" && given !== null ? Object.entries(given) : [];
  if (entry !== undefined && others.length === 0) {
    const [join, parts] = entry;
    if (join === "not") {
      const test = predicate(parts);
      return (payload) => !test(payload);
    }
    if ((join === "all" || join === "any") && Array.isArray(parts) && parts.length > 0) {
      const tests = parts.map(predicate);
      return join === "all"
        ? (payload) => tests.every((test) => test(payload))
        : (payload) => tests.some((test) => test(payload));
    }
  }
  throw new TypeError(
    `where: a filter is [path, operator, value], { all: […] }, { any: […] } or { not: … }, not ${String(given)}`,
  );
}

/** Make what finds a field's value; null where there is none. */
export function valueAt(path: string): (payload: unknown) => unknown {
  const names = path === "" ? [] : path.split(".");
  return (payload) => {
    let value: unknown = payload;
    for (const name of names) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
      if (!Object.hasOwn(value, name)) return null;
      value = Reflect.get(value, name);
    }
    return value ?? null;
  };
}

function comparison(path: unknown, op: unknown, value: unknown): (payload: unknown) => boolean {
  if (typeof path !== "string")
    throw new TypeError(`where: a path is field names with dots between them, not ${String(path)}`);
  const find = valueAt(path);
  if (op === "in") {
    if (!Array.isArray(value)) throw new TypeError("where: `in` takes a list of values");
    return (payload) => {
      const found = find(payload);
      return value.some((each) => isEqual(found, each));
    };
  }
  if (op === "==") return (payload) => isEqual(find(payload), value);
  if (op === "!=") return (payload) => !isEqual(find(payload), value);
  const test = ORDERS[String(op)];
  if (test === undefined)
    throw new TypeError(`where: ${String(op)} is no operator; one of == != < <= > >= in`);
  return (payload) => {
    const [one, other] = comparable(find(payload), value);
    return one !== undefined && other !== undefined && test(one, other);
  };
}

type Ordered = number | bigint | string;

const ORDERS: Readonly<Record<string, ((one: Ordered, other: Ordered) => boolean) | undefined>> = {
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
};

/** Whether a field holds a filter's value: numbers, instants and the like by what they say, not by how they are written. */
function isEqual(found: unknown, value: unknown): boolean {
  const [one, other] = comparable(found, value);
  if (one === undefined || other === undefined) return isSame(found, fitted(found, value));
  return one <= other && one >= other; // a bigint and a number too
}

/** A field and a filter's value as what can be compared: numbers, or texts; undefined where they are of two kinds. */
function comparable(found: unknown, value: unknown): readonly [Ordered | undefined, Ordered | undefined] {
  const wanted = fitted(found, value);
  const [one, other] = [ordered(found), ordered(wanted)];
  return kindOf(found) === kindOf(wanted) ? [one, other] : [undefined, undefined];
}

/** Only values of one kind are compared. */
function kindOf(value: unknown): unknown {
  if (typeof value === "bigint") return "number";
  if (value instanceof DateTime) return value.hasOffset;
  return typeof value === "object" && value !== null ? Object.getPrototypeOf(value) : typeof value;
}

/** A filter's value as the broker fits it to a field that holds this: text to a date, seconds to a duration. */
function fitted(found: unknown, value: unknown): unknown {
  try {
    if (found instanceof Duration && typeof value === "number")
      return Duration.fromMilliseconds(value * 1_000);
    if (found instanceof Decimal && (typeof value === "number" || typeof value === "bigint"))
      return new Decimal(value);
    if (typeof value === "string")
      for (const Kind of [DateTime, PlainDate, PlainTime, Decimal, Uuid])
        if (found instanceof Kind) return new Kind(value);
  } catch {} // it is none
  return value;
}

function ordered(value: unknown): Ordered | undefined {
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value === "string") return value.replace(/[\ud800-\uffff]/g, swapped);
  if (value instanceof Duration) return value.microseconds;
  if (value instanceof Decimal) return value.toNumber();
  if (value instanceof DateTime) return microsecondsOf(value);
  return value instanceof PlainDate || value instanceof PlainTime ? String(value) : undefined;
}

/** Text is compared by its characters, as Python does: those beyond U+FFFF, which JavaScript writes as two, come last. */
function swapped(unit: string): string {
  const code = unit.charCodeAt(0);
  return String.fromCharCode(code < 0xe000 ? code + 0x2000 : code - 0x800);
}

/** Since 1970; a time without an offset is compared with its like alone. */
function microsecondsOf(at: DateTime): number {
  const text = String(at);
  const inMilliseconds = Date.parse(at.hasOffset ? text : `${text}Z`);
  return Math.floor(inMilliseconds) * 1_000 + Number(/\.\d{3}(\d{3})/.exec(text)?.[1] ?? 0);
}
