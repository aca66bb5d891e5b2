/** Wait for one event. */

import { createAlarm, now } from "../alarm.js";
import { milliseconds } from "../checks.js";
import type { Subscription } from "../dispatch/subscription.js";
import { CallCancelled } from "../errors.js";
import type { ListenOptions } from "./lifetimes.js";

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
 * @param listen - adds a listener; `closed` is to be called when it is closed, with the reason if there is one.
 * @throws DOMException "TimeoutError"; @throws CallCancelled given up, or closed.
 */
export function waitFor<Payload>(
  name: string,
  listen: (
    listener: (payload: Payload) => void,
    options: ListenOptions,
    closed: (error?: unknown) => void,
  ) => Subscription,
  { where, timeoutMs, signal }: WaitOptions<Payload> = {},
): Promise<Payload> {
  return new Promise((resolve, reject) => {
    const limitMs = milliseconds(name, timeoutMs ?? null);
    const endsAt = limitMs === null ? Number.POSITIVE_INFINITY : now() + limitMs;
    const alarm = createAlarm(() => {
      if (now() < endsAt) return alarm.wantBy(endsAt);
      reject(timeoutError(`${name}: not there within ${limitMs} ms`));
      subscription.close();
    });
    const subscription = listen(
      (payload) => {
        try {
          if (where !== undefined && !where(payload)) return;
          resolve(payload);
        } catch (error) {
          reject(error);
        }
        subscription.close();
      },
      { signal },
      (error) => {
        const why = signal?.aborted ? "given up by its caller" : "closed before it came";
        reject(error ?? new CallCancelled(`${name}: ${why}`, { cause: signal?.reason })); // unless it is settled
        alarm.stop();
      },
    );
    if (!signal?.aborted) alarm.wantBy(endsAt);
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
