/** One session's events on their way to their listeners: started in order, and none waits for another. */

import { isThenable } from "../checks.js";
import { kept } from "../wire/kept.js";

/** Something that is handed events. */
export interface Target {
  /** Whether it still wants them. */
  readonly isOpen: boolean;
  /** The event's value as this target wants it. @throws InvalidPayload */
  decode(name: string, payload: Uint8Array): unknown;
  /** Take an event: start the listener, and give what runs on. */
  hand(name: string, value: unknown): unknown;
}

interface Arrival {
  readonly seq: number;
  readonly name: string;
  readonly payload: Uint8Array;
  readonly targets: readonly Target[];
  /** Whether its credit returns: not that of an event that this side made itself. */
  readonly costs: boolean;
  /** Which of this side's sessions it came in; the other side forgets its numbers with the session. */
  readonly session: number;
}

/** Starts listeners in order, at most so many at a time; what exceeds them waits, and costs its sender credit. */
export class Listeners {
  readonly #maxRunning: number;
  readonly #consumed: (cost: number) => void;
  readonly #refuse: (seq: number, error: unknown) => void;
  #session = 0;
  #running = 0;
  #waiting: Arrival[] = [];

  /**
   * @param maxRunning - how many may be under way.
   * @param consumed - told the cost of each event that has been handed to everybody.
   * @param refuse - told the number of an event that is not valid, and why.
   */
  constructor(
    maxRunning: number,
    consumed: (cost: number) => void,
    refuse: (seq: number, error: unknown) => void,
  ) {
    this.#maxRunning = maxRunning;
    this.#consumed = consumed;
    this.#refuse = refuse;
  }

  /** An event has arrived for `targets`. */
  arrive(seq: number, name: string, payload: Uint8Array, targets: readonly Target[]): void {
    this.#take({ seq, name, payload, targets, costs: true, session: this.#session });
  }

  /** An event of this side's own making, behind those that arrived before. */
  arriveFromHere(name: string, payload: Uint8Array, targets: readonly Target[]): void {
    this.#take({ seq: 0, name, payload, targets, costs: false, session: this.#session });
  }

  /** The session is a new one: it owes no credit and no refusal for what came in the one before. */
  beginAnew(): void {
    this.#session += 1;
  }

  /** Drop what waits: the session has ended. */
  clear(): void {
    this.#waiting = [];
  }

  #take(arrival: Arrival): void {
    if (this.#waiting.length > 0 || this.#running >= this.#maxRunning) {
      this.#waiting.push({ ...arrival, payload: kept(arrival.payload) });
    } else {
      this.#hand(arrival);
    }
  }

  #hand({ seq, name, payload, targets, costs, session }: Arrival): void {
    const isOwed = session === this.#session;
    try {
      // Each gets a value of its own, so that no listener sees what another did to it.
      const values = targets.map((target) => target.decode(name, payload));
      for (let index = 0; index < values.length; index++)
        this.#start(targets[index] as Target, name, values[index]);
    } catch (error) {
      if (isOwed) this.#refuse(seq, error);
      else reportListenerError(name, error);
    }
    if (costs && isOwed) this.#consumed(payload.length);
  }

  #start(target: Target, name: string, value: unknown): void {
    if (!target.isOpen) return; // it was closed while the event waited, or by a listener before it
    try {
      const result = target.hand(name, value);
      if (!isThenable(result)) return;
      this.#running += 1;
      const ended = (): void => {
        this.#running -= 1;
        while (this.#running < this.#maxRunning) {
          const next = this.#waiting.shift();
          if (next === undefined) return;
          this.#hand(next);
        }
      };
      result.then(ended, (error: unknown) => {
        reportListenerError(name, error);
        ended();
      });
    } catch (error) {
      reportListenerError(name, error);
    }
  }
}

/** Say that a listener failed, where the platform says such things; nothing else is disturbed by it. */
export function reportListenerError(name: string, error: unknown): void {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void };
  if (reportError === undefined) console.error(`ionbus: a listener of ${name} failed:`, error);
  else reportError(error);
}
