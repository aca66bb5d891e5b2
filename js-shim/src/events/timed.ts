/** An aggregate on the program's timers: what it gives is handed out. */

import { now, startTimer, stopTimer } from "../time.js";
import type { Aggregate } from "./aggregation.js";

/** See the module. */
export class Timed<Value> {
  readonly #aggregate: Aggregate<Value>;
  readonly #hand: (values: Value[]) => void;
  #timer: unknown;

  /** @param hand - called with what goes out together. */
  constructor(aggregate: Aggregate<Value>, hand: (values: Value[]) => void) {
    this.#aggregate = aggregate;
    this.#hand = hand;
  }

  /** A value has come. */
  add(value: Value): void {
    this.#give(this.#aggregate.add(value, now()));
  }

  /** These are the newest values, for one who has just come. */
  begin(values: readonly Value[]): void {
    this.#give(this.#aggregate.begin(values, now()));
  }

  /** Drop what waits. */
  close(): void {
    stopTimer(this.#timer);
  }

  #give(lists: Value[][]): void {
    stopTimer(this.#timer);
    const { deadline } = this.#aggregate;
    if (deadline !== undefined) {
      // Timers may be early by what a clock's hand moves at a time.
      this.#timer = startTimer(
        () => this.#give(this.#aggregate.tick(Math.max(now(), deadline))),
        Math.max(0, deadline - now()),
      );
    }
    for (const values of lists) this.#hand(values);
  }
}
