/** What is said of a value that cannot travel, or of bytes that are none: what is wrong, and where. */

import { DEFAULT_LIMITS } from "../generated/protocol.js";

export const MAX_DEPTH = DEFAULT_LIMITS.maxPayloadDepth;
export const TOO_DEEP = `nested more than ${MAX_DEPTH} deep`;
export const PROTO = "the key `__proto__` is not allowed";

/** A writer or reader met what it refuses; every container that it leaves adds its part of the path. */
export class Refusal extends Error {
  path = "";

  /** Puts a segment in front of the path; gives back what is to be thrown on. */
  static under(error: unknown, segment: string): unknown {
    if (error instanceof Refusal) error.path = segment + error.path;
    return error;
  }
}

/** Characters of a key that are shown in a path. */
const LONGEST_KEY = 64;

/** The segment of a path for what is under a key. */
export function underKey(key: unknown): string {
  if (typeof key === "string") {
    const characters = Array.from(key.slice(0, 2 * LONGEST_KEY + 2)); // whole ones, though not each is one unit long
    const shown = characters.length > LONGEST_KEY ? `${characters.slice(0, LONGEST_KEY).join("")}…` : key;
    return /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(shown) ? `.${shown}` : `[${JSON.stringify(shown)}]`;
  }
  return typeof key === "bigint" || Number.isSafeInteger(key) ? `[${key}]` : "[key]";
}

/** What a value is called in an error. */
export function nameOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return typeof value;
  const maker: unknown = (value as { constructor?: unknown }).constructor;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "an object";
}
