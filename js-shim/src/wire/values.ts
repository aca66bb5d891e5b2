/**
 * Values to bytes and back (docs/protocol.md, section 10; the table as data: schemas/values.toml), and a class for each value that
 * JavaScript lacks.
 */

import { asciiText, MAX_DEPTH, PROTO, Reader, Refusal, TOO_DEEP, underKey, Writer } from "./msgpack.js";

export { MAX_DEPTH };

/** msgpack's extension types, by the value that each carries. */
export const Extension = {
  DateTime: 1,
  Date: 2,
  Time: 3,
  Duration: 4,
  Integer: 5,
  Decimal: 6,
  Uuid: 7,
  Set: 8,
  Mapping: 9,
  TypedArray: 10,
} as const;

/** A value that cannot travel, or bytes that are not one value. */
export class ValueRefused extends Error {
  /** Where in the payload, as `flow.nodes[2].id`; "" is the whole. */
  readonly path: string;
  /** What is wrong there. */
  readonly problem: string;

  constructor(path: string, problem: string) {
    super(path === "" ? problem : `${path}: ${problem}`);
    this.name = "ValueRefused";
    this.path = path;
    this.problem = problem;
  }
}

/**
 * The bytes of one value (docs/protocol.md, section 10). They may lie in a buffer with others': do not transfer it.
 *
 * `undefined` in an object is left out, elsewhere it is `null`; a `Date` is a `DateTime` in UTC.
 *
 * @throws ValueRefused where it holds text with a lone surrogate, the key `__proto__`, nesting above 64, a cycle, or what the table does
 * not name (an instance of a class among it).
 */
export function encode(value: unknown): Uint8Array {
  const writer = idleWriter ?? new ValueWriter(); // a getter in `value` may call `encode`
  idleWriter = undefined;
  try {
    writer.start().value(value);
    return writer.finishShared();
  } catch (error) {
    throw refused(error, value);
  } finally {
    idleWriter = writer;
  }
}

/**
 * The one value that `bytes` hold (docs/protocol.md, section 10).
 *
 * A `Uint8Array` in it is a view of `bytes`: it keeps the whole frame in memory for as long as it lives. Whoever keeps a small one
 * for long calls `slice()` on it. Typed arrays are copies.
 *
 * @throws ValueRefused where they are not exactly one value of the table, or hold what a sender has to refuse.
 */
export function decode(bytes: Uint8Array): unknown {
  try {
    return valueReader.read(bytes);
  } catch (error) {
    throw refused(error);
  }
}

function refused(error: unknown, sent?: unknown): unknown {
  if (!(error instanceof Refusal)) return error;
  if (error.problem === TOO_DEEP && sent !== undefined) {
    const cycle = cyclePath(sent, []);
    if (cycle !== undefined) return new ValueRefused(cycle.replace(/^\./, ""), "refers to itself");
  }
  return new ValueRefused(error.path.replace(/^\./, ""), error.problem);
}

/** Where a value that is nested too deep holds itself. */
function cyclePath(value: unknown, open: unknown[]): string | undefined {
  if (typeof value !== "object" || value === null || open.length > MAX_DEPTH) return undefined;
  if (open.includes(value)) return "";
  const entries: Iterable<readonly [unknown, unknown]> =
    Array.isArray(value) || value instanceof Set
      ? [...value].entries()
      : value instanceof Map
        ? value
        : ArrayBuffer.isView(value)
          ? []
          : Object.entries(value);
  open.push(value);
  for (const [key, member] of entries) {
    const path = cyclePath(member, open);
    if (path !== undefined) return underKey(key) + path;
  }
  open.pop();
  return undefined;
}

// --- the values that JavaScript lacks ---------------------------------------------------------------------------

/** An extension's number and its body; by these, not by the class, so that two copies of this package agree. */
const CODE = Symbol.for("ionbus.extension.code");
const BODY = Symbol.for("ionbus.extension.body");

interface Extended {
  readonly [CODE]: number;
  readonly [BODY]: string | Uint8Array;
}

