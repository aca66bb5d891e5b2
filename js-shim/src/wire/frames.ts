/** Frames to bytes and back (docs/protocol.md, section 3). */

import * as Frame from "../generated/frame.js";
import { DEFAULT_LIMITS } from "../generated/protocol.js";
import { Reader } from "./reader.js";
import { Refusal } from "./refusal.js";
import { Writer } from "./writer.js";

/** The largest number, id or total on the wire. */
export const MAX_UINT = Number.MAX_SAFE_INTEGER;

/** How deep a frame's reader goes; what is too deep for a message is told where the message is checked. */
const READER_DEPTH = 512;

/** Levels of arrays and maps in a frame. */
const MAX_DEPTH = DEFAULT_LIMITS.maxFrameDepth;

/** Units of CLOSE's message: it may repeat what the other side sent, and has to fit where little is taken yet. */
const LONGEST_REASON = 1_000;

/** Units of the path to what is wrong in a frame. */
const LONGEST_PATH = 200;

const writer = new Writer();

/** Bytes that are no frame, or a frame whose fields are not what section 3 says. The text says what and where. */
export class MalformedFrame extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedFrame";
  }
}

/** A float in a frame: no field of a frame or message is one, and none is to be taken for an integer. */
export class Real {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

class FrameReader extends Reader {
  protected override real(value: number): Real {
    return new Real(value);
  }

  protected override safe(value: number): number {
    return value; // where it matters `isUint` refuses it
  }

  protected override extension(code: number, _length: number, _depth: number): never {
    throw new Refusal(`extension type ${code} outside a payload`);
  }

  protected override proto(depth: number): void {
    this.value(depth + 1); // a key that nobody knows is ignored
  }
}

const reader = new FrameReader(READER_DEPTH);

/** A DATA frame of `count` elements that were encoded before. */
export function encodeData(
  firstSeq: number,
  ack: number,
  elements: readonly Uint8Array[],
  count: number,
): Uint8Array {
  let size = 0;
  for (const element of elements) size += element.length;
  writer.start().arrayHead(count + 3);
  writer.integer(Frame.Data);
  writer.integer(firstSeq);
  writer.integer(ack);
  return writer.finish(elements, size);
}

/** Any other frame. */
export function encodeControl(kind: number, ...fields: readonly unknown[]): Uint8Array {
  writer.start().value([kind, ...fields]);
  return writer.finish();
}

/** CLOSE; `options` are `final`, `over`, `retry_after` (section 9). */
export function encodeClose(
  code: string,
  message: string,
  options: Readonly<Record<string, unknown>> = {},
): Uint8Array {
  const reason = shortened(message, LONGEST_REASON);
  const isEmpty = Object.keys(options).length === 0;
  return isEmpty
    ? encodeControl(Frame.Close, code, reason)
    : encodeControl(Frame.Close, code, reason, options);
}

/** The first `longest` units of a text, and no half of a character behind them. */
export function shortened(text: string, longest: number): string {
  if (text.length <= longest) return text;
  return text.slice(0, longest).replace(/[\uD800-\uDBFF]$/, "");
}

/**
 * The frame as an array, its kind first; elements are arrays whose payloads are views of `frame`.
 *
 * @throws MalformedFrame where it is not msgpack, cut short, too deep, or no array that starts with a kind.
 */
export function decodeFrame(frame: Uint8Array): unknown[] {
  let decoded: unknown;
  try {
    decoded = reader.read(frame);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const where = error.path === "" ? "" : `${shortened(error.path, LONGEST_PATH)}: `;
    throw new MalformedFrame(`not a msgpack frame: ${where}${error.message}`);
  }
  if (!Array.isArray(decoded) || !isUint(decoded[0])) {
    throw new MalformedFrame("a frame is an array that starts with its kind");
  }
  if (decoded[0] !== Frame.Data && isDeeperThan(decoded, MAX_DEPTH)) {
    throw new MalformedFrame(`nests more than ${MAX_DEPTH} levels`); // elements are checked one by one
  }
  return decoded;
}

/** Whether `value` is a non-negative integer that fits. */
export function isUint(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_UINT;
}

/**
 * The first `count` fields of a control frame, all of them uint.
 *
 * @throws MalformedFrame where one is missing or is no uint.
 */
export function uintFields(frame: readonly unknown[], count: number): readonly number[] {
  const fields = frame.slice(1, 1 + count);
  if (fields.length < count || !fields.every(isUint)) {
    throw new MalformedFrame(`frame kind ${frame[0]} needs ${count} unsigned integers`);
  }
  return fields as number[];
}

/**
 * Code, message and options of CLOSE.
 *
 * @throws MalformedFrame where a field is missing or of the wrong type.
 */
export function closeFields(
  frame: readonly unknown[],
): [code: string, message: string, options: Record<string, unknown>] {
  const [, code, message] = frame;
  if (typeof code !== "string" || typeof message !== "string") {
    throw new MalformedFrame("CLOSE needs a code and a message");
  }
  const options = frame[3] ?? {};
  if (!isMap(options)) throw new MalformedFrame("CLOSE: options are a map");
  return [code, message, options];
}

/**
 * The map of HELLO or WELCOME.
 *
 * @throws MalformedFrame where there is none.
 */
export function greetingMap(frame: readonly unknown[]): Record<string, unknown> {
  const greeting = frame[1];
  if (!isMap(greeting)) throw new MalformedFrame("HELLO and WELCOME hold one map");
  return greeting;
}

/** Whether a part of a decoded frame is a map. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** Whether arrays and maps in `value` nest more than `limit` levels. */
export function isDeeperThan(value: unknown, limit: number): boolean {
  if (!Array.isArray(value) && !isMap(value)) return false;
  if (limit === 0) return true;
  for (const part of items(value)) if (isDeeperThan(part, limit - 1)) return true;
  return false;
}

function items(part: unknown[] | Record<string, unknown>): unknown[] {
  return Array.isArray(part) ? part : Object.values(part);
}
