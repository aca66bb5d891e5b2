/**
 * msgpack, as strict as docs/protocol.md wants it (sections 1 and 10): the half that writes.
 *
 * A `Writer` knows plain values only. What is special in payloads (extension types) is in values.ts. It is meant to be kept and used
 * again: a run allocates its result and nothing else.
 */

import { MAX_DEPTH, nameOf, PROTO, Refusal, TOO_DEEP, underKey } from "./refusal.js";

const FIRST_BYTES = 4_096;
/** A buffer that grew beyond this is not kept: it becomes the result. */
const KEPT_BYTES = 1_048_576;
/** Longer text is left to the platform's coder, shorter ASCII is quicker by hand. */
const SHORT_TEXT = 48;
/** As many bytes are copied one by one, which is quicker than to ask the platform for it. */
const SHORT_COPY = 64;

/** Short results are cut from slabs: a buffer of its own costs more than writing it. */
const SLAB_BYTES = 8_192;
const LONGEST_SHARED = 512;
let slab = new Uint8Array(SLAB_BYTES);
let slabAt = 0;

function shared(length: number): Uint8Array {
  if (slabAt + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    slabAt = 0;
  }
  const start = slabAt;
  slabAt += length;
  return slab.subarray(start, slabAt);
}

const utf8Encoder = new TextEncoder();

/** Writes msgpack into a buffer that it keeps. */
export class Writer {
  // Not `Uint8Array<ArrayBuffer>`: TypeScript before 5.7, whose users read this in a .d.ts, has no such type.
  bytes: Uint8Array = new Uint8Array(FIRST_BYTES);
  view: DataView = new DataView(this.bytes.buffer);
  at = 0;

  /** Forgets what was written. */
  start(): this {
    this.at = 0;
    return this;
  }

  /**
   * What was written, with `tails` behind it, which are `size` bytes together. What is short may share its buffer with other results,
   * what is long may have one with room to spare.
   */
  finish(tails: readonly Uint8Array[] = [], size = 0): Uint8Array {
    const { bytes, at } = this;
    this.at = 0;
    if (size === 0 && bytes.length > KEPT_BYTES) {
      this.#allocate(FIRST_BYTES);
      return bytes.subarray(0, at);
    }
    const whole = at + size;
    const result = whole > LONGEST_SHARED ? new Uint8Array(whole) : shared(whole);
    if (at > SHORT_COPY) result.set(bytes.subarray(0, at));
    else for (let index = 0; index < at; index++) result[index] = bytes[index] as number;
    let end = at;
    for (const tail of tails) {
      result.set(tail, end);
      end += tail.length;
    }
    return result;
  }

  /** Any plain value; `other` gets the rest. `depth`: how many containers it is in. */
  value(value: unknown, depth = 0): void {
    switch (typeof value) {
      case "string":
        this.text(value);
        break;
      case "number":
        this.number(value);
        break;
      case "boolean":
        this.#byte(value ? 0xc3 : 0xc2);
        break;
      case "undefined":
        this.#byte(0xc0);
        break;
      case "object": {
        if (value === null) this.#byte(0xc0);
        else if (Array.isArray(value)) this.array(value, depth);
        else {
          const prototype: unknown = Object.getPrototypeOf(value);
          if (prototype === Object.prototype || prototype === null)
            this.map(value as Record<string, unknown>, depth);
          else if (prototype === Uint8Array.prototype) this.bin(value as Uint8Array);
          else this.other(value, depth);
        }
        break;
      }
      default:
        this.other(value, depth);
    }
  }

  /** What is not plain: a subclass knows more of it. */
  protected other(value: unknown, _depth: number): void {
    throw new Refusal(`${nameOf(value)} is not a value that travels`);
  }

  /** A whole number becomes an integer where it is safe to, any other a float. */
  number(value: number): void {
    if (Number.isSafeInteger(value) && !(value === 0 && 1 / value < 0)) this.integer(value);
    else {
      this.reserve(9);
      this.bytes[this.at] = 0xcb;
      this.view.setFloat64(this.at + 1, value);
      this.at += 9;
    }
  }

  /** A safe integer, in its shortest form. */
  integer(value: number): void {
    this.reserve(9);
    if (value < 0) {
      if (value >= -0x20) this.bytes[this.at++] = value;
      else this.#sized(0xd0, value, -2 * (value + 1)); // one bit is the sign's
    } else if (value < 0x80) this.bytes[this.at++] = value;
    else this.#sized(0xcc, value, value);
  }

