/** Messages to bytes and back (docs/protocol.md, section 5). A payload is bytes here, never decoded. */

import * as Message from "../generated/message.js";
import { FIELDS, type Limits } from "../generated/protocol.js";
import { decodeFrame, isDeeperThan, isMap, isUint, MalformedFrame } from "./frames.js";
import { Writer } from "./writer.js";

export type Name = string | number;
export type Options = Readonly<Record<string, unknown>>;

const writer = new Writer();

/** Any message from its fields; fields at the end that are `undefined` or `null` are left out. */
export function encodeMessage(kind: number, ...fields: readonly unknown[]): Uint8Array {
  let end = fields.length;
  while (end > 0 && (fields[end - 1] ?? undefined) === undefined) end--;
  writer.start().arrayHead(end + 1);
  writer.integer(kind);
  for (let index = 0; index < end; index++) writer.value(fields[index], 1);
  return writer.finish();
}

/** EVENT. */
export function encodeEvent(name: Name, payload: Uint8Array, options?: Options): Uint8Array {
  writer.start().arrayHead(options === undefined ? 3 : 4);
  writer.integer(Message.Event);
  writer.value(name, 1);
  return withPayload(payload, options);
}

/** CALL; `request` is its id. */
export function encodeCall(request: number, name: Name, payload: Uint8Array, options?: Options): Uint8Array {
  writer.start().arrayHead(options === undefined ? 4 : 5);
  writer.integer(Message.Call);
  writer.integer(request);
  writer.value(name, 1);
  return withPayload(payload, options);
}

/** RESULT of the call with this id. */
export function encodeResult(request: number, payload: Uint8Array): Uint8Array {
  writer.start().arrayHead(3);
  writer.integer(Message.Result);
  writer.integer(request);
  return withPayload(payload, undefined);
}

/** ITEM of the stream with this id. */
export function encodeItem(request: number, payload: Uint8Array): Uint8Array {
  writer.start().arrayHead(3);
  writer.integer(Message.Item);
  writer.integer(request);
  return withPayload(payload, undefined);
}

/** BEGIN of a transfer of `total` bytes, or CHUNK of the one with this number, without the `length` bytes that are its last field. */
export function encodePartHead(transfer: number, length: number, total: number | undefined): Uint8Array {
  writer.start().arrayHead(total === undefined ? 3 : 4);
  writer.integer(total === undefined ? Message.Chunk : Message.Begin);
  writer.integer(transfer);
  if (total !== undefined) writer.integer(total);
  writer.binHead(length);
  return writer.finish();
}

/** ENVELOPE around the bytes of an EVENT, which are shared with all sessions. */
export function encodeEnvelope(numbers: readonly number[], event: Uint8Array, options?: Options): Uint8Array {
  writer.start().arrayHead(options === undefined ? 3 : 4);
  writer.integer(Message.Envelope);
  writer.array(numbers, 1);
  if (options === undefined) return writer.finish([event], event.length);
  writer.raw(event);
  writer.map(options, 1);
  return writer.finish();
}

/** The name in an EVENT or ENVELOPE that was encoded here. */
export function eventName(message: Uint8Array): string {
  const [, first, event] = decodeFrame(message);
  return String(message[1] === Message.Event ? first : (event as unknown[])[1]);
}

/** The payload is copied once, into the message. */
function withPayload(payload: Uint8Array, options: Options | undefined): Uint8Array {
  writer.binHead(payload.length);
  if (options === undefined) return writer.finish([payload], payload.length);
  writer.raw(payload);
  writer.map(options, 1);
  return writer.finish();
}

/**
 * Check one element's fields against the table in `schemas/protocol.toml`.
 *
 * @returns false for a type that is unknown here, which is to be skipped.
 * @throws MalformedFrame where a field is missing, of the wrong type or out of bounds.
 */
export function checkMessage(message: readonly unknown[], limits: Limits): boolean {
  const kind = message[0];
  if (!isUint(kind)) throw new MalformedFrame("a message starts with its type");
  const fields = CHECKED_FIELDS[kind];
  if (fields === undefined) {
    if (isDeeperThan(message, limits.maxFrameDepth - 1)) {
      throw new MalformedFrame(`message type ${kind} nests too deep`);
    }
    return false;
  }
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index] as CheckedField;
    const value = message[index + 1];
    if ((value === undefined || value === null) && field.isOptional) continue;
    if (!field.check(value, limits)) {
      throw new MalformedFrame(`message type ${kind}: field ${index + 1} is no ${field.type} within bounds`);
    }
  }
  return true;
}

type Check = (value: unknown, limits: Limits) => boolean;

interface CheckedField {
  readonly type: string;
  readonly isOptional: boolean;
  readonly check: Check;
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isBin(value: unknown): boolean {
  return value instanceof Uint8Array;
}

function isOptions(value: unknown, limits: Limits): boolean {
  return isMap(value) && !isDeeperThan(value, limits.maxFrameDepth - 2);
}

function isName(value: unknown, limits: Limits): boolean {
  if (typeof value !== "string") return isUint(value);
  if (value === "" || value.length > limits.maxNameBytes) return false;
  return value.length * 3 <= limits.maxNameBytes || utf8Length(value) <= limits.maxNameBytes;
}

function utf8Length(text: string): number {
  let length = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) length += unit >= 0x800 && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return length;
}

function isEvent(value: unknown, limits: Limits): boolean {
  return Array.isArray(value) && value[0] === Message.Event && checkMessage(value, limits);
}

function isUints(value: unknown): boolean {
  return Array.isArray(value) && value.every(isUint);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isText);
}

function isTriples(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((item) => Array.isArray(item) && item.length >= 3 && item.slice(0, 3).every(isText))
  );
}

const CHECKS: Readonly<{ [type: string]: Check }> = {
  uint: isUint,
  text: isText,
  bin: isBin,
  map: isOptions,
  name: isName,
  message: isEvent,
  uints: isUints,
  texts: isTexts,
  triples: isTriples,
};

const CHECKED_FIELDS: readonly (readonly CheckedField[] | undefined)[] = Array.from(
  { length: Object.keys(FIELDS).length + 1 }, // types count from 1
  (_, kind) =>
    FIELDS[kind]?.map((field) => {
      const type = field.replace("?", "");
      return { type, isOptional: field.endsWith("?"), check: CHECKS[type] as Check };
    }),
);
