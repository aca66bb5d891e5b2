/** Failing at once where everything fails anyway, so that what has broken down can recover. */

import { now } from "../time.js";
import { CircuitOpen, isTransient } from "./failures.js";
import { Dropped, drop, type Middleware } from "./message.js";
import { checkPositive, named, passing } from "./passing.js";

const MOST_MEMBERS = 10_000;

export interface CircuitBreakerOptions {
  /** How many on end open it. Default: 5. */
  readonly failures?: number | undefined;
  /** How long it is open, in milliseconds. Default: 30,000. */
  readonly resetMs?: number | undefined;
  /** Tells which errors are failures. Default: those that may pass (docs/middleware.md). */
  readonly counts?: ((error: unknown) => boolean) | undefined;
}

/** One circuit: closed, open for a while after failures on end, then closed or opened again by one trial. */
class Breaker {
  readonly #failures: number;
  readonly #resetMs: number;
  #failed = 0;
  #openedAt: number | undefined;
  #isTried = false;

  constructor(failures: number, resetMs: number) {
    this.#failures = failures;
    this.#resetMs = resetMs;
  }

  /** Milliseconds for which nothing passes; 0: something may. */
  wait(at: number): number {
    if (this.#openedAt === undefined) return 0;
    const left = this.#openedAt + this.#resetMs - at;
    return Math.max(left, this.#isTried ? this.#resetMs : 0);
  }

  /** Something passes: the trial, if it is open. */
  begin(): void {
    this.#isTried = this.#openedAt !== undefined;
  }

  /** It gives something, so that others may pass; how it ends is not known yet. */
  begun(): void {
    this.#openedAt = undefined;
    this.#isTried = false;
  }

  succeeded(): void {
    this.#failed = 0;
    this.#openedAt = undefined;
    this.#isTried = false;
  }

  /** It failed in a way that counts. */
  failed(at: number): void {
    this.#failed += 1;
    if (this.#isTried || this.#failed >= this.#failures) this.#openedAt = at;
    this.#isTried = false;
  }

  /** Nobody knows how it went: another one is the trial. */
  givenUp(): void {
    this.#isTried = false;
  }
}

/**
 * Let nothing of a member pass for a while once it has failed so often on end; each member has a circuit of its own.
 *
 * While it is open requests fail with `CircuitOpen` (code `circuit_open`, `retryAfterMs`), and events are dropped by the reason
 * `circuit_open`. After `resetMs` one message passes: it closes the circuit, or opens it anew. A stream goes well when it ends, or is
 * left after an item; with its first one it lets others pass.
 *
 * @throws TypeError a number is not more than 0.
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): Middleware {
  const { failures = 5, resetMs = 30_000, counts = isTransient } = options;
  checkPositive("circuitBreaker", { failures, resetMs });
  const breakers = new Map<string, Breaker>();

  function breakerOf(name: string): Breaker {
    const known = breakers.get(name);
    if (known !== undefined) return known;
    if (breakers.size >= MOST_MEMBERS) breakers.clear();
    const breaker = new Breaker(failures, resetMs);
    breakers.set(name, breaker);
    return breaker;
  }

  return named("circuitBreaker", async (message, next) => {
    const { name, kind, context } = message;
    const breaker = breakerOf(name);
    const waitMs = breaker.wait(now());
    if (waitMs > 0) {
      if (kind === "event") return drop("circuit_open");
      const left = `it has failed too often, and is not tried for ${Math.ceil(waitMs)} ms`;
      throw new CircuitOpen(`${name}: ${left}`, waitMs);
    }
    breaker.begin();
    const failed = (error: unknown): void => {
      if (context.signal?.aborted) breaker.givenUp();
      else if (counts(error)) breaker.failed(now());
      else breaker.succeeded(); // it answers, if only by an error
    };
    try {
      const result = await next(message);
      if (kind === "stream") return watched(result, breaker, failed);
      if (result instanceof Dropped) breaker.givenUp();
      else breaker.succeeded();
      return result;
    } catch (error) {
      failed(error);
      throw error;
    }
  });
}

/** A stream's items, as they tell how it goes: most that fail do so at their first. */
function watched<Answer>(items: Answer, breaker: Breaker, failed: (error: unknown) => void): Answer {
  let hasBegun = false;
  return passing(
    items,
    (count, ending) => {
      if (ending.how === "failed") failed(ending.error);
      else if (ending.how === "ended" || count > 0) breaker.succeeded();
      else breaker.givenUp();
    },
    async (coming) => {
      const step = await coming;
      if (!hasBegun) breaker.begun();
      hasBegun = true;
      return step;
    },
  );
}
