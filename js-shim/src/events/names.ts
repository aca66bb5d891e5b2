/** The names that an emitter knows, and the nearest to one that is unknown. */

import { type AnyEvent, type ContractNamespace, membersOf } from "../contract.js";
import { NotFound } from "../errors.js";
import { matcher } from "./patterns.js";

/** Names that are looked through for the nearest. */
const MOST_COMPARED = 1_000;
/** Characters of a name that is compared: what is longer was not mistyped. */
const LONGEST = 100;

/** The events of some contracts, by name. */
export class Names {
  readonly #events: ReadonlyMap<string, unknown>;
  readonly #areAll: boolean;

  /** @param contracts - they; without any everything is known. */
  constructor(contracts: readonly ContractNamespace[]) {
    this.#areAll = contracts.length === 0;
    const events = contracts.flatMap(membersOf).filter(({ kind }) => kind === "event");
    this.#events = new Map(events.map((event) => [event.name, event]));
  }

  /** Refuse an event that is not known. @throws NotFound */
  checkEvent({ name }: AnyEvent): void {
    if (this.#areAll || this.#events.has(name)) return;
    throw new NotFound(`${name} is no event of this emitter's contracts${this.#suggestion(name)}`);
  }

  /** Refuse a pattern that matches no event that is known. @throws NotFound */
  checkPattern(pattern: string): void {
    if (this.#areAll || [...this.#events.keys()].some(matcher(pattern))) return;
    throw new NotFound(`${pattern} matches no event of this emitter's contracts${this.#suggestion(pattern)}`);
  }

  #suggestion(pattern: string): string {
    const near = nearest(pattern, this.#events.keys());
    return near === undefined ? "" : `; did you mean ${near}?`;
  }
}

/** The name, or the pattern that matches one, that is spelled almost like an unknown one; undefined: none is near. */
export function nearest(pattern: string, names: Iterable<string>): string | undefined {
  if (pattern.length > LONGEST) return undefined;
  const segments = pattern.split(".");
  const candidates = new Set<string>();
  for (const name of names) {
    if (candidates.size >= MOST_COMPARED) break;
    candidates.add(inShape(name.split("."), segments));
  }
  let found: string | undefined;
  let least = Math.floor(pattern.length * 0.3) + 1;
  for (const candidate of candidates) {
    const far = distance(pattern.toLowerCase(), candidate.toLowerCase());
    if (far >= least || candidate === pattern) continue;
    least = far;
    found = candidate;
  }
  return found;
}

/** A name's words, with stars where a pattern has them, and as many as it has if it ends open. */
function inShape(words: readonly string[], segments: readonly string[]): string {
  const isOpen = segments[segments.length - 1] === "**";
  const head = isOpen ? segments.slice(0, -1) : segments;
  const shaped = words.map((word, index) => (head[index] === "*" ? "*" : word));
  return (isOpen ? [...shaped.slice(0, head.length), "**"] : shaped).join(".");
}

/** How many characters to put in, take out, change, or swap with the next, to get from one to the other. */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const isSame = one[row - 1] === other[column - 1];
      const isSwapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (before[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    before = last;
    last = current;
  }
  return last[other.length] ?? 0;
}
