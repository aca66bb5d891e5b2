/**
 * Every timer of ionbus, and the time that they run by. From the moment on at which this module is loaded they are kept
 * here, so that a `FakeClock` finds those too that were started before it.
 *
 * Time is the platform's, or stands still where a fake clock has stopped it. It never jumps: whoever replaces
 * `performance.now` (fake timers of a test runner do), or lets a clock run again that was moved by hand, goes on from
 * where it was.
 */

import { setTime } from "../time.js";

const own = performance.now;

/** The platform's own, from before a test runner replaced them. */
export const platform = {
  now: own.bind(performance),
  setTimeout: globalThis.setTimeout.bind(globalThis),
  clearTimeout: globalThis.clearTimeout.bind(globalThis),
};
const { setImmediate: immediately, MessageChannel: Messages } = globalThis as {
  setImmediate?: (go: () => void) => unknown;
  MessageChannel?: typeof MessageChannel;
};

export interface Timer {
  readonly ring: () => void;
  /** Milliseconds of `now`. */
  readonly due: number;
  /** Those that are due at the same time ring in the order in which they were started. */
  readonly number: number;
  /** Takes it back from the platform. */
  withdraw: (() => void) | undefined;
}

const waiting = new Set<Timer>();
let source: (() => number) | undefined;
let ahead = 0;
let latest = platform.now();
let isStopped = false;
let started = 0;
let asked = 0;

/** The time in milliseconds; it never goes back. */
export function now(): number {
  if (!isStopped) {
    const time = performance.now();
    if (performance.now !== source) {
      source = performance.now;
      ahead = Math.ceil(latest - time);
    }
    latest = time + ahead;
  }
  return latest;
}

/** Whether `performance.now` is that of fake timers. */
export function isTimeFaked(): boolean {
  return performance.now !== own;
}

/** Let the time stand still, and take all timers from the platform. */
export function stopTime(): void {
  latest = Math.ceil(now()); // whole numbers are easier to reason about
  isStopped = true;
  for (const timer of waiting) timer.withdraw?.();
}

/** Go to a later time, while it stands still. */
export function moveTo(time: number): void {
  latest = Math.max(latest, time);
}

/** Let the time run again from where it is; what waits keeps what is left of its time. */
export function runTime(): void {
  isStopped = false;
  source = undefined;
  giveTimersAnew();
}

/** Give all timers to the platform as it is now: it may have become a test runner's meanwhile. */
export function giveTimersAnew(): void {
  for (const timer of waiting) {
    timer.withdraw?.();
    give(timer);
  }
}

/** The timer that rings next. */
export function nextTimer(): Timer | undefined {
  let next: Timer | undefined;
  for (const timer of waiting) {
    if (next === undefined || timer.due < next.due) next = timer; // a set keeps the order of what was put into it
  }
  return next;
}

/** Let a timer ring now. */
export function ring(timer: Timer): void {
  timer.withdraw?.();
  if (waiting.delete(timer)) timer.ring();
}

/** How often ionbus has asked for the time or a timer: what stays the same while nothing happens. */
export function timesAsked(): number {
  return asked;
}

/** One turn of the event loop, in which everything runs that waits for nothing; no test runner can stop it. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (immediately !== undefined) {
      immediately(resolve);
    } else if (Messages !== undefined) {
      const { port1, port2 } = new Messages();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    } else {
      platform.setTimeout(resolve, 0);
    }
  });
}

function give(timer: Timer): void {
  // What takes it back has to come from the same hands, which may be a test runner's.
  const { setTimeout, clearTimeout } = globalThis;
  const handle = setTimeout(() => ring(timer), Math.ceil(Math.max(0, timer.due - now())));
  timer.withdraw = () => {
    timer.withdraw = undefined;
    clearTimeout(handle);
  };
}

setTime({
  now() {
    asked += 1;
    return now();
  },
  startTimer(ring, delayMs) {
    asked += 1;
    started += 1;
    const timer: Timer = { ring, due: now() + Math.max(0, delayMs), number: started, withdraw: undefined };
    waiting.add(timer);
    if (!isStopped) give(timer);
    return timer;
  },
  stopTimer(timer) {
    asked += 1;
    if (isTimer(timer)) {
      timer.withdraw?.();
      waiting.delete(timer);
    } else {
      clearTimeout(timer as ReturnType<typeof setTimeout>); // from before this module was loaded
    }
  },
});

function isTimer(timer: unknown): timer is Timer {
  return typeof timer === "object" && timer !== null && "ring" in timer;
}
