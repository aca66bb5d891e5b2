/** Carrying out once what comes more than once, told by a key in the payload. */

import { now } from "../time.js";
import { Dropped, drop, type MiddlewareOf, type Next } from "./message.js";
import { checkPositive, Fading, named } from "./passing.js";

export interface DeduplicateOptions<Payload> {
  /** Gives a payload's id, as `(order) => order.id`. */
  readonly key: (payload: Payload) => string | number;
  /** How long keys and answers are kept, in milliseconds. Default: 300,000. */
  readonly windowMs?: number | undefined;
  /** How many are kept. Default: 10,000. */
  readonly limit?: number | undefined;
}

/**
 * Let events and calls pass once for each key of one member; streams pass as they are.
 *
 * An event that comes again is dropped by the reason `duplicate`; a call gets the answer of the first, the same object, and waits
 * for it where it is under way. What failed, or was dropped further in, may come again.
 *
 * @throws TypeError a number is not more than 0.
 */
export function deduplicate<Payload>({
  key,
  windowMs = 300_000,
  limit = 10_000,
}: DeduplicateOptions<Payload>): <Answer>(
  ...passing: Parameters<MiddlewareOf<Payload, Answer>>
) => ReturnType<MiddlewareOf<Payload, Answer>> {
  checkPositive("deduplicate", { windowMs, limit });
  /** Runs of calls, and passages of events; undefined when they have failed. */
  const seen = new Fading<Promise<{ readonly result: unknown } | undefined>>(windowMs, limit);
  return named("deduplicate", async (message, next: Next<unknown, unknown>) => {
    const { kind, direction, name } = message;
    if (kind === "stream") return next(message);
    const scope = JSON.stringify([direction, name, key(message.payload as Payload)]);
    for (let before = seen.get(scope, now()); before !== undefined; before = seen.get(scope, now())) {
      if (kind === "event") return drop("duplicate");
      const known = await before;
      if (known !== undefined) return known.result;
    }
    const run = next(message);
    const settled = run.then(
      (result) => {
        if (result instanceof Dropped) seen.remove(scope);
        return { result };
      },
      () => {
        seen.remove(scope);
        return undefined;
      },
    );
    seen.put(scope, settled, now());
    return run;
  });
}
