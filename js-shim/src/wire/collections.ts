/** Sets, and mappings with other keys than text. */

import * as Extension from "../generated/extension.js";
import type { Reader } from "./reader.js";
import { MAX_DEPTH, PROTO, Refusal, TOO_DEEP, underKey } from "./refusal.js";
import type { ValueKind, ValueWriter } from "./values.js";

/** BigInts whose lowest 64 bits are the same have the same hash: looking one up goes through all of them. */
const MAX_SAME_HASH = 256;

/** How a set is read and written. */
export const sets: ValueKind<Set<unknown>> = {
  code: Extension.Set,
  tags: ["Set"],
  read(reader, length, depth) {
    const read = () => reader.value(depth) as unknown[];
    const members = readBody(reader, length, depth, "a set is one array", read);
    checkHashes(members);
    const distinct = new Set(members);
    if (distinct.size !== members.length) throw new Refusal("two members of the set are equal");
    return distinct;
  },
  write(writer, value, _tag, depth) {
    writeBody(writer, Extension.Set, () => writer.array([...value], depth));
  },
};

/** How a mapping is read and written. */
export const mappings: ValueKind<Map<unknown, unknown>> = {
  code: Extension.Mapping,
  tags: ["Map"],
  read(reader, length, depth) {
    const keys: unknown[] = [];
    const members: unknown[] = [];
    const problem = "a mapping is one array of keys and values";
    readBody(reader, length, depth, problem, () => readEntries(reader, keys, members, depth + 1));
    if (keys.length !== members.length) throw new Refusal(problem);
    checkHashes(keys);
    const mapping = new Map<unknown, unknown>();
    for (let index = 0; index < keys.length; index++) mapping.set(keys[index], members[index]);
    if (mapping.size !== keys.length) throw new Refusal("two keys of the mapping are equal");
    return mapping;
  },
  write(writer, value, _tag, depth) {
    writeBody(writer, Extension.Mapping, () => {
      if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
      writer.arrayHead(value.size * 2);
      for (const [key, member] of value) {
        try {
          if (key === "__proto__") throw new Refusal(PROTO);
          writer.value(key, depth + 1);
          writer.value(member, depth + 1);
        } catch (error) {
          throw Refusal.under(error, underKey(key));
        }
      }
    });
  },
};

/** Reads an extension's body, which is one array: `read` is called where its length is due, and ends where the body does. */
function readBody<T>(reader: Reader, length: number, depth: number, problem: string, read: () => T): T {
  const outerEnd = reader.end;
  reader.end = reader.at + length;
  const head = reader.at < reader.end ? (reader.bytes[reader.at] as number) : 0;
  if (!((head >= 0x90 && head < 0xa0) || head === 0xdc || head === 0xdd)) throw new Refusal(problem);
  if (depth === MAX_DEPTH) throw new Refusal(TOO_DEEP);
  const value = read();
  if (reader.at !== reader.end) throw new Refusal(`${reader.end - reader.at} bytes follow the value`);
  reader.end = outerEnd;
  return value;
}

/** Reads the keys and values of a mapping. */
function readEntries(reader: Reader, keys: unknown[], members: unknown[], depth: number): void {
  const count = reader.arrayLength();
  for (let index = 0; index < count; index += 2) {
    const key = reader.value(depth);
    keys.push(key);
    try {
      if (key === "__proto__") throw new Refusal(PROTO);
      if (index + 1 < count) members.push(reader.value(depth));
    } catch (error) {
      throw Refusal.under(error, underKey(key));
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

/** Writes an extension whose length is known only once its body is: that moves back to where the head ends. */
function writeBody(writer: ValueWriter, code: number, write: () => void): void {
  const start = writer.at;
  writer.reserve(6);
  writer.at += 6;
  write();
  const end = writer.at;
  writer.at = start;
  writer.extensionHead(code, end - start - 6);
  writer.bytes.copyWithin(writer.at, start + 6, end);
  writer.at += end - start - 6;
}
