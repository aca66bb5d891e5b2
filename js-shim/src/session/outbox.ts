/**
 * Messages that wait for their number (docs/protocol.md, sections 4.6 and 4.8).
 *
 * Two queues, since events wait for credit and nothing else may wait behind them. Each entry has an ordinal, so that while
 * there is credit both queues leave in the order in which they were filled. A *lane* is a sequence that keeps its order
 * around a transfer: all events are one lane, each request is one. While a lane has a transfer under way, what follows in it is held.
 */

import { Deque } from "./deque.js";

export type Delivery = "session" | "volatile" | "latest";

/** A request's id, or what the sender calls its lane. */
export type Lane = string | number;

/** The lane of all events. */
export const EVENTS: Lane = "events";

/** Withdrawn entries from which on the queues are swept, once they are half of what is there. */
const SWEPT = 64;

/** One message on its way out. */
export class Entry {
  /** The message's bytes; replaced while a `latest` event waits. */
  data: Uint8Array;
  /** Payload bytes that an event takes from the credit, -1 for a message that needs none. */
  cost: number;
  readonly delivery: Delivery;
  readonly key: string | undefined;
  readonly lane: Lane | undefined;
  /** Whatever the sender wants back when the other side rejects the message. */
  readonly tag: unknown;
  ordinal = 0;
  /** Its last byte has entered a frame: it is the other side's, as long as the session lives. */
  isNumbered = false;
  /** It will never be sent. */
  isDropped = false;

  constructor(
    data: Uint8Array,
    cost: number,
    delivery: Delivery,
    key: string | undefined,
    lane: Lane | undefined,
    tag: unknown,
  ) {
    this.data = data;
    this.cost = cost;
    this.delivery = delivery;
    this.key = key;
    this.lane = lane;
    this.tag = tag;
  }
}

/** The two queues, the held lanes, and the newest entry of each `latest` key. */
export class Outbox {
  readonly #maxLatestKeys: number;
  private events = new Deque<Entry>();
  private messages = new Deque<Entry>();
  readonly #held = new Map<Lane, Entry[]>();
  readonly #latest = new Map<string | undefined, Entry>();
  #ordinal = 0;
  /** Since the queues were swept. */
  #withdrawn = 0;
  /** Cost of all events that wait. */
  queuedBytes = 0;
  queuedEvents = 0;
  /** Entries that wait and need no credit. */
  queuedMessages = 0;
  /** Bytes of those, held ones included. */
  queuedMessageBytes = 0;

  constructor(maxLatestKeys: number) {
    this.#maxLatestKeys = maxLatestKeys;
  }

  /** Queue one entry behind all others; gives the `latest` event that is forgotten for it, if one is. */
  push(entry: Entry): Entry | undefined {
    entry.ordinal = ++this.#ordinal;
    if (entry.cost < 0) {
      this.messages.push(entry);
      this.queuedMessages++;
      this.queuedMessageBytes += entry.data.length;
      return undefined;
    }
    this.events.push(entry);
    this.queuedEvents++;
    this.queuedBytes += entry.cost;
    if (entry.delivery === "latest") {
      this.#latest.set(entry.key, entry);
      if (this.#latest.size > this.#maxLatestKeys) {
        for (const oldest of this.#latest.values()) {
          this.withdraw(oldest);
          return oldest;
        }
      }
    }
    return undefined;
  }

  /** Put a newer event in the place of the one with the same key; undefined where none waits. */
  replace(key: string | undefined, data: Uint8Array, cost: number): Entry | undefined {
    const entry = this.#latest.get(key);
    if (entry !== undefined) {
      this.queuedBytes += cost - entry.cost;
      entry.data = data;
      entry.cost = cost;
    }
    return entry;
  }

  /** Whether a `latest` event with this key waits. */
  isWaiting(key: string): boolean {
    return this.#latest.has(key);
  }

  /** The next entry to number, or undefined. `mayTakeEvent`: there is credit for one. */
  take(mayTakeEvent: boolean): Entry | undefined {
    for (;;) {
      const event = mayTakeEvent && !this.#held.has(EVENTS) ? this.events.first : undefined;
      const message = this.messages.first;
      if (event !== undefined && (message === undefined || event.ordinal < message.ordinal)) {
        this.events.shift();
        if (!event.isDropped) {
          this.#forget(event);
          return event;
        }
      } else if (message !== undefined) {
        this.messages.shift();
        if (message.isDropped) continue;
        const held = message.lane === undefined ? undefined : this.#held.get(message.lane);
        if (held === undefined) {
          this.queuedMessages--;
          this.queuedMessageBytes -= message.data.length;
          return message;
        }
        held.push(message);
      } else {
        return undefined;
      }
    }
  }

  /** From now on keep back what follows in this lane: a transfer has begun in it. */
  hold(lane: Lane | undefined): void {
    if (lane !== undefined) this.#held.set(lane, []);
  }

  /** The lane's transfer is over; what was kept back comes next. */
  release(lane: Lane | undefined): void {
    const held = lane === undefined ? undefined : this.#held.get(lane);
    if (lane === undefined || held === undefined) return;
    this.#held.delete(lane);
    if (held.length > 0) this.messages.prepend(held);
  }

  /** Never send an entry that still waits. */
  withdraw(entry: Entry): void {
    entry.isDropped = true;
    if (entry.cost >= 0) {
      this.#forget(entry);
    } else {
      this.queuedMessages--;
      this.queuedMessageBytes -= entry.data.length;
    }
    this.#withdrawn++;
    if (this.#withdrawn >= SWEPT && this.#withdrawn * 2 >= this.events.length + this.messages.length)
      this.#sweep();
  }

  /** All entries that wait, in order. */
  waiting(): Entry[] {
    const entries = [...this.events.toArray(), ...this.messages.toArray()];
    for (const lane of this.#held.values()) entries.push(...lane);
    return entries.filter((entry) => !entry.isDropped).sort((a, b) => a.ordinal - b.ordinal);
  }

  /** Let go of what was withdrawn: while nothing leaves, it would pile up. */
  #sweep(): void {
    this.#withdrawn = 0;
    this.events = new Deque(this.events.toArray().filter((entry) => !entry.isDropped));
    this.messages = new Deque(this.messages.toArray().filter((entry) => !entry.isDropped));
  }

  #forget(entry: Entry): void {
    this.queuedEvents--;
    this.queuedBytes -= entry.cost;
    if (entry.delivery === "latest" && this.#latest.get(entry.key) === entry) this.#latest.delete(entry.key);
  }
}