  /** A number behind a marker, which is the next one each time that it takes twice as many bytes: 1, 2, 4, or 8 for `size`. */
  #sized(marker: number, value: number, size: number): void {
    const { bytes, view, at } = this;
    if (size < 0x100) {
      bytes[at] = marker;
      bytes[at + 1] = value;
      this.at = at + 2;
    } else if (size < 0x1_0000) {
      bytes[at] = marker + 1;
      view.setUint16(at + 1, value);
      this.at = at + 3;
    } else if (size < 0x1_0000_0000) {
      bytes[at] = marker + 2;
      view.setUint32(at + 1, value);
      this.at = at + 5;
    } else {
      bytes[at] = marker + 3;
      view.setInt32(at + 1, Math.floor(value / 0x1_0000_0000));
      view.setUint32(at + 5, value >>> 0);
      this.at = at + 9;
    }
  }

  text(value: string): void {
    const { length } = value;
    this.reserve(length * 3 + 10);
    const start = this.at;
    let at = start + textHeadLength(length); // that of ASCII; other text may need a longer one
    const { bytes } = this;
    let ascii = 0;
    if (length <= SHORT_TEXT) {
      for (; ascii < length; ascii++) {
        const unit = value.charCodeAt(ascii);
        if (unit >= 0x80) break;
        bytes[at + ascii] = unit;
      }
    }
    let written = length;
    if (ascii < length) {
      written = utf8Encoder.encodeInto(value, bytes.subarray(at)).written ?? 0;
      if (written !== length && /\p{Surrogate}/u.test(value)) throw new Refusal("text with a lone surrogate");
      const right = start + textHeadLength(written);
      if (right > at) bytes.copyWithin(right, at, at + written);
      at = right;
    }
    if (written < 0x20) bytes[start] = 0xa0 | written;
    else this.#sized(0xd9, written, written);
    this.at = at + written;
  }

  bin(value: Uint8Array): void {
    this.binHead(value.length);
    this.raw(value);
  }

  /** The beginning of a `bin` whose bytes follow. */
  binHead(length: number): void {
    this.reserve(5);
    this.#sized(0xc4, length, length);
  }

  array(value: readonly unknown[], depth: number): void {
    if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
    const { length } = value;
    this.arrayHead(length);
    let index = 0;
    try {
      for (; index < length; index++) this.value(value[index], depth + 1);
    } catch (error) {
      throw Refusal.under(error, `[${index}]`);
    }
  }

  /** The beginning of an array whose members follow. */
  arrayHead(length: number): void {
    this.reserve(5);
    if (length < 0x10) this.bytes[this.at++] = 0x90 | length;
    else this.#sized(0xdb, length, length | 0x100); // its shortest has 16 bits
  }

  /** An object; what is `undefined` in it is left out. */
  map(value: Readonly<Record<string, unknown>>, depth: number): void {
    if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
    const keys = Object.keys(value);
    let count = keys.length;
    for (const key of keys) if (value[key] === undefined) count--;
    this.reserve(5);
    if (count < 0x10) this.bytes[this.at++] = 0x80 | count;
    else this.#sized(0xdd, count, count | 0x100);
    for (const key of keys) {
      const member = value[key];
      if (member === undefined) continue;
      try {
        if (key === "__proto__") throw new Refusal(PROTO);
        this.text(key);
        this.value(member, depth + 1);
      } catch (error) {
        throw Refusal.under(error, underKey(key));
      }
    }
  }

  /** The beginning of an extension whose body follows. */
  extensionHead(code: number, length: number): void {
    this.reserve(6);
    const power = 31 - Math.clz32(length);
    if (length === 1 << power && power < 5) this.bytes[this.at++] = 0xd4 + power;
    else this.#sized(0xc7, length, length);
    this.bytes[this.at++] = code;
  }

  #byte(value: number): void {
    this.reserve(1);
    this.bytes[this.at++] = value;
  }

  /** Bytes as they are: what was encoded before. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  reserve(count: number): void {
    const needed = this.at + count;
    const { bytes } = this;
    if (needed <= bytes.length) return;
    this.#allocate(Math.max(needed + FIRST_BYTES, bytes.length * 2)); // something may follow what is large
    this.bytes.set(bytes.subarray(0, this.at));
  }

  #allocate(length: number): void {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
  }
}

function textHeadLength(length: number): number {
  return length < 0x20 ? 1 : length < 0x100 ? 2 : length < 0x1_0000 ? 3 : 5;
}
