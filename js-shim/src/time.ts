/**
 * Where ionbus has the time from: the platform, unless `ionbus/testing` has put something else in its place.
 *
 * Whatever waits for time to pass asks here. What waits for the world outside asks the platform: how long a socket takes
 * to drain, or a process to die, no test decides.
 */

/** A clock and its timers. */
export interface Time {
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number;
  /** See to it that `ring` is called after so many milliseconds; gives what `stopTimer` takes. */
  readonly startTimer: (ring: () => void, delayMs: number) => unknown;
  /** Forget a timer; one that has rung, or undefined, does no harm. */
  readonly stopTimer: (timer: unknown) => void;
}

// The platform's are looked up at each call: a test may have replaced them too.
export let now: Time["now"] = () => performance.now();
export let startTimer: Time["startTimer"] = (ring, delayMs) => setTimeout(ring, delayMs);
export let stopTimer: Time["stopTimer"] = (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>);

/** The longest delay that a platform's timer takes; for a longer one it rings at once. */
export const LONGEST_DELAY_MS = 2 ** 31 - 1;

/** Take the time from somewhere else, from now on. */
export function setTime(time: Time): void {
  ({ now, startTimer, stopTimer } = time);
}
