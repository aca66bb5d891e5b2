/**
 * msgpack, as strict as docs/protocol.md wants it (sections 1 and 10): what the `msgpack` package is on the Python side.
 *
 * `Writer` and `Reader` know plain values only. What is special in payloads (extension types) is in values.ts, what is special in
 * frames is in frames.ts. Both are meant to be kept and used again: a run allocates its result and nothing else.
 */

import { DEFAULT_LIMITS } from "../generated/protocol.js";

export const MAX_DEPTH = 64;
const MAX_VALUES = DEFAULT_LIMITS.maxPayloadValues;
export const TOO_DEEP = `nested more than ${MAX_DEPTH} deep`;
export const LONE_SURROGATE = "text with a lone surrogate";
export const PROTO = "the key `__proto__` is not allowed";
const CUT = "the bytes end inside the value";

/** A writer or reader met what it refuses; every container that it leaves adds its part of the path. */
export class Refusal extends Error {
  readonly problem: string;
  path = "";

  constructor(problem: string) {
    super(problem);
    this.problem = problem;
  }

  /** Puts a segment in front of the path; gives back what is to be thrown on. */
  static under(error: unknown, segment: string): unknown {
    if (error instanceof Refusal) error.path = segment + error.path;
    return error;
  }
}

/** Characters of a key that are shown in a path. */
const LONGEST_KEY = 64;
const PLAIN_KEY = /^[A-Za-z_$][A-Za-z0-9_$]*$/;

/** The segment of a path for what is under a key. */
export function underKey(key: unknown): string {
  if (typeof key === "string") {
    const shown = shortened(key);
    return PLAIN_KEY.test(shown) ? `.${shown}` : `[${JSON.stringify(shown)}]`;
  }
  return typeof key === "bigint" || Number.isSafeInteger(key) ? `[${key}]` : "[key]";
}

function shortened(key: string): string {
  if (key.length <= LONGEST_KEY) return key;
  const characters = Array.from(key.slice(0, 2 * LONGEST_KEY + 2)); // whole ones, though not each is one unit long
  return characters.length > LONGEST_KEY ? `${characters.slice(0, LONGEST_KEY).join("")}…` : key;
}

const FIRST_BYTES = 4_096;
/** A buffer that grew beyond this is not kept. */
const KEPT_BYTES = 1_048_576;
/** Longer text is left to the platform's coder, shorter ASCII is quicker by hand. */
const SHORT_TEXT = 48;
const SURROGATES = /\p{Surrogate}/u;

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
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes msgpack into a buffer that it keeps. */
export class Writer {
  // Not `Uint8Array<ArrayBuffer>`: TypeScript before 5.7, whose users read this in a .d.ts, has no such type.
  bytes: Uint8Array = new Uint8Array(FIRST_BYTES);
  protected view: DataView = new DataView(this.bytes.buffer);
  at = 0;

  /** Forgets what was written. */
  start(): this {
    this.at = 0;
    return this;
  }

  /** What was written, as bytes of their own that cover their whole buffer. */
  finish(): Uint8Array {
    const result = this.bytes.slice(0, this.at);
    this.at = 0;
    if (this.bytes.length > KEPT_BYTES) this.allocate(FIRST_BYTES);
    return result;
  }

  /** The same, but what is short may share its buffer with other results: for what is copied into a frame later. */
  finishShared(): Uint8Array {
    if (this.at > LONGEST_SHARED) return this.finish();
    const result = shared(this.at);
    for (let index = 0; index < this.at; index++) result[index] = this.bytes[index] as number;
    this.at = 0;
    return result;
  }

  /** What was written with `tail` behind it; as `finishShared`. */
  finishSharedWith(tail: Uint8Array): Uint8Array {
    const size = this.at + tail.length;
    const result = size > LONGEST_SHARED ? new Uint8Array(size) : shared(size);
    for (let index = 0; index < this.at; index++) result[index] = this.bytes[index] as number; // a head is short
    result.set(tail, this.at);
    this.at = 0;
    return result;
  }

