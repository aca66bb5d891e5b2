/** Patterns over event names (docs/protocol.md, section 5.2). */

import { DEFAULT_LIMITS } from "../generated/protocol.js";

/** What is wrong with a pattern; undefined: nothing. */
export function patternProblem(pattern: string): string | undefined {
  const size = new TextEncoder().encode(pattern).length;
  if (size === 0 || size > DEFAULT_LIMITS.maxNameBytes) {
    return `a pattern has 1 to ${DEFAULT_LIMITS.maxNameBytes} bytes`;
  }
  const segments = pattern.split(".");
  for (const [index, segment] of segments.entries()) {
    if (segment === "**" && index < segments.length - 1) {
      return `"${pattern}": ** stands for the rest of a name, so it comes last`;
    }
    if (segment === "*" || segment === "**") continue;
    if (segment === "" || segment.includes("*"))
      return `"${pattern}": a segment is a word, * or, as the last one, **`;
  }
  return undefined;
}

/** Whether the pattern is a name. */
export function isExact(pattern: string): boolean {
  return !pattern.includes("*");
}

/** Give a function that tells whether a name matches. */
export function matcher(pattern: string): (name: string) => boolean {
  if (isExact(pattern)) return (name) => name === pattern;
  const segments = pattern.split(".");
  const isOpenEnded = segments[segments.length - 1] === "**";
  const head = isOpenEnded ? segments.slice(0, -1) : segments;
  return (name) => {
    const words = name.split(".");
    const fitsLength = isOpenEnded ? words.length > head.length : words.length === head.length;
    return fitsLength && head.every((segment, index) => segment === "*" || segment === words[index]);
  };
}

interface Placed<Value> {
  readonly order: number;
  readonly matches: (name: string) => boolean;
  readonly value: Value;
}

/** How many names are remembered at most. */
const KNOWN_NAMES = 10_000;

/** Values under patterns; `matching` gives those for a name, in the order in which they were added. */
export class PatternTable<Value> {
  /** What is under a name, by it: many names cost no more than one. */
  readonly #named = new Map<string, Placed<Value>[]>();
  readonly #starred: Placed<Value>[] = [];
  /** What names have found so far, until it may be something else. */
  readonly #found = new Map<string, readonly Value[]>();
  #added = 0;

  /** Keep a value under a pattern; gives what takes it away again. */
  add(pattern: string, value: Value): () => void {
    const placed = { order: ++this.#added, matches: matcher(pattern), value };
    const those = isExact(pattern) ? (this.#named.get(pattern) ?? []) : this.#starred;
    if (isExact(pattern)) this.#named.set(pattern, those);
    those.push(placed);
    this.#forget(pattern);
    return () => {
      those.splice(those.indexOf(placed), 1);
      if (those.length === 0) this.#named.delete(pattern);
      this.#forget(pattern);
    };
  }

  /** Every value whose pattern matches the name. */
  matching(name: string): readonly Value[] {
    let found = this.#found.get(name);
    if (found === undefined) {
      found = [...(this.#named.get(name) ?? []), ...this.#starred.filter(({ matches }) => matches(name))]
        .sort((a, b) => a.order - b.order)
        .map(({ value }) => value);
      if (this.#found.size >= KNOWN_NAMES) this.#found.clear();
      this.#found.set(name, found);
    }
    return found;
  }

  #forget(pattern: string): void {
    if (isExact(pattern)) this.#found.delete(pattern);
    else this.#found.clear();
  }
}
