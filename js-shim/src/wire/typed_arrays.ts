/** Typed arrays, other than bytes. */

import * as Extension from "../generated/extension.js";
import { Refusal } from "./refusal.js";
import type { ValueKind } from "./values.js";

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

/** How they are read and written. */
export const typedArrays: ValueKind<ArrayBufferView> = {
  code: Extension.TypedArray,
  tags: [...ELEMENT_NUMBERS.keys()].filter((name) => name !== "Uint8Array"), // which is bytes
  read(reader, length): TypedArray {
    const start = reader.take(length);
    const kind = length === 0 ? undefined : ELEMENTS[reader.bytes[start] as number];
    if (kind === undefined || (length - 1) % kind.BYTES_PER_ELEMENT !== 0)
      throw new Refusal("not a typed array");
    const elements = reader.bytes.slice(start + 1, reader.at); // a copy, since elements need their alignment
    return new kind(littleEndian(elements, kind.BYTES_PER_ELEMENT).buffer as ArrayBuffer);
  },
  write(writer, value, tag) {
    const number = ELEMENT_NUMBERS.get(tag) as number;
    const body = new Uint8Array(value.byteLength + 1);
    body[0] = number;
    const elements = body.subarray(1);
    elements.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    littleEndian(elements, (ELEMENTS[number] as { BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT);
    writer.extension(Extension.TypedArray, body);
  },
};
