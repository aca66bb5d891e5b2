/** Elements that were sent and not acknowledged yet (docs/protocol.md, sections 4.5 and 4.7). */

import * as Message from "../generated/message.js";
import { Deque } from "./deque.js";
import type { Entry } from "./outbox.js";

export const NIL: Uint8Array = Uint8Array.of(0xc0);

interface Kept {
  readonly element: Uint8Array;
  /** The message that ends with it; undefined for an earlier part of a transfer and for nil. */
  readonly entry: Entry | undefined;
}

/** The replay buffer: numbers elements as they enter, keeps them until they are acknowledged, gives them again after a cut. */
export class Replay {
  readonly #maxBytes: number;
  readonly #maxElements: number;
  readonly #kept = new Deque<Kept>();
  /** How many of the last ones that are kept wait to be sent again. */
  #again = 0;
  /** The number of the newest element. */
  sent = 0;
  /** The newest number that the other side acknowledged. */
  acked = 0;
  /** Bytes kept. */
  size = 0;

  /**
   * @param maxBytes - above it nothing more is numbered; one element may exceed it.
   * @param maxElements - likewise.
   */
  constructor(maxBytes: number, maxElements: number) {
    this.#maxBytes = maxBytes;
    this.#maxElements = maxElements;
  }

  /** Whether nothing more may be numbered. */
  get isFull(): boolean {
    return this.size >= this.#maxBytes || this.#kept.length >= this.#maxElements;
  }

  /** How many elements wait to be sent again. */
  get resending(): number {
    return this.#again;
  }

  /** Whether elements wait to be sent again; until then nothing new may leave. */
  get isResending(): boolean {
    return this.#again > 0;
  }

  /** Number a new element and keep it. `entry`: the message that ends with it, undefined for an earlier part of a transfer. */
  append(element: Uint8Array, entry: Entry | undefined): number {
    this.#kept.push({ element, entry });
    this.size += element.length;
    return ++this.sent;
  }

  /** Forget every element up to and including `seq`, which is at most `sent`; an older number changes nothing. */
  acknowledge(seq: number): void {
    while (this.acked < seq) {
      this.size -= this.#kept.shift()?.element.length ?? 0;
      this.acked++;
    }
    this.#again = Math.min(this.#again, this.#kept.length);
  }

  /**
   * A new channel is there and the other side has `received`: send again what follows.
   *
   * An unacknowledged volatile event and a `latest` one that has a successor become nil.
   *
   * @returns the events that became nil.
   */
  rewind(received: number): Entry[] {
    this.acknowledge(received);
    const dropped: Entry[] = [];
    const newest = new Set<string | undefined>();
    for (let index = this.#kept.length - 1; index >= 0; index--) {
      const { element, entry } = this.#kept.at(index) as Kept;
      // Only a whole EVENT may go.
      if (entry === undefined || entry.cost < 0 || element[1] !== Message.Event) continue;
      if (entry.delivery === "volatile" || (entry.delivery === "latest" && newest.has(entry.key))) {
        dropped.push(entry);
        this.#kept.set(index, { element: NIL, entry: undefined });
        this.size -= element.length - NIL.length;
      } else if (entry.delivery === "latest") {
        newest.add(entry.key);
      }
    }
    this.#again = this.#kept.length;
    return dropped;
  }

  /** The number of the next element to send again; with `nextAgain` it is undefined when there is none. */
  get nextAgainSeq(): number {
    return this.sent - this.#again + 1;
  }

  /** The next element to send again, without taking it. */
  nextAgain(): Uint8Array | undefined {
    return this.#again > 0 ? this.#kept.at(this.#kept.length - this.#again)?.element : undefined;
  }

  /** It has entered a frame. */
  takeAgain(): void {
    this.#again--;
  }

  /** Events that were numbered and not acknowledged: what may be lost when the session ends. */
  unacknowledgedEvents(): Entry[] {
    return this.#kept
      .toArray()
      .flatMap(({ entry }) => (entry !== undefined && entry.cost >= 0 ? [entry] : []));
  }
}
