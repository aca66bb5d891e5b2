/** A bound on how long the rest of the way may take. */

import { CallTimeout } from "../errors.js";
import { LONGEST_DELAY_MS, now, startTimer, stopTimer } from "../time.js";
import type { Middleware } from "./message.js";
import { checkPositive, named, passing } from "./passing.js";

/**
 * Give up what takes longer: a call, an event, the opening of a stream and each of its items.
 *
 * What is given up is told so by its signal. A call that leaves tells the other side of this deadline, where it had none that is
 * earlier.
 *
 * @throws TypeError it is no time.
 */
export function timeout(ms: number): Middleware {
  checkPositive("timeout", { ms });
  return named("timeout", async (message, next) => {
    const { name, kind, context } = message;
    const controller = new AbortController();
    const forward = (): void => controller.abort(context.signal?.reason);
    if (context.signal?.aborted) forward();
    else context.signal?.addEventListener("abort", forward);
    const end = (): void => context.signal?.removeEventListener("abort", forward);

    function within<Value>(coming: Promise<Value>, late: string): Promise<Value> {
      return new Promise((resolve, reject) => {
        const giveUp = (): void => {
          const error = new CallTimeout(late);
          reject(error);
          controller.abort(error);
        };
        const timer = ms <= LONGEST_DELAY_MS ? startTimer(giveUp, ms) : undefined;
        coming.then(resolve, reject).finally(() => stopTimer(timer));
      });
    }

    const deadline = kind === "call" ? Math.min(context.deadline ?? Infinity, now() + ms) : context.deadline;
    const bounded = message.replace({ deadline, signal: controller.signal });
    let isOpen = false;
    try {
      const result = await within(next(bounded), `${name}: not answered within ${ms} ms`);
      isOpen = kind === "stream";
      return isOpen
        ? passing(result, end, (coming) => within(coming, `${name}: no item came within ${ms} ms`))
        : result;
    } finally {
      if (!isOpen) end();
    }
  });
}