/** What is written as text. Immutable. */
abstract class Written implements Extended {
  abstract readonly [CODE]: number;
  protected readonly text: string;

  protected constructor(text: string) {
    this.text = text;
  }

  get [BODY](): string | Uint8Array {
    return this.text;
  }

  /** As it travels, and as pydantic writes it in JSON. */
  toString(): string {
    return this.text;
  }

  toJSON(): string {
    return this.text;
  }

  /** Whether `other` is the same kind of value and written the same. */
  equals(other: unknown): boolean {
    return isExtended(other) && other[CODE] === this[CODE] && String(other) === this.text;
  }
}

function isExtended(value: unknown): value is Extended {
  return (
    typeof value === "object" && value !== null && typeof (value as Partial<Extended>)[CODE] === "number"
  );
}

const CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]";
const FRACTION = "(?:\\.([0-9]{1,6}))?";
const OFFSET = "(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?";
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const TIME = new RegExp(`^(${CLOCK})${FRACTION}${OFFSET}$`);
const DATE_TIME = new RegExp(`^([0-9]{4}-[0-9]{2}-[0-9]{2})T(${CLOCK})${FRACTION}${OFFSET}$`);
const DECIMAL = /^-?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:E[+-]?[0-9]{1,4})?|Infinity|s?NaN[0-9]*)$/;
/** Bytes of an integer and characters of a decimal: what is done with a number soon costs the square of its length. */
const MAX_NUMBER_BYTES = 1_024;
const LONG_INTEGER = `an integer of more than ${MAX_NUMBER_BYTES} bytes`;
const DECIMAL_FORM = `a decimal (at most ${MAX_NUMBER_BYTES} characters, an exponent of at most four digits)`;
const LONG_DECIMAL = `a decimal of more than ${MAX_NUMBER_BYTES} characters, or with an exponent beyond ±9999`;
/** BigInts whose lowest 64 bits are the same have the same hash: looking one up goes through all of them. */
const MAX_SAME_HASH = 256;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isDate(text: string): boolean {
  const match = DATE.exec(text);
  if (match === null) return false;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (year === 0 || day === 0 || day > (DAYS[month - 1] ?? 0)) return false;
  return !(month === 2 && day === 29) || (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0));
}

/** A time of day as Python writes it, or undefined. */
function clockOf(clock: string, fraction = "", offset = ""): string {
  const six = fraction.padEnd(6, "0");
  const zero = offset === "Z" || offset === "-00:00";
  return `${clock}${six === "000000" ? "" : `.${six}`}${zero ? "+00:00" : offset}`;
}

function dateTimeOf(text: string): string | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null || !isDate(match[1] as string)) return undefined;
  return `${match[1]}T${clockOf(match[2] as string, match[3], match[4])}`;
}

function timeOf(text: string): string | undefined {
  const match = TIME.exec(text);
  return match === null ? undefined : clockOf(match[1] as string, match[2], match[3]);
}

function required(text: string | undefined, given: unknown, what: string): string {
  if (text === undefined) throw new RangeError(`${JSON.stringify(String(given))} is not ${what}`);
  return text;
}

/** A date and a time to the microsecond, with an offset from UTC or without one. Python's `datetime`. */
export class DateTime extends Written {
  get [CODE](): number {
    return Extension.DateTime;
  }

  /**
   * @param text - RFC 3339, as `2024-02-29T12:30:00.5+01:00`; without offset where it has none. At most six digits of a second.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(
      required(dateTimeOf(text), text, "a date and time (YYYY-MM-DDTHH:MM:SS, up to six decimals, offset)"),
    );
  }

  /** A `Date`, in UTC. */
  static from(date: Date): DateTime {
    return new DateTime(date.toISOString());
  }

  /** Whether it says how far from UTC it is; where it does not, it means no instant. */
  get hasOffset(): boolean {
    return /[+-][0-9]{2}:[0-9]{2}$/.test(this.text);
  }

  /** To the millisecond. Without an offset it is taken for local time, as JavaScript does everywhere. */
  toDate(): Date {
    return new Date(this.text);
  }
}

