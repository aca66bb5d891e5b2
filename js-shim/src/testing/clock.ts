/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A clock that stands still until a test moves it.
 *
 * It is the time of ionbus and of nothing else: time-outs, heartbeats, back-off, what `Faults` delays. An application's
 * own timers belong to the test runner; where that fakes them (`vi.useFakeTimers()`), `beside` makes one clock of both.
 *
 * *Settled* is what a test wants between two moments: everything that can run without time going on has run. That is so when
 * ionbus has not asked for the time for some turns of the event loop. Where sockets, ports or pipes are between the two ends, an
 * answer may take longer than that: `graceMs` is how long it has to be quiet then.
 */

import {
  giveTimersAnew,
  isTimeFaked,
  moveTo,
  nextTimer,
  now,
  platform,
  ring,
  runTime,
  stopTime,
  timesAsked,
  turn,
} from "./timers.js";

/** How many turns of the event loop have to be quiet. */
const QUIET_TURNS = 5;
/** How many milliseconds what is due at the end of an advance may be behind it: sums of floats are not exact. */
const ROUNDING_MS = 0.001;

/** Fake timers of a test runner, as vitest's `vi`. */
export interface FakeTimers {
  advanceTimersByTimeAsync(ms: number): Promise<unknown>;
  advanceTimersToNextTimerAsync(): Promise<unknown>;
  isFakeTimers?(): boolean;
}

export interface FakeClockOptions {
  /** Whose fake timers to move along, so that one `advance` moves the application's and those of ionbus in their order. */
  readonly beside?: FakeTimers | undefined;
  /** For how many real milliseconds it has to be quiet to count as settled. Default: 0, which does for what is in memory. */
  readonly graceMs?: number | undefined;
  /** After how many real milliseconds it is an error that it does not settle. Default: 10,000. */
  readonly patienceMs?: number | undefined;
}

/** Something was not over in time. */
export class NotInTime extends Error {
  override readonly name = "NotInTime";
}

/**
 * The time of ionbus, moved by hand.
 *
 * ```ts
 * using clock = new FakeClock().install();
 * await clock.advance(30_000);
 * ```
 *
 * It begins at the time that it is, and stands still. `uninstall` lets it run again from where it is then.
 */
export class FakeClock implements Disposable {
  readonly #beside: FakeTimers | undefined;
  readonly #graceMs: number;
  readonly #patienceMs: number;
  #began = 0;
  /** What is being done with it; one thing at a time. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor({ beside, graceMs = 0, patienceMs = 10_000 }: FakeClockOptions = {}) {
    this.#beside = beside;
    this.#graceMs = graceMs;
    this.#patienceMs = patienceMs;
  }

  /** The clock that is installed, if one is. */
  static get current(): FakeClock | undefined {
    return installed;
  }

  get isInstalled(): boolean {
    return installed === this;
  }

  /** Whether it can be moved: it is installed, and the timers that it stands beside are still fake ones. */
  get isMovable(): boolean {
    return installed === this && this.#beside?.isFakeTimers?.() !== false;
  }

  /** The time, in milliseconds, as ionbus reads it. */
  get now(): number {
    return now();
  }

