/** Trying again what may be carried out twice, after a pause. */

import { now } from "../time.js";
import { isTransient, retryAfter } from "./failures.js";
import type { Middleware } from "./message.js";
import { checkPositive, named, pause } from "./passing.js";

export interface RetryOptions {
  /** At most, the first included. Default: 3. */
  readonly attempts?: number | undefined;
  /** The first pause, in milliseconds; each is twice as long as the one before. Default: 100. */
  readonly firstMs?: number | undefined;
  /** A pause at most, in milliseconds. Default: 5,000. */
  readonly longestMs?: number | undefined;
  /** Tells which errors are worth another attempt. Default: those that may pass (docs/middleware.md). */
  readonly on?: ((error: unknown) => boolean) | undefined;
  /** A number from 0 to below 1 each time, for the spread of the pauses. Default: `Math.random`. */
  readonly spread?: (() => number) | undefined;
}

/**
 * Try idempotent calls, and the opening of idempotent streams, again when they fail; all else passes once.
 *
 * A pause is as long as the error says where it has `retryAfterMs`. No attempt begins that the caller's deadline would end. All
 * attempts of a call that leaves carry one idempotency key, so that a broker that answered one does not run the next
 * (docs/delivery.md).
 *
 * @throws TypeError there would be no attempt, or a pause is no time.
 */
export function retry(options: RetryOptions = {}): Middleware {
  const { attempts = 3, firstMs = 100, longestMs = 5_000, on = isTransient, spread = Math.random } = options;
  checkPositive("retry", { attempts, firstMs, longestMs });
  return named("retry", async (message, next) => {
    const { member, context } = message;
    if (member === undefined || member.kind === "event" || !member.idempotent) return next(message);
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(message);
      } catch (error) {
        const usual = Math.min(longestMs, firstMs * 2 ** (attempt - 1) + firstMs * spread());
        const waitMs = Math.max(usual, retryAfter(error));
        const isLate = context.deadline !== null && now() + waitMs >= context.deadline;
        if (attempt >= attempts || isLate || context.signal?.aborted || !on(error)) throw error;
        await pause(waitMs, context.signal);
      }
    }
  });
}