/** A day of the calendar. Python's `date`. */
export class PlainDate extends Written {
  get [CODE](): number {
    return Extension.Date;
  }

  /**
   * @param text - `YYYY-MM-DD`.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(required(isDate(text) ? text : undefined, text, "a date (YYYY-MM-DD)"));
  }

  /** `month` and `day` count from 1. */
  static of(year: number, month: number, day: number): PlainDate {
    return new PlainDate(`${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`);
  }

  get year(): number {
    return Number(this.text.slice(0, 4));
  }

  /** From 1. */
  get month(): number {
    return Number(this.text.slice(5, 7));
  }

  /** From 1. */
  get day(): number {
    return Number(this.text.slice(8, 10));
  }
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, "0");
}

/** A time of day to the microsecond, with an offset from UTC or without one. Python's `time`. */
export class PlainTime extends Written {
  get [CODE](): number {
    return Extension.Time;
  }

  /**
   * @param text - `HH:MM:SS`, with up to six decimals, with an offset where it has one.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(required(timeOf(text), text, "a time of day (HH:MM:SS, up to six decimals, offset)"));
  }

  static of(hour: number, minute: number, second = 0, microsecond = 0): PlainTime {
    return new PlainTime(
      `${digits(hour, 2)}:${digits(minute, 2)}:${digits(second, 2)}.${digits(microsecond, 6)}`,
    );
  }

  get hour(): number {
    return Number(this.text.slice(0, 2));
  }

  get minute(): number {
    return Number(this.text.slice(3, 5));
  }

  get second(): number {
    return Number(this.text.slice(6, 8));
  }

  get microsecond(): number {
    return this.text[8] === "." ? Number(this.text.slice(9, 15)) : 0;
  }
}

const MICROSECONDS_PER_DAY = 86_400_000_000n;

/** A length of time to the microsecond, at most 2^63 of them. Python's `timedelta`. Immutable. */
export class Duration implements Extended {
  readonly microseconds: bigint;

  get [CODE](): number {
    return Extension.Duration;
  }

  /** @throws RangeError where it is not a whole number within 64 bits. */
  constructor(microseconds: bigint | number) {
    this.microseconds = BigInt(microseconds);
    if (BigInt.asIntN(64, this.microseconds) !== this.microseconds) {
      throw new RangeError(`${this.microseconds} microseconds are more than 64 bits hold`);
    }
  }

  /** Rounded to the microsecond. */
  static fromMilliseconds(milliseconds: number): Duration {
    return new Duration(Math.round(milliseconds * 1_000));
  }

  toMilliseconds(): number {
    return Number(this.microseconds) / 1_000;
  }

  get [BODY](): Uint8Array {
    const body = new Uint8Array(8);
    new DataView(body.buffer).setBigInt64(0, this.microseconds);
    return body;
  }

  /** ISO 8601 with days as the largest unit, as pydantic writes it: `P1DT2H3M4.5S`. */
  toString(): string {
    const isNegative = this.microseconds < 0n;
    const all = isNegative ? -this.microseconds : this.microseconds;
    const days = all / MICROSECONDS_PER_DAY;
    const rest = Number(all % MICROSECONDS_PER_DAY);
    const seconds = Math.floor(rest / 1_000_000);
    const fraction = rest % 1_000_000;
    let clock = "";
    if (seconds >= 3_600) clock += `${Math.floor(seconds / 3_600)}H`;
    if (Math.floor(seconds / 60) % 60 > 0) clock += `${Math.floor(seconds / 60) % 60}M`;
    if (seconds % 60 > 0 || fraction > 0 || (clock === "" && days === 0n)) {
      clock += `${seconds % 60}${fraction > 0 ? `.${digits(fraction, 6).replace(/0+$/, "")}` : ""}S`;
    }
    return `${isNegative ? "-" : ""}P${days > 0n ? `${days}D` : ""}${clock === "" ? "" : `T${clock}`}`;
  }

  toJSON(): string {
    return this.toString();
  }

