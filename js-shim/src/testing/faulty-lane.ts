/** One direction of a faulty channel: what waits for its time, and what is to happen to it then. */

import { now, startTimer, stopTimer } from "../time.js";
import { type Fate, type Plan, UNHARMED } from "./faults.js";

/** A lane on which more waits than this is behind. */
export const HIGH_WATER_BYTES = 65_536;

/** What is said at the end of a channel. */
export interface End {
  readonly over: boolean;
  readonly code: string;
  readonly message: string;
}

interface Waiting {
  readonly due: number;
  readonly number: number;
  readonly fate: Fate;
  readonly what: Uint8Array | End;
}

/** Where a lane leads. */
export interface Outlet {
  frame(frame: Uint8Array): void;
  end(end: End): void;
  /** It was behind, and is no more. */
  caughtUp(): void;
  /** Let a fault happen to a frame that was to arrive now. */
  fail(fate: Fate, frame: Uint8Array, lane: FaultyLane): void;
}

export class FaultyLane {
  waitingBytes = 0;
  readonly #plan: Plan;
  readonly #outlet: Outlet;
  #waiting: Waiting[] = [];
  #frames = 0;
  #lastDue = 0;
  #timer: unknown;
  #resumes: unknown;
  #isStalled = false;
  #isDead = false;
  #isMoving = false;

  constructor(plan: Plan, outlet: Outlet) {
    this.#plan = plan;
    this.#outlet = outlet;
  }

  /** Take a frame or the end. */
  put(what: Uint8Array | End): void {
    if (this.#isDead) return;
    let fate = UNHARMED;
    if (what instanceof Uint8Array) {
      this.#frames += 1;
      this.waitingBytes += what.length;
      fate = this.#plan.next();
    }
    this.#lastDue = Math.max(this.#lastDue, now() + fate.delay);
    this.#waiting.push({ due: this.#lastDue, number: this.#frames, fate, what });
    this.#move(now());
  }

  /** A frame that was to arrive waits again, before all others; nothing more will happen to it. */
  putBack(frame: Uint8Array): void {
    this.waitingBytes += frame.length;
    this.#waiting.unshift({ due: 0, number: 0, fate: UNHARMED, what: frame });
  }

  /** A frame arrives, unless the lane is dead. */
  passOn(frame: Uint8Array): void {
    if (!this.#isDead) this.#outlet.frame(frame);
  }

  /** Let nothing arrive, for so many milliseconds or until `resume`. */
  stall(ms?: number): void {
    this.#isStalled = true;
    if (ms === undefined || this.#isDead) return;
    stopTimer(this.#resumes);
    this.#resumes = startTimer(() => this.resume(), ms);
  }

  /** End a stall. */
  resume(): void {
    this.#isStalled = false;
    stopTimer(this.#resumes);
    this.#move(now());
  }

  /** Lose what waits, and take no more. */
  kill(): void {
    this.#isDead = true;
    this.#waiting = [];
    this.waitingBytes = 0;
    stopTimer(this.#timer);
    stopTimer(this.#resumes);
  }

  /** Let arrive what is due. */
  #move(time: number): void {
    if (this.#isMoving) return;
    this.#isMoving = true;
    const wasBehind = this.waitingBytes > HIGH_WATER_BYTES;
    try {
      for (let next = this.#waiting[0]; next !== undefined && !this.#isStalled; next = this.#waiting[0]) {
        if (next.due > time) {
          this.#wakeAt(next.due);
          break;
        }
        this.#waiting.shift();
        this.#arrive(next);
      }
    } finally {
      this.#isMoving = false;
    }
    if (wasBehind && !this.#isDead && this.waitingBytes <= HIGH_WATER_BYTES) this.#outlet.caughtUp();
  }

  #wakeAt(due: number): void {
    this.#timer ??= startTimer(() => {
      this.#timer = undefined;
      this.#move(Math.max(due, now())); // a timer may come too early by the clock's resolution
    }, due - now());
  }

  #arrive({ number, fate, what }: Waiting): void {
    if (!(what instanceof Uint8Array)) {
      this.kill();
      this.#outlet.end(what);
      return;
    }
    this.waitingBytes -= what.length;
    if (fate.fault === undefined) {
      this.#outlet.frame(what);
    } else {
      this.#plan.happened(fate.fault, number);
      this.#outlet.fail(fate, what, this);
    }
  }
}