  /** How many milliseconds have passed since it was installed, to the microsecond. */
  get elapsed(): number {
    return Math.round((now() - this.#began) * 1_000) / 1_000;
  }

  /** When the next timer of ionbus is due, by `now`; undefined where none waits. */
  get nextDue(): number | undefined {
    return nextTimer()?.due;
  }

  /** Take over the time of ionbus. @throws Error another clock has, or the timers that it is to stand beside are real. */
  install(): this {
    if (installed !== undefined) throw new Error("there is a fake clock already; uninstall that one first");
    if (this.#beside?.isFakeTimers?.() === false)
      throw new Error("beside: the timers are the real ones; call vi.useFakeTimers() first");
    if (this.#beside !== undefined && !isTimeFaked())
      throw new Error("beside: the fake timers leave performance.now alone; they have to fake it too");
    installed = this;
    if (this.#beside === undefined) stopTime();
    else giveTimersAnew();
    this.#began = now();
    return this;
  }

  /** Let the time run again; what waits keeps what is left of its time. A second time changes nothing. */
  uninstall(): void {
    if (installed !== this) return;
    installed = undefined;
    runTime();
  }

  [Symbol.dispose](): void {
    this.uninstall();
  }

  /**
   * Let so much time pass. What falls due happens in its order, each thing at its own time, and what follows from it
   * before the next.
   *
   * @throws RangeError time does not go back; @throws Error the clock is not installed, or things do not settle.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0)) throw new RangeError(`time goes on: ms is at least 0, not ${ms}`);
    this.#check();
    const beside = this.#beside;
    if (beside !== undefined) {
      await this.#alone(async () => {
        await this.#settle();
        await beside.advanceTimersByTimeAsync(ms);
        await this.#settle();
      });
      return;
    }
    const until = now() + ms;
    await this.settle();
    while (await this.#alone(() => this.#step(until)));
  }

  /** Let everything happen that needs no time. @throws Error the clock is not installed, or things do not settle. */
  async settle(): Promise<void> {
    this.#check();
    await this.#alone(() => this.#settle());
  }

  /**
   * Wait for something, and let time pass for as long as that waits: `await clock.drive(bus.call(Conductor.ping))`.
   *
   * @param limitMs - how much time may pass. Default: an hour.
   * @throws NotInTime it took longer; @throws Error the clock is not installed, or things do not settle.
   */
  async drive<Value>(waiting: PromiseLike<Value>, limitMs = 3_600_000): Promise<Value> {
    this.#check();
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    waiting.then(over, over);
    const until = now() + limitMs;
    await this.settle();
    while (!isOver) {
      const isLate = !(await this.#alone(async () => isOver || (await this.#step(until))));
      if (isLate && !isOver) throw new NotInTime(`not over within ${limitMs} ms by the fake clock`);
    }
    return await waiting;
  }

  /** Go on to what is due next, or to `until`, and let it happen; false where nothing is left to do. */
  async #step(until: number): Promise<boolean> {
    this.#check();
    if (this.#beside !== undefined) {
      const left = until - now();
      if (left <= 0) return false;
      const end = setTimeout(() => {}, left);
      await this.#beside.advanceTimersToNextTimerAsync();
      clearTimeout(end);
    } else {
      const next = nextTimer();
      if (next !== undefined && next.due <= until + ROUNDING_MS) {
        moveTo(next.due);
        ring(next);
      } else if (now() < until) {
        moveTo(until);
      } else {
        return false;
      }
    }
    await this.#settle();
    return true;
  }

  async #settle(): Promise<void> {
    const givesUpAt = platform.now() + this.#patienceMs;
    let seen = timesAsked();
    let quietTurns = 0;
    let quietSince = platform.now();
    while (quietTurns < QUIET_TURNS || platform.now() - quietSince < this.#graceMs) {
      if (quietTurns < QUIET_TURNS) await turn();
      else await new Promise((resolve) => platform.setTimeout(resolve, 1));
      quietTurns += 1;
      if (timesAsked() !== seen) {
        seen = timesAsked();
        quietTurns = 0;
        quietSince = platform.now();
      }
      if (platform.now() > givesUpAt)
        throw new Error(
          `not settled within ${this.#patienceMs} ms: something goes on and on without waiting for time to pass`,
        );
    }
  }

  /** Do this when what was begun before is over. */
  async #alone<Value>(act: () => Promise<Value>): Promise<Value> {
    const before = this.#busy;
    const done = before.then(act);
    this.#busy = done.catch(() => undefined); // whoever waits for it is told
    return await done;
  }

  #check(): void {
    if (installed !== this) throw new Error("the fake clock is not installed: call `install()` first");
    if (!this.isMovable)
      throw new Error("the timers that the fake clock stands beside are the real ones again");
  }
}

let installed: FakeClock | undefined;
