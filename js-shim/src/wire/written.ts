/** What the classes of values that travel as text have in common. */

import { asciiText } from "./reader.js";
import { Refusal } from "./refusal.js";
import { BODY, CODE, type Extended, isExtended, type ValueKind } from "./values.js";

/** A value that is written as text. Immutable. */
export abstract class Written implements Extended {
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

/** The text, where it is one. @throws RangeError it is not: undefined. */
export function required(text: string | undefined, given: unknown, what: string): string {
  if (text === undefined) throw new RangeError(`${JSON.stringify(String(given))} is not ${what}`);
  return text;
}

/** How such values are read: `problem` is what is said of a text that is none. */
export function kindOf(code: number, Value: new (text: string) => Written, problem: string): ValueKind {
  return {
    code,
    read(reader, length) {
      const start = reader.take(length);
      const text = asciiText(reader.bytes, start, reader.at);
      try {
        if (text !== undefined) return new Value(text);
      } catch {
        // RangeError: below
      }
      throw new Refusal(problem);
    },
  };
}
