/**
 * Values to bytes and back (docs/protocol.md, section 10; the table as data: schemas/values.toml).
 *
 * What msgpack lacks travels as extension types. A program holds the code of those kinds alone that its contracts have: the descriptors
 * carry them, and `know` makes them known. What is of another kind nobody in the program can ask for; it is left unread.
 */

import * as Extension from "../generated/extension.js";
import { toHex } from "./hex.js";
import { Reader } from "./reader.js";
import { MAX_DEPTH, Refusal, TOO_DEEP, underKey } from "./refusal.js";
import { Writer } from "./writer.js";

export { MAX_DEPTH };

/** What it takes to read the values of one extension type, and to write those that are JavaScript's own. */
export interface ValueKind<Value = unknown> {
  readonly code: number;
  /** What `Object.prototype.toString` calls JavaScript's own, without "[object ]". */
  readonly tags?: readonly string[];
  /** Take the body, which begins where `reader` is and is all there. @throws Refusal */
  read(reader: Reader, length: number, depth: number): Value;
  /** @throws Refusal */
  write?(writer: ValueWriter, value: Value, tag: string, depth: number): void;
}

/** Integers beyond those that JavaScript's numbers hold: any number may be one. */
const wideIntegers: ValueKind<bigint> = {
  code: Extension.WideInteger,
  read(reader, length) {
    if (length > MAX_NUMBER_BYTES) throw new Refusal(LONG_INTEGER);
    const number = integerOf(reader, length);
    const isShortest = length < 2 || BigInt.asIntN((length - 1) * 8, number) !== number;
    if (isSafe(number) || !isShortest) throw new Refusal("an integer in a longer form than it needs");
    return number;
  },
};

const BY_CODE = new Map<number, ValueKind>([[Extension.WideInteger, wideIntegers]]);
const BY_TAG = new Map<string, ValueKind>();

/** From now on such values are read and written. What is known stays: another copy of the package may have made the descriptor. */
export function know(kinds: readonly ValueKind[] = []): void {
  for (const kind of kinds) {
    if (BY_CODE.has(kind.code)) continue;
    BY_CODE.set(kind.code, kind);
    for (const tag of kind.tags ?? []) BY_TAG.set(tag, kind);
  }
}

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
    return writer.finish();
  } catch (error) {
    throw refused(error, value);
  } finally {
    idleWriter = writer;
  }
}

/**
 * The one value that `bytes` hold (docs/protocol.md, section 10).
 *
 * A `Uint8Array` in it is a view of `bytes`: it keeps all that was read with it in memory for as long as it lives. Whoever keeps a small one
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
  if (error.message === TOO_DEEP && sent !== undefined) {
    const cycle = cyclePath(sent, []);
    if (cycle !== undefined) return new ValueRefused(cycle.replace(/^\./, ""), "refers to itself");
  }
  return new ValueRefused(error.path.replace(/^\./, ""), error.message);
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

/** An extension's number and its body; by these, not by the class, so that two copies of this package agree. */
export const CODE: unique symbol = Symbol.for("ionbus.extension.code");
export const BODY: unique symbol = Symbol.for("ionbus.extension.body");

export interface Extended {
  readonly [CODE]: number;
  readonly [BODY]: string | Uint8Array;
}

export function isExtended(value: unknown): value is Extended {
  return (
    typeof value === "object" && value !== null && typeof (value as Partial<Extended>)[CODE] === "number"
  );
}

/** A value of a kind that is not known here: it can be sent on as it came. */
class Unread implements Extended {
  readonly [CODE]: number;
  readonly [BODY]: Uint8Array;

  constructor(code: number, body: Uint8Array) {
    this[CODE] = code;
    this[BODY] = body;
  }
}

/** Bytes of an integer and characters of a decimal: what is done with a number soon costs the square of its length. */
export const MAX_NUMBER_BYTES = 1_024;
const LONG_INTEGER = `an integer of more than ${MAX_NUMBER_BYTES} bytes`;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function isSafe(value: bigint): boolean {
  return value >= -MAX_SAFE && value <= MAX_SAFE;
}

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

/** Takes an integer of `length` bytes, in two's complement, big-endian. */
export function integerOf(reader: Reader, length: number): bigint {
  const start = reader.take(length);
  return length === 0 ? 0n : BigInt.asIntN(length * 8, BigInt(`0x${toHex(reader.bytes, start, reader.at)}`));
}

export class ValueWriter extends Writer {
  protected override other(value: unknown, depth: number): void {
    if (typeof value === "bigint") {
      if (isSafe(value)) this.integer(Number(value));
      else this.extension(Extension.WideInteger, bytesOfBigint(value));
      return;
    }
    if (isExtended(value)) {
      const body = value[BODY];
      if (typeof body === "string") this.#textExtension(value[CODE], body);
      else this.extension(value[CODE], body);
      return;
    }
    // By its tag, since it may come from another realm, where the classes are others.
    const tag = typeof value === "object" ? Object.prototype.toString.call(value).slice(8, -1) : "";
    const kind = BY_TAG.get(tag);
    if (kind?.write !== undefined) kind.write(this, value, tag, depth);
    else if (tag === "Date") this.#textExtension(Extension.DateTime, dateText(value as Date));
    else if (tag === "Uint8Array") this.bin(value as Uint8Array);
    else if (tag === "Object" && isRootPrototype(Object.getPrototypeOf(value)))
      this.map(value as Record<string, unknown>, depth);
    else super.other(value, depth);
  }

  extension(code: number, body: Uint8Array): void {
    this.extensionHead(code, body.length);
    this.raw(body);
  }

  #textExtension(code: number, text: string): void {
    this.extensionHead(code, text.length);
    this.reserve(text.length);
    for (let index = 0; index < text.length; index++) this.bytes[this.at++] = text.charCodeAt(index);
  }
}

/** In UTC, as Python writes it. */
function dateText(date: Date): string {
  const text = Number.isNaN(date.getTime()) ? "" : date.toISOString();
  if (!/^(?!0000)\d{4}-/.test(text)) throw new Refusal("a Date outside the years 1 to 9999");
  return text.replace(/(?:\.000|(\.\d+))Z$/, (_, fraction) => `${fraction ? `${fraction}000` : ""}+00:00`);
}

function isRootPrototype(prototype: object): boolean {
  return Object.getPrototypeOf(prototype) === null;
}

class ValueReader extends Reader {
  protected override extension(code: number, length: number, depth: number): unknown {
    const kind = BY_CODE.get(code);
    if (kind !== undefined) return kind.read(this, length, depth);
    if (code < Extension.DateTime || code > Extension.TypedArray)
      throw new Refusal(`extension type ${code} is unknown`);
    return new Unread(code, this.bin(length));
  }
}

let idleWriter: ValueWriter | undefined = new ValueWriter();
const valueReader = new ValueReader();
