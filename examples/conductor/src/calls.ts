/** What calls this window has made and answered: kept by a middleware, shown by a pane. */
import { logging, type Middleware, type Passage } from "ionbus/middleware";

/** The calls by one name, in one direction. */
export interface CallsByName {
  readonly name: string;
  readonly direction: Passage["direction"];
  readonly count: number;
  readonly failed: number;
  /** How long the last one took. */
  readonly lastMs: number;
  /** The trace that the last one belonged to. */
  readonly trace: string | undefined;
}

/** A trace of its own, as a W3C traceparent. */
export function newTrace(): string {
  const hex = [...crypto.getRandomValues(new Uint8Array(24))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}

export interface CallBook {
  readonly middleware: Middleware;
  subscribe(changed: () => void): () => void;
  read(): readonly CallsByName[];
}

/** What is no failure: who asks again does not wait for the answer before. */
const WELL: ReadonlySet<string> = new Set(["answered", "cancelled", "call_cancelled"]);

export function createCallBook(): CallBook {
  let calls: readonly CallsByName[] = [];
  const watching = new Set<() => void>();

  function take({ kind, name, direction, outcome, ms, trace }: Passage): void {
    if (kind !== "call") return;
    const isSame = (each: CallsByName): boolean => each.name === name && each.direction === direction;
    const before = calls.find(isSame) ?? { count: 0, failed: 0 };
    const failed = before.failed + (WELL.has(outcome) ? 0 : 1);
    const now = { name, direction, count: before.count + 1, failed, lastMs: ms, trace };
    calls = calls.some(isSame) ? calls.map((each) => (isSame(each) ? now : each)) : [...calls, now];
    for (const changed of watching) changed();
  }

  return {
    middleware: logging({ log: take }),
    subscribe(changed) {
      watching.add(changed);
      return () => watching.delete(changed);
    },
    read: () => calls,
  };
}