  equals(other: unknown): boolean {
    return isExtended(other) && other[CODE] === this[CODE] && String(other) === this.toString();
  }
}

/** A decimal number, exact. Python's `Decimal`. It is carried, not calculated with: for that, give its text to a library. */
export class Decimal extends Written {
  get [CODE](): number {
    return Extension.Decimal;
  }

  /**
   * @param value - text as Python's `str(Decimal)`, as `-1.50`, `1E+3`, `NaN`, `Infinity`; or a number, as JavaScript writes it.
   * @throws RangeError where it is none.
   */
  constructor(value: string | number | bigint) {
    const text = typeof value === "string" ? value : String(value).replace("e", "E");
    const isDecimal = text.length <= MAX_NUMBER_BYTES && DECIMAL.test(text);
    super(required(isDecimal ? text : undefined, value, DECIMAL_FORM));
  }

  /** The nearest number. */
  toNumber(): number {
    return Number(this.text.replace(/^(-?)s?NaN.*$/, "NaN"));
  }
}

/** A UUID, in lower case. */
export class Uuid extends Written {
  get [CODE](): number {
    return Extension.Uuid;
  }

  /**
   * @param text - `8-4-4-4-12` hexadecimal digits.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(required(UUID.test(text) ? text.toLowerCase() : undefined, text, "a UUID"));
  }

  /** @param bytes - 16 of them. */
  static fromBytes(bytes: Uint8Array): Uuid {
    const hex = hexOf(bytes, 0, bytes.length);
    return new Uuid(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));
  }

  toBytes(): Uint8Array {
    const hex = this.text.replace(/-/g, "");
    return Uint8Array.from({ length: 16 }, (_, index) =>
      Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
    );
  }

  override get [BODY](): Uint8Array {
    return this.toBytes();
  }
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hexOf(bytes: Uint8Array, start: number, end: number): string {
  let hex = "";
  for (let at = start; at < end; at++) hex += HEX[bytes[at] as number];
  return hex;
}

// --- bytes ------------------------------------------------------------------------------------------------------

type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/** The elements of a typed array, in the order of their numbers. */
const ELEMENTS: readonly {
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
  new (buffer: ArrayBuffer): TypedArray;
}[] = [
  Int8Array,
  Uint8Array,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
  Float32Array,
  Float64Array,
];
const ELEMENT_NUMBERS = new Map<string, number>([
  ...ELEMENTS.map(({ name }, number) => [name, number] as const),
  ["Uint8ClampedArray", 1],
]);
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Turns each element of `size` bytes round where this machine is not little-endian. */
function littleEndian(bytes: Uint8Array, size: number): Uint8Array {
  if (!IS_LITTLE_ENDIAN)
    for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  return bytes;
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** Two's complement, big-endian, shortest. */
function bytesOfBigint(value: bigint): Uint8Array {
  if (BigInt.asIntN(MAX_NUMBER_BYTES * 8, value) !== value) throw new Refusal(LONG_INTEGER);
  let length = 8;
  while (BigInt.asIntN(length * 8, value) !== value) length += 8;
  while (length > 1 && BigInt.asIntN((length - 1) * 8, value) === value) length--;
  const hex = BigInt.asUintN(length * 8, value)
    .toString(16)
    .padStart(length * 2, "0");
  return Uint8Array.from({ length }, (_, index) => Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16));
}

class ValueWriter extends Writer {
  protected override other(value: unknown, depth: number): void {
    if (typeof value === "bigint") {
      if (value >= -MAX_SAFE && value <= MAX_SAFE) this.integer(Number(value));
      else this.extension(Extension.Integer, bytesOfBigint(value));
      return;
    }
    if (isExtended(value)) {
      const body = value[BODY];
      if (typeof body === "string") this.textExtension(value[CODE], body);
      else this.extension(value[CODE], body);
      return;
    }
    // By its tag, since it may come from another realm, where the classes are others.
    const tag = typeof value === "object" ? Object.prototype.toString.call(value).slice(8, -1) : "";
    switch (tag) {
      case "Set":
        this.container(Extension.Set, () => this.array([...(value as Set<unknown>)], depth));
        break;
      case "Map":
        this.container(Extension.Mapping, () => this.mapping(value as Map<unknown, unknown>, depth));
        break;
      case "Date":
        this.textExtension(Extension.DateTime, dateText(value as Date));
        break;
      case "Uint8Array":
        this.bin(value as Uint8Array);
        break;
      default:
        if (ArrayBuffer.isView(value) && ELEMENT_NUMBERS.has(tag)) {
          this.typedArray(ELEMENT_NUMBERS.get(tag) as number, value);
        } else if (tag === "Object" && isRootPrototype(Object.getPrototypeOf(value))) {
          this.map(value as Record<string, unknown>, depth);
        } else super.other(value, depth);
    }
  }

