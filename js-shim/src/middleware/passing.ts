/** What middleware that ships has in common: items as they pass, keys that are forgotten, pauses, and how it says its options are wrong. */

import { startTimer, stopTimer } from "../time.js";
import type { Layer, Message, Middleware, Next } from "./message.js";

/** What ended a stream's items: their end, an error, or that they were left early. */
export type Over = { readonly how: "ended" | "closed" } | { readonly how: "failed"; readonly error: unknown };

/**
 * A stream's items as they pass, and a word when they are over.
 *
 * @param over - told how many have passed, and what ended them.
 * @param step - waits for each.
 */
export function passing<Answer>(
  items: Answer,
  over: (count: number, ending: Over) => void,
  step: <Value>(coming: Promise<Value>) => Promise<Value> = (coming) => coming,
): Answer {
  const iterator = (items as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  let count = 0;
  let isOver = false;
  const end = (ending: Over): void => {
    if (!isOver) over(count, ending);
    isOver = true;
  };
  const passed: AsyncIterableIterator<unknown> = {
    async next() {
      try {
        const result = await step(iterator.next());
        if (result.done) end({ how: "ended" });
        else count += 1;
        return result;
      } catch (error) {
        end({ how: "failed", error });
        throw error;
      }
    },
    async return() {
      try {
        await iterator.return?.();
      } finally {
        end({ how: "closed" });
      }
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => passed,
  };
  return passed as Answer; // who gives items is given items
}

/** Values under keys, forgotten after a time, or when there are too many: then those that came first. */
export class Fading<Value> {
  readonly #lifetimeMs: number;
  readonly #limit: number;
  readonly #values = new Map<string, readonly [at: number, value: Value]>();

  constructor(lifetimeMs: number, limit: number) {
    this.#lifetimeMs = lifetimeMs;
    this.#limit = limit;
  }

  get size(): number {
    return this.#values.size;
  }

  /** The value, if it is young enough. */
  get(key: string, at: number): Value | undefined {
    this.#forget(at);
    return this.#values.get(key)?.[1];
  }

  /** Keep a value from now on. */
  put(key: string, value: Value, at: number): void {
    this.#values.delete(key);
    this.#values.set(key, [at, value]);
    this.#forget(at);
  }

  remove(key: string): void {
    this.#values.delete(key);
  }

  #forget(at: number): void {
    for (const [key, [began]] of this.#values) {
      if (this.#values.size <= this.#limit && at - began < this.#lifetimeMs) return;
      this.#values.delete(key);
    }
  }
}

/** Wait so many milliseconds, or until the signal aborts: then it rejects with its reason. */
export function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      stopTimer(timer);
      reject(signal?.reason);
    };
    const timer = startTimer(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, delayMs);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/** A middleware that ships, under the name that its users know; what it gives is what `next` gave, or `drop`. */
export function named(
  name: string,
  layer: (message: Message, next: Next<unknown, unknown>) => unknown,
): Middleware {
  Object.defineProperty(layer, "name", { value: name });
  return layer satisfies Layer as Middleware;
}

/** @throws TypeError a number is not more than 0. */
export function checkPositive(where: string, numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (typeof value === "number" && value > 0) continue;
    throw new TypeError(`${where}: ${name} ${String(value)} is not more than 0`);
  }
}
