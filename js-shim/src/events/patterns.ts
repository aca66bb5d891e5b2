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

/** Where patterns lead, segment by segment. */
interface Node<Value> {
  readonly next: Map<string, Node<Value>>;
  /** What is under the pattern that ends here. */
  readonly here: Set<Placed<Value>>;
}

/** How many names are remembered at most. */
const KNOWN_NAMES = 10_000;

/** Values under patterns; `matching` gives those for a name, in the order in which they were added. */
export class PatternTable<Value> {
  readonly #root = createNode<Value>();
  /** What names have found so far, until it may be something else. */
  readonly #found = new Map<string, readonly Value[]>();
  #added = 0;
  /** Counts the changes: what was found may be kept until it is another. */
  version = 0;

  /** Keep a value under a pattern; gives what takes it away again, to be called once. */
  add(pattern: string, value: Value): () => void {
    const placed = { order: ++this.#added, value };
    const path = [this.#root];
    const segments = pattern.split(".");
    for (const segment of segments) {
      const { next } = path[path.length - 1] as Node<Value>;
      const node = next.get(segment) ?? createNode();
      next.set(segment, node);
      path.push(node);
    }
    const { here } = path[segments.length] as Node<Value>;
    here.add(placed);
    this.#changed(pattern);
    return () => {
      here.delete(placed);
      for (let depth = segments.length; depth > 0; depth--) {
        const node = path[depth] as Node<Value>;
        if (node.here.size + node.next.size > 0) break;
        (path[depth - 1] as Node<Value>).next.delete(segments[depth - 1] as string);
      }
      this.#changed(pattern);
    };
  }

  /** What is under exactly this pattern. */
  under(pattern: string): Value[] {
    return [...(this.#at(pattern)?.here ?? [])].map(({ value }) => value);
  }

  /** How many there are under exactly this pattern. */
  count(pattern: string): number {
    return this.#at(pattern)?.here.size ?? 0;
  }

  /** Every value whose pattern matches the name. */
  matching(name: string): readonly Value[] {
    let found = this.#found.get(name);
    if (found === undefined) {
      const placed: Placed<Value>[] = [];
      collect(this.#root, name.split("."), 0, placed);
      found = placed.sort((a, b) => a.order - b.order).map(({ value }) => value);
      if (this.#found.size >= KNOWN_NAMES) this.#found.clear();
      this.#found.set(name, found);
    }
    return found;
  }

  #at(pattern: string): Node<Value> | undefined {
    let node: Node<Value> | undefined = this.#root;
    for (const segment of pattern.split(".")) node = node?.next.get(segment);
    return node;
  }

  #changed(pattern: string): void {
    this.version += 1;
    if (isExact(pattern)) this.#found.delete(pattern);
    else this.#found.clear();
  }
}

function createNode<Value>(): Node<Value> {
  return { next: new Map(), here: new Set() };
}

/** Put into `found` what is under the patterns that match the words from `index` on. */
function collect<Value>(
  { next, here }: Node<Value>,
  words: readonly string[],
  index: number,
  found: Placed<Value>[],
): void {
  if (index === words.length) {
    for (const placed of here) found.push(placed);
    return;
  }
  for (const segment of new Set([words[index] as string, "*"])) {
    const node = next.get(segment);
    if (node !== undefined) collect(node, words, index + 1, found);
  }
  for (const placed of next.get("**")?.here ?? []) found.push(placed);
}