  /** As `finish`, with `tails` behind it, which are `size` bytes together. */
  finishWith(tails: readonly Uint8Array[], size: number): Uint8Array {
    const result = new Uint8Array(this.at + size);
    for (let index = 0; index < this.at; index++) result[index] = this.bytes[index] as number; // a head is short
    let at = this.at;
    for (const tail of tails) {
      result.set(tail, at);
      at += tail.length;
    }
    this.at = 0;
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
        this.byte(value ? 0xc3 : 0xc2);
        break;
      case "undefined":
        this.byte(0xc0);
        break;
      case "object": {
        if (value === null) this.byte(0xc0);
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
    const { bytes, view, at } = this;
    if (value >= 0) {
      if (value < 0x80) {
        bytes[at] = value;
        this.at = at + 1;
      } else if (value < 0x100) {
        bytes[at] = 0xcc;
        bytes[at + 1] = value;
        this.at = at + 2;
      } else if (value < 0x1_0000) {
        bytes[at] = 0xcd;
        view.setUint16(at + 1, value);
        this.at = at + 3;
      } else if (value < 0x1_0000_0000) {
        bytes[at] = 0xce;
        view.setUint32(at + 1, value);
        this.at = at + 5;
      } else {
        bytes[at] = 0xcf;
        this.integer64(value);
      }
    } else if (value >= -0x20) {
      bytes[at] = value + 0x100;
      this.at = at + 1;
    } else if (value >= -0x80) {
      bytes[at] = 0xd0;
      bytes[at + 1] = value + 0x100;
      this.at = at + 2;
    } else if (value >= -0x8000) {
      bytes[at] = 0xd1;
      view.setInt16(at + 1, value);
      this.at = at + 3;
    } else if (value >= -0x8000_0000) {
      bytes[at] = 0xd2;
      view.setInt32(at + 1, value);
      this.at = at + 5;
    } else {
      bytes[at] = 0xd3;
      this.integer64(value);
    }
  }

  private integer64(value: number): void {
    this.view.setInt32(this.at + 1, Math.floor(value / 0x1_0000_0000));
    this.view.setUint32(this.at + 5, value >>> 0);
    this.at += 9;
  }

  text(value: string): void {
    const length = value.length;
    this.reserve(length * 3 + 10);
    const head = textHeadLength(length); // that of ASCII; other text may need a longer one
    let at = this.at + head;
    if (length <= SHORT_TEXT) {
      const { bytes } = this;
      let index = 0;
      for (; index < length; index++) {
        const unit = value.charCodeAt(index);
        if (unit >= 0x80) break;
        bytes[at++] = unit;
      }
      if (index === length) {
        this.textHead(length);
        this.at = at;
        return;
      }
    }
    at = this.at + head;
    const written = utf8Encoder.encodeInto(value, this.bytes.subarray(at)).written ?? 0;
    if (written !== length && SURROGATES.test(value)) throw new Refusal(LONE_SURROGATE);
    const longer = textHeadLength(written) - head;
    if (longer > 0) this.bytes.copyWithin(at + longer, at, at + written);
    this.textHead(written);
    this.at += written;
  }

  private textHead(length: number): void {
    const { bytes, at } = this;
    if (length < 0x20) {
      bytes[at] = 0xa0 | length;
      this.at = at + 1;
    } else if (length < 0x100) {
      bytes[at] = 0xd9;
      bytes[at + 1] = length;
      this.at = at + 2;
    } else this.longHead(0xda, length);
  }

  bin(value: Uint8Array): void {
    this.binHead(value.length);
    this.reserve(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  /** The beginning of a `bin` whose bytes follow. */
  binHead(length: number): void {
    this.reserve(5);
    if (length < 0x100) {
      this.bytes[this.at] = 0xc4;
      this.bytes[this.at + 1] = length;
      this.at += 2;
    } else this.longHead(0xc5, length);
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
    else this.longHead(0xdc, length);
  }

  /** An object; what is `undefined` in it is left out. */
  map(value: Readonly<Record<string, unknown>>, depth: number): void {
    if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
    const keys = Object.keys(value);
    let count = keys.length;
    for (const key of keys) if (value[key] === undefined) count--;
    this.mapHead(count);
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

  private mapHead(length: number): void {
    this.reserve(5);
    if (length < 0x10) this.bytes[this.at++] = 0x80 | length;
    else this.longHead(0xde, length);
  }

  /** The beginning of an extension whose body follows. */
  extensionHead(code: number, length: number): void {
    this.reserve(6);
    const { bytes } = this;
    if (length === 1 || length === 2 || length === 4 || length === 8 || length === 16) {
      bytes[this.at++] = 0xd4 + (31 - Math.clz32(length));
    } else if (length < 0x100) {
      bytes[this.at] = 0xc7;
      bytes[this.at + 1] = length;
      this.at += 2;
    } else this.longHead(0xc8, length);
    bytes[this.at++] = code;
  }

  /** A head whose length takes 16 bits, or with the next marker 32. */
  private longHead(marker: number, length: number): void {
    if (length < 0x1_0000) {
      this.bytes[this.at] = marker;
      this.view.setUint16(this.at + 1, length);
      this.at += 3;
    } else {
      this.bytes[this.at] = marker + 1;
      this.view.setUint32(this.at + 1, length);
      this.at += 5;
    }
  }

  protected byte(value: number): void {
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
    if (this.at + count > this.bytes.length) this.grow(this.at + count);
  }

  private grow(needed: number): void {
    const old = this.bytes.subarray(0, this.at);
    this.allocate(Math.max(needed, this.bytes.length * 2));
    this.bytes.set(old);
  }

  private allocate(length: number): void {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
  }
}

function textHeadLength(length: number): number {
  return length < 0x20 ? 1 : length < 0x100 ? 2 : length < 0x1_0000 ? 3 : 5;
}

/** What a value is called in an error. */
export function nameOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  const maker: unknown = (value as { constructor?: unknown }).constructor;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "an object";
}

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
  private left = 0; // values that may still come: one may be a single byte, and a hundred in memory
  private view: DataView | undefined = undefined;
  private readonly maxDepth: number;
  private readonly scratch = new DataView(new ArrayBuffer(8));
  private readonly keys: (string | undefined)[] = new Array<string | undefined>(KEY_SLOTS).fill(undefined);

  constructor(maxDepth = MAX_DEPTH) {
    this.maxDepth = maxDepth;
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
    this.left = MAX_VALUES + 1; // the whole is none of them
    try {
      const value = this.value(0);
      if (this.at !== this.end) throw new Refusal(`${this.end - this.at} bytes follow the value`);
      return value;
    } finally {
      this.bytes = NO_BYTES;
      this.view = undefined;
    }
  }

  value(depth: number): unknown {
    if (this.at >= this.end) throw new Refusal(CUT);
    if (--this.left < 0) throw new Refusal(`more than ${MAX_VALUES} values`);
    const head = this.bytes[this.at++] as number;
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.map(head & 0x0f, depth);
    if (head < 0xa0) return this.array(head & 0x0f, depth);
    if (head < 0xc0) return this.text(head & 0x1f);
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.bin(this.uint8());
      case 0xc5:
        return this.bin(this.uint16());
      case 0xc6:
        return this.bin(this.uint32());
      case 0xc7:
        return this.extended(this.uint8(), depth);
      case 0xc8:
        return this.extended(this.uint16(), depth);
      case 0xc9:
        return this.extended(this.uint32(), depth);
      case 0xca:
        return this.real(this.float32());
      case 0xcb:
        return this.real(this.float64());
      case 0xcc:
        return this.uint8();
      case 0xcd:
        return this.uint16();
      case 0xce:
        return this.uint32();
      case 0xcf: {
        const high = this.uint32();
        return this.safe(high * 0x1_0000_0000 + this.uint32());
      }
      case 0xd0:
        return (this.uint8() << 24) >> 24;
      case 0xd1:
        return (this.uint16() << 16) >> 16;
      case 0xd2:
        return this.uint32() | 0;
      case 0xd3: {
        const high = this.uint32() | 0;
        return this.safe(high * 0x1_0000_0000 + this.uint32());
      }
      case 0xd4:
        return this.extended(1, depth);
      case 0xd5:
        return this.extended(2, depth);
      case 0xd6:
        return this.extended(4, depth);
      case 0xd7:
        return this.extended(8, depth);
      case 0xd8:
        return this.extended(16, depth);
      case 0xd9:
        return this.text(this.uint8());
      case 0xda:
        return this.text(this.uint16());
      case 0xdb:
        return this.text(this.uint32());
      case 0xdc:
        return this.array(this.uint16(), depth);
      case 0xdd:
        return this.array(this.uint32(), depth);
      case 0xde:
        return this.map(this.uint16(), depth);
      case 0xdf:
        return this.map(this.uint32(), depth);
      default:
        throw new Refusal("the byte 0xc1 begins no value");
    }
  }

  private float32(): number {
    this.scratch.setUint32(0, this.uint32());
    return this.scratch.getFloat32(0);
  }

  private float64(): number {
    const start = this.take(8);
    const { bytes } = this;
    if (this.view === undefined) {
      if (bytes.length < WORTH_A_VIEW) {
        for (let index = 0; index < 8; index++) this.scratch.setUint8(index, bytes[start + index] as number);
        return this.scratch.getFloat64(0);
      }
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.view.getFloat64(start);
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

  private extended(length: number, depth: number): unknown {
    const code = (this.uint8() << 24) >> 24;
    if (this.at + length > this.end) throw new Refusal(CUT);
    return this.extension(code, length, depth);
  }

  bin(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.subarray(start, this.at);
  }

  private text(length: number): string {
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
    if (depth === this.maxDepth) throw new Refusal(TOO_DEEP);
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
    const head = this.uint8();
    return head === 0xdc ? this.uint16() : head === 0xdd ? this.uint32() : head & 0x0f;
  }

  protected map(length: number, depth: number): Record<string, unknown> {
    if (depth === this.maxDepth) throw new Refusal(TOO_DEEP);
    const members: Record<string, unknown> = {};
    for (let index = 0; index < length; index++) {
      const key = this.key();
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

  private key(): string {
    if (this.at >= this.end) throw new Refusal(CUT);
    const head = this.bytes[this.at++] as number;
    let length: number;
    if (head >= 0xa0 && head < 0xc0) length = head & 0x1f;
    else if (head === 0xd9) length = this.uint8();
    else if (head === 0xda) length = this.uint16();
    else if (head === 0xdb) length = this.uint32();
    else throw new Refusal("a key that is not text");
    if (length > LONGEST_CACHED_KEY || this.at + length > this.end) return this.text(length);
    const { bytes, at } = this;
    let hash = length;
    for (let index = at; index < at + length; index++)
      hash = (Math.imul(hash, 31) + (bytes[index] as number)) | 0;
    const slot = hash & (KEY_SLOTS - 1);
    const cached = this.keys[slot];
    if (cached !== undefined && cached.length === length) {
      let index = 0;
      while (index < length && cached.charCodeAt(index) === bytes[at + index]) index++;
      if (index === length) {
        this.at += length;
        return cached;
      }
    }
    const key = this.text(length);
    if (key.length === length) this.keys[slot] = key; // only ASCII has as many bytes as units
    return key;
  }

  take(length: number): number {
    const start = this.at;
    if (start + length > this.end) throw new Refusal(CUT);
    this.at = start + length;
    return start;
  }

  protected uint8(): number {
    return this.bytes[this.take(1)] as number;
  }

  private uint16(): number {
    const start = this.take(2);
    return ((this.bytes[start] as number) << 8) | (this.bytes[start + 1] as number);
  }

  private uint32(): number {
    const start = this.take(4);
    const { bytes } = this;
    return (
      (((bytes[start] as number) << 24) |
        ((bytes[start + 1] as number) << 16) |
        ((bytes[start + 2] as number) << 8) |
        (bytes[start + 3] as number)) >>>
      0
    );
  }
}

/** Text that is ASCII; undefined where it is not. */
export function asciiText(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = "";
  let at = start;
  for (; at + 8 <= end; at += 8) {
    const a = bytes[at] as number;
    const b = bytes[at + 1] as number;
    const c = bytes[at + 2] as number;
    const d = bytes[at + 3] as number;
    const e = bytes[at + 4] as number;
    const f = bytes[at + 5] as number;
    const g = bytes[at + 6] as number;
    const h = bytes[at + 7] as number;
    if ((a | b | c | d | e | f | g | h) >= 0x80) return undefined;
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  for (; at + 2 <= end; at += 2) {
    const a = bytes[at] as number;
    const b = bytes[at + 1] as number;
    if ((a | b) >= 0x80) return undefined;
    text += String.fromCharCode(a, b);
  }
  if (at < end) {
    const a = bytes[at] as number;
    if (a >= 0x80) return undefined;
    text += String.fromCharCode(a);
  }
  return text;
}
