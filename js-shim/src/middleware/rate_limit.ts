/** So many messages a second, and no more. */

import { now } from "../time.js";
import { RateLimited } from "./failures.js";
import { drop, type Message, type Middleware } from "./message.js";
import { checkPositive, Fading, named, pause } from "./passing.js";

const MOST_BUCKETS = 10_000;

export interface RateLimitOptions {
  /** Messages a second. */
  readonly rate: number;
  /** How many may come at once. Default: as many as in a second, at least one. */
  readonly burst?: number | undefined;
  /** Gives each message a key: those with one key share a rate. Default: all share one. */
  readonly per?: ((message: Message) => string) | undefined;
  /** "wait" delays what is too much instead, unless its deadline would pass. Default: "refuse". */
  readonly excess?: "refuse" | "wait" | undefined;
}

/**
 * Let so many messages pass a second, counted together for all that this stands around.
 *
 * What is too much fails with `RateLimited` (code `rate_limited`, `retryAfterMs`); an event is dropped by the reason `rate_limited`.
 *
 * @throws TypeError the rate is none.
 */
export function rateLimit(options: RateLimitOptions): Middleware {
  const { rate, burst = Math.max(1, rate), per = () => "", excess = "refuse" } = options;
  checkPositive("rateLimit", { rate, burst });
  const perMs = rate / 1_000;
  /** How many may pass of each key, and when that was so; after a time all may again. */
  const buckets = new Fading<{ readonly tokens: number; readonly at: number }>(burst / perMs, MOST_BUCKETS);
  return named("rateLimit", async (message, next) => {
    const { name, kind, context } = message;
    const at = now();
    const key = per(message);
    const before = buckets.get(key, at) ?? { tokens: burst, at };
    const tokens = Math.min(burst, before.tokens + (at - before.at) * perMs);
    const waitMs = Math.max(0, (1 - tokens) / perMs);
    if (waitMs > 0 && (excess === "refuse" || at + waitMs >= (context.deadline ?? Infinity))) {
      if (kind === "event") return drop("rate_limited");
      throw new RateLimited(
        `${name}: more than ${rate} a second; the next would pass in ${Math.ceil(waitMs)} ms`,
        waitMs,
      );
    }
    buckets.put(key, { tokens: tokens - 1, at }, at + waitMs);
    if (waitMs > 0) await pause(waitMs, context.signal);
    return next(message);
  });
}
