/**
 * One timer for many deadlines. Deadlines mostly pass unused (an answer comes, an acknowledgement leaves with other
 * data), so the timer is not moved when the deadline is: it fires once too early at most, and is then set anew.
 */

import { LONGEST_DELAY_MS, now, startTimer, stopTimer } from "./time.js";

export { now };

export interface Alarm {
  /** See to it that `ring` is called at `deadline` (milliseconds of `now`) or earlier; infinity asks for nothing. */
  wantBy(deadline: number): void;
  /** Forget all deadlines. */
  stop(): void;
}

/** @param ring - called when time is up, or early; it looks what is due and calls `wantBy` with what is left. */
export function createAlarm(ring: () => void): Alarm {
  let timer: unknown;
  let ringsAt = Number.POSITIVE_INFINITY;

  return {
    wantBy(deadline) {
      if (deadline >= ringsAt) return;
      stopTimer(timer);
      ringsAt = deadline;
      timer = startTimer(
        () => {
          timer = undefined;
          ringsAt = Number.POSITIVE_INFINITY;
          ring();
        },
        // Timers take whole milliseconds; some cut off the rest, ring too early, and would be set anew without end.
        Math.min(Math.ceil(Math.max(0, deadline - now())), LONGEST_DELAY_MS),
      );
    },
    stop() {
      stopTimer(timer);
      ringsAt = Number.POSITIVE_INFINITY;
    },
  };
}
