/**
 * msgpack, as strict as docs/protocol.md wants it (sections 1 and 10): the half that reads.
 *
 * A `Reader` knows plain values only. What is special in payloads (extension types) is in values.ts, what is special in frames is in
 * frames.ts. It is meant to be kept and used again: a run allocates its result and nothing else.
 */

import { DEFAULT_LIMITS } from "../generated/protocol.js";
import { MAX_DEPTH, PROTO, Refusal, TOO_DEEP, underKey } from "./refusal.js";

const MAX_VALUES = DEFAULT_LIMITS.maxPayloadValues;
const CUT = "the bytes end inside the value";
/** Longer text is left to the platform's coder, shorter ASCII is quicker by hand. */
const SHORT_TEXT = 48;
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const NO_BYTES = new Uint8Array(0);
const KEY_SLOTS = 512;
const LONGEST_CACHED_KEY = 32;
/** In fewer bytes a float is read without a DataView of them. */
const WORTH_A_VIEW = 256;

/** Reads msgpack. `bin` comes out as a view of what is read, not as a copy. */
export class Reader {
  bytes: Uint8Array = NO_BYTES;
  at = 0;
  end = 0;
  #left = 0; // values that may still come: one may be a single byte, and a hundred in memory
  #view: DataView | undefined = undefined;
  readonly #maxDepth: number;
  readonly #scratch = new DataView(new ArrayBuffer(8));
  readonly #keys: (string | undefined)[] = new Array<string | undefined>(KEY_SLOTS).fill(undefined);

  constructor(maxDepth = MAX_DEPTH) {
    this.#maxDepth = maxDepth;
  }

  /** The one value that `bytes` hold. */
  read(bytes: Uint8Array): unknown {
    // A Buffer of Node.js would give views that are Buffers again.
    this.bytes =
      bytes.constructor === Uint8Array
        ? bytes
        : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.end = bytes.length;
    this.#left = MAX_VALUES + 1; // the whole is none of them
    try {
      const value = this.value(0);
      if (this.at !== this.end) throw new Refusal(`${this.end - this.at} bytes follow the value`);
      return value;
    } finally {
      this.bytes = NO_BYTES;
      this.#view = undefined;
    }
  }

