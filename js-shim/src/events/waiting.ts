/** Wait for one event. */

import { createAlarm, now } from "../alarm.js";
import { milliseconds } from "../checks.js";
import type { Subscription } from "../dispatch/subscription.js";
import { CallCancelled } from "../errors.js";

export interface WaitOptions<Payload> {
  /** Only an event for which it is true; what it throws, the waiter gets. */
  readonly where?: ((payload: Payload) => boolean) | undefined;
  /** How long to wait, in milliseconds. Default: for ever. */
  readonly timeoutMs?: number | null | undefined;
  /** Aborting it gives up: `CallCancelled`, whose `cause` is the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Wait for the next event.
 *
 * @param listen - adds a listener; told what to do when it is closed by others.
 * @throws DOMException "TimeoutError"; @throws CallCancelled given up, or closed.
 */
export function waitFor<Payload>(
  name: string,
  listen: (listener: (payload: Payload) => void, closed: () => void) => Subscription,
  { where, timeoutMs, signal }: WaitOptions<Payload> = {},
): Promise<Payload> {
  return new Promise((resolve, reject) => {
    const limitMs = milliseconds(name, timeoutMs ?? null);
    const endsAt = now() + (limitMs ?? 0);
    const alarm = createAlarm(() => {
      if (now() < endsAt) alarm.wantBy(endsAt);
      else end(() => reject(timeoutError(`${name}: did not come within ${limitMs} ms`)));
    });
    const end = (outcome: () => void): void => {
      outcome();
      alarm.stop();
      signal?.removeEventListener("abort", abort);
      subscription.close();
    };
    const cancel = (why: string): void =>
      end(() => reject(new CallCancelled(`${name}: ${why}`, { cause: signal?.reason })));
    const abort = (): void => cancel("given up by who waited for it");
    const subscription = listen(
      (payload) => {
        try {
          if (where === undefined || where(payload)) end(() => resolve(payload));
        } catch (error) {
          end(() => reject(error));
        }
      },
      () => cancel("closed before it came"),
    );
    if (limitMs !== null) alarm.wantBy(endsAt);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
  });
}

/** What a platform's own time-outs are, e.g. that of `AbortSignal.timeout`. */
export function timeoutError(message: string): Error {
  const { DOMException: Exception } = globalThis as { DOMException?: typeof DOMException }; // Node.js 16 has none
  const name = "TimeoutError";
  return Exception === undefined
    ? Object.assign(new Error(message), { name })
    : (new Exception(message, name) as Error);
}
