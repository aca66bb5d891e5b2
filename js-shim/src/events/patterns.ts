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
  readonly value: Value;
}

/** Under it is what a pattern that ends here holds. No segment has a dot in it, of whatever a peer sends for a pattern. */
const END = ".";

/** Where the next segments lead. */
interface Tree<Value> extends Map<string, Tree<Value> | Set<Placed<Value>>> {}

/** How many names are remembered at most. */
const KNOWN_NAMES = 10_000;

/** Values under patterns; `matching` gives those for a name, in the order in which they were added. */
export class PatternTable<Value> {
  readonly #tree: Tree<Value> = new Map();
  /** What names have found so far, until it may be something else. */
  readonly #found = new Map<string, readonly Value[]>();
  #added = 0;

  /** Keep a value under a pattern; gives what takes it away again, to be called once. */
  add(pattern: string, value: Value): () => void {
    const placed = { order: ++this.#added, value };
    const path: [Tree<Value>, string][] = [];
    let tree = this.#tree;
    for (const segment of [...pattern.split("."), END]) {
      path.unshift([tree, segment]);
      const next = tree.get(segment) ?? (segment === END ? new Set<Placed<Value>>() : new Map());
      tree.set(segment, next);
      tree = next as Tree<Value>;
    }
    const here = tree as unknown as Set<Placed<Value>>; // it is under END
    here.add(placed);
    this.#changed(pattern);
    return () => {
      here.delete(placed);
      // Of its path goes what no other pattern needs.
      for (const [above, segment] of path) if (above.get(segment)?.size === 0) above.delete(segment);
      this.#changed(pattern);
    };
  }

  /** What is under exactly this pattern. */
  under(pattern: string): Value[] {
    let trees = [this.#tree];
    for (const segment of pattern.split(".")) trees = follow(trees, segment);
    return valuesOf(trees);
  }

  /** Every value whose pattern matches the name. */
  matching(name: string): readonly Value[] {
    let found = this.#found.get(name);
    if (found === undefined) {
      let trees = [this.#tree];
      const ends: Tree<Value>[] = [];
      for (const word of name.split(".")) {
        ends.push(...follow(trees, "**"));
        trees = [...new Set([...follow(trees, word), ...follow(trees, "*")])];
      }
      found = valuesOf([...new Set([...ends, ...trees])]);
      if (this.#found.size >= KNOWN_NAMES) this.#found.clear();
      this.#found.set(name, found);
    }
    return found;
  }

  #changed(pattern: string): void {
    if (isExact(pattern)) this.#found.delete(pattern);
    else this.#found.clear();
  }
}

/** Where a segment leads from each. */
function follow<Value>(trees: readonly Tree<Value>[], segment: string): Tree<Value>[] {
  return trees.flatMap((tree) => (tree.get(segment) as Tree<Value> | undefined) ?? []); // a segment is not END
}

/** What the patterns that end here hold, in order. */
function valuesOf<Value>(trees: readonly Tree<Value>[]): Value[] {
  const placed = trees.flatMap((tree) => [...((tree.get(END) as Set<Placed<Value>> | undefined) ?? [])]);
  return placed.sort((a, b) => a.order - b.order).map(({ value }) => value);
}