  value(depth: number): unknown {
    if (this.at >= this.end) throw new Refusal(CUT);
    if (--this.#left < 0) throw new Refusal(`more than ${MAX_VALUES} values`);
    const head = this.bytes[this.at++] as number;
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.map(head & 0x0f, depth);
    if (head < 0xa0) return this.array(head & 0x0f, depth);
    if (head < 0xc0) return this.#text(head & 0x1f);
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return this.real(this.#float32());
      case 0xcb:
        return this.real(this.#float64());
      case 0xcf: {
        const high = this.#uint(2);
        return this.safe(high * 0x1_0000_0000 + this.#uint(2));
      }
      case 0xd0:
        return (this.#uint(0) << 24) >> 24;
      case 0xd1:
        return (this.#uint(1) << 16) >> 16;
      case 0xd2:
        return this.#uint(2) | 0;
      case 0xd3: {
        const high = this.#uint(2) | 0;
        return this.safe(high * 0x1_0000_0000 + this.#uint(2));
      }
    }
    if (head < 0xc4) throw new Refusal("the byte 0xc1 begins no value");
    if (head < 0xc7) return this.bin(this.#uint(head - 0xc4));
    if (head < 0xca) return this.#extended(this.#uint(head - 0xc7), depth);
    if (head < 0xcf) return this.#uint(head - 0xcc);
    if (head < 0xd9) return this.#extended(1 << (head - 0xd4), depth);
    if (head < 0xdc) return this.#text(this.#uint(head - 0xd9));
    if (head < 0xde) return this.array(this.#uint(head - 0xdb), depth);
    return this.map(this.#uint(head - 0xdd), depth);
  }

  #float32(): number {
    this.#scratch.setUint32(0, this.#uint(2));
    return this.#scratch.getFloat32(0);
  }

  #float64(): number {
    const start = this.take(8);
    const { bytes } = this;
    if (this.#view === undefined) {
      if (bytes.length < WORTH_A_VIEW) {
        for (let index = 0; index < 8; index++) this.#scratch.setUint8(index, bytes[start + index] as number);
        return this.#scratch.getFloat64(0);
      }
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.#view.getFloat64(start);
  }

  /** A float: frames tell it from an integer. */
  protected real(value: number): unknown {
    return value;
  }

  /** An integer of 64 bits. */
  protected safe(value: number): number {
    if (!Number.isSafeInteger(value)) throw new Refusal("an integer outside ±(2^53 - 1)");
    return value;
  }

  /** An extension's body begins at `at` and is `length` bytes long; it is consumed by moving `at`. */
  protected extension(code: number, _length: number, _depth: number): unknown {
    throw new Refusal(`extension type ${code} is unknown`);
  }

  #extended(length: number, depth: number): unknown {
    const code = (this.#uint(0) << 24) >> 24;
    if (this.at + length > this.end) throw new Refusal(CUT);
    return this.extension(code, length, depth);
  }

  bin(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.subarray(start, this.at);
  }

  #text(length: number): string {
    const start = this.take(length);
    if (length <= SHORT_TEXT) {
      const text = asciiText(this.bytes, start, this.at);
      if (text !== undefined) return text;
    }
    try {
      return utf8Decoder.decode(this.bytes.subarray(start, this.at));
    } catch {
      throw new Refusal("text that is not UTF-8");
    }
  }

  protected array(length: number, depth: number): unknown[] {
    if (depth === this.#maxDepth) throw new Refusal(TOO_DEEP);
    const members: unknown[] = [];
    let index = 0;
    try {
      for (; index < length; index++) members.push(this.value(depth + 1));
    } catch (error) {
      throw Refusal.under(error, `[${index}]`);
    }
    return members;
  }

  /** The length of the array that is due: its head is known to be there. */
  arrayLength(): number {
    const head = this.#uint(0);
    return head < 0xdc ? head & 0x0f : this.#uint(head - 0xdb);
  }

  protected map(length: number, depth: number): Record<string, unknown> {
    if (depth === this.#maxDepth) throw new Refusal(TOO_DEEP);
    const members: Record<string, unknown> = {};
    for (let index = 0; index < length; index++) {
      const key = this.#key();
      if (key === "__proto__") {
        this.proto(depth);
        continue;
      }
      try {
        members[key] = this.value(depth + 1);
      } catch (error) {
        throw Refusal.under(error, underKey(key));
      }
    }
    return members;
  }

  /** The key `__proto__` was read. */
  protected proto(_depth: number): void {
    throw Refusal.under(new Refusal(PROTO), ".__proto__");
  }

  #key(): string {
    if (this.at >= this.end) throw new Refusal(CUT);
    const head = this.bytes[this.at++] as number;
    let length: number;
    if (head >= 0xa0 && head < 0xc0) length = head & 0x1f;
    else if (head >= 0xd9 && head < 0xdc) length = this.#uint(head - 0xd9);
    else throw new Refusal("a key that is not text");
    if (length > LONGEST_CACHED_KEY || this.at + length > this.end) return this.#text(length);
    const { bytes, at } = this;
    let hash = length;
    for (let index = at; index < at + length; index++)
      hash = (Math.imul(hash, 31) + (bytes[index] as number)) | 0;
    const slot = hash & (KEY_SLOTS - 1);
    const cached = this.#keys[slot];
    if (cached !== undefined && cached.length === length) {
      let index = 0;
      while (index < length && cached.charCodeAt(index) === bytes[at + index]) index++;
      if (index === length) {
        this.at += length;
        return cached;
      }
    }
    const key = this.#text(length);
    if (key.length === length) this.#keys[slot] = key; // only ASCII has as many bytes as units
    return key;
  }

  take(length: number): number {
    const start = this.at;
    if (start + length > this.end) throw new Refusal(CUT);
    this.at = start + length;
    return start;
  }

  /** An unsigned integer of 8, 16 or 32 bits, by the `power` of two that its bytes are. */
  #uint(power: number): number {
    const { bytes } = this;
    const at = this.take(1 << power);
    if (power === 0) return bytes[at] as number;
    const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    if (power === 1) return high;
    return ((high << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
  }
}

/** Text that is ASCII; undefined where it is not. */
export function asciiText(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = "";
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const a = bytes[at] as number;
    const b = bytes[at + 1] as number;
    const c = bytes[at + 2] as number;
    const d = bytes[at + 3] as number;
    if ((a | b | c | d) >= 0x80) return undefined;
    text += String.fromCharCode(a, b, c, d);
  }
  for (; at < end; at++) {
    const a = bytes[at] as number;
    if (a >= 0x80) return undefined;
    text += String.fromCharCode(a);
  }
  return text;
}