  private extension(code: number, body: Uint8Array): void {
    this.extensionHead(code, body.length);
    this.raw(body);
  }

  private textExtension(code: number, text: string): void {
    this.extensionHead(code, text.length);
    this.reserve(text.length);
    for (let index = 0; index < text.length; index++) this.bytes[this.at++] = text.charCodeAt(index);
  }

  private typedArray(number: number, value: ArrayBufferView): void {
    const body = new Uint8Array(value.byteLength + 1);
    body[0] = number;
    const elements = body.subarray(1);
    elements.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    littleEndian(elements, (ELEMENTS[number] as { BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT);
    this.extension(Extension.TypedArray, body);
  }

  /** An extension whose length is known only once its body is written: the body moves back to where the head ends. */
  private container(code: number, write: () => void): void {
    const start = this.at;
    this.reserve(6);
    this.at += 6;
    write();
    const end = this.at;
    this.at = start;
    this.extensionHead(code, end - start - 6);
    this.bytes.copyWithin(this.at, start + 6, end);
    this.at += end - start - 6;
  }

  private mapping(value: Map<unknown, unknown>, depth: number): void {
    if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
    this.arrayHead(value.size * 2);
    for (const [key, member] of value) {
      try {
        if (key === "__proto__") throw new Refusal(PROTO);
        this.value(key, depth + 1);
        this.value(member, depth + 1);
      } catch (error) {
        throw Refusal.under(error, underKey(key));
      }
    }
  }
}

function dateText(date: Date): string {
  const text = Number.isNaN(date.getTime()) ? undefined : dateTimeOf(date.toISOString());
  if (text === undefined) throw new Refusal("a Date outside the years 1 to 9999");
  return text;
}

function isRootPrototype(prototype: object): boolean {
  return Object.getPrototypeOf(prototype) === null;
}

const ODD = "a mapping is one array of keys and values";

class ValueReader extends Reader {
  protected override extension(code: number, length: number, depth: number): unknown {
    switch (code) {
      case Extension.DateTime:
        return this.written(length, DateTime, "not a date and time");
      case Extension.Date:
        return this.written(length, PlainDate, "not a date");
      case Extension.Time:
        return this.written(length, PlainTime, "not a time of day");
      case Extension.Duration:
        if (length !== 8) throw new Refusal(`a duration has 8 bytes, not ${length}`);
        return new Duration(BigInt.asIntN(64, BigInt(`0x${this.hex(8)}`)));
      case Extension.Integer:
        return this.bigint(length);
      case Extension.Decimal:
        if (length > MAX_NUMBER_BYTES) throw new Refusal(LONG_DECIMAL);
        return this.written(length, Decimal, "not a decimal");
      case Extension.Uuid:
        if (length !== 16) throw new Refusal(`a UUID has 16 bytes, not ${length}`);
        return Uuid.fromBytes(this.bin(16));
      case Extension.Set:
        return this.set(length, depth);
      case Extension.Mapping:
        return this.mapping(length, depth);
      case Extension.TypedArray:
        return this.typedArray(length);
      default:
        throw new Refusal(`extension type ${code} is unknown`);
    }
  }

  private written<T>(length: number, kind: new (text: string) => T, problem: string): T {
    const start = this.take(length);
    const text = asciiText(this.bytes, start, this.at);
    try {
      if (text !== undefined) return new kind(text);
    } catch {
      // RangeError: below
    }
    throw new Refusal(problem);
  }

  private hex(length: number): string {
    const start = this.take(length);
    return hexOf(this.bytes, start, this.at);
  }

  private bigint(length: number): bigint {
    if (length > MAX_NUMBER_BYTES) throw new Refusal(LONG_INTEGER);
    const number = length === 0 ? 0n : BigInt.asIntN(length * 8, BigInt(`0x${this.hex(length)}`));
    const isShortest = length < 2 || BigInt.asIntN((length - 1) * 8, number) !== number;
    if ((number >= -MAX_SAFE && number <= MAX_SAFE) || !isShortest) {
      throw new Refusal("an integer in a longer form than it needs");
    }
    return number;
  }

  private typedArray(length: number): TypedArray {
    const start = this.take(length);
    const kind = length === 0 ? undefined : ELEMENTS[this.bytes[start] as number];
    if (kind === undefined || (length - 1) % kind.BYTES_PER_ELEMENT !== 0)
      throw new Refusal("not a typed array");
    const elements = this.bytes.slice(start + 1, this.at); // a copy, since elements need their alignment
    return new kind(littleEndian(elements, kind.BYTES_PER_ELEMENT).buffer as ArrayBuffer);
  }

  /** Reads an extension's body, which is one array: `read` is called where its length is due, and ends where the body does. */
  private container<T>(length: number, depth: number, problem: string, read: () => T): T {
    const outerEnd = this.end;
    this.end = this.at + length;
    const head = this.at < this.end ? (this.bytes[this.at] as number) : 0;
    if (!((head >= 0x90 && head < 0xa0) || head === 0xdc || head === 0xdd)) throw new Refusal(problem);
    if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
    const value = read();
    if (this.at !== this.end) throw new Refusal(`${this.end - this.at} bytes follow the value`);
    this.end = outerEnd;
    return value;
  }

  private set(length: number, depth: number): Set<unknown> {
    const members = this.container(length, depth, "a set is one array", () => this.value(depth) as unknown[]);
    checkHashes(members);
    const distinct = new Set(members);
    if (distinct.size !== members.length) throw new Refusal("two members of the set are equal");
    return distinct;
  }

  private mapping(length: number, depth: number): Map<unknown, unknown> {
    const keys: unknown[] = [];
    const members: unknown[] = [];
    this.container(length, depth, ODD, () => this.entries(keys, members, depth + 1));
    if (keys.length !== members.length) throw new Refusal(ODD);
    checkHashes(keys);
    const mapping = new Map<unknown, unknown>();
    for (let index = 0; index < keys.length; index++) mapping.set(keys[index], members[index]);
    if (mapping.size !== keys.length) throw new Refusal("two keys of the mapping are equal");
    return mapping;
  }

  /** Reads the keys and values of a mapping. */
  private entries(keys: unknown[], members: unknown[], depth: number): void {
    const count = this.arrayLength();
    for (let index = 0; index < count; index += 2) {
      const key = this.value(depth);
      keys.push(key);
      try {
        if (key === "__proto__") throw new Refusal(PROTO);
        if (index + 1 < count) members.push(this.value(depth));
      } catch (error) {
        throw Refusal.under(error, underKey(key));
      }
    }
  }
}

/** Refuses members of a set, or keys of a mapping, that were chosen so that looking them up takes for ever. */
function checkHashes(members: readonly unknown[]): void {
  if (members.length <= MAX_SAME_HASH) return;
  const counts = new Map<bigint, number>();
  for (const member of members) {
    if (typeof member !== "bigint") continue;
    const hash = BigInt.asUintN(64, member);
    const count = (counts.get(hash) ?? 0) + 1;
    if (count > MAX_SAME_HASH)
      throw new Refusal(`more than ${MAX_SAME_HASH} members or keys have the same hash`);
    counts.set(hash, count);
  }
}

let idleWriter: ValueWriter | undefined = new ValueWriter();
const valueReader = new ValueReader();
