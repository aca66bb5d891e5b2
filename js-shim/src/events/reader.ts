/** Events read one by one: a bounded queue between an emitter and a loop. */

import type { Subscription } from "../dispatch/subscription.js";
import { SlowConsumer } from "../errors.js";
import { Deque } from "../session/deque.js";

/**
 * What happens to an event for which there is no room: `wait`: `emit` waits until there is, and `emitNowait`, which cannot,
 * does as `fail`; `oldest`, `newest`: that one is dropped; `fail`: the reader gets what there was room for, then `SlowConsumer`.
 */
export type Overflow = "wait" | "oldest" | "newest" | "fail";

const POLICIES: readonly Overflow[] = ["wait", "oldest", "newest", "fail"];

export interface ReadOptions {
  /** How many events may wait to be read. Default: 1,000. */
  readonly limit?: number | undefined;
  /** Default: `wait`. */
  readonly overflow?: Overflow | undefined;
  /** Aborting it ends the reading. */
  readonly signal?: AbortSignal | undefined;
}

/** Events being read: `for await (const payload of events)`; leaving the loop, or `close`, ends it. */
export interface EventReader<Item> extends AsyncIterableIterator<Item> {
  return(): Promise<IteratorResult<Item>>;
  close(): void;
  /** How many were dropped for want of room. */
  readonly dropped: number;
}

interface Waiter<Item> {
  readonly resolve: (result: IteratorResult<Item>) => void;
  readonly reject: (error: unknown) => void;
}

/** The queue of one reader. */
export class Reader<Item> implements EventReader<Item> {
  /** Gives no more than what it has. */
  subscription: Subscription | undefined;
  dropped = 0;
  readonly #what: string;
  readonly #limit: number;
  readonly #overflow: Overflow;
  readonly #items = new Deque<Item>();
  /** Those that `emit` waits with for room. */
  #late = new Deque<{ readonly item: Item; readonly resolve: () => void }>();
  #waiters = new Deque<Waiter<Item>>();
  #isOver = false;
  #failure: SlowConsumer | undefined;

  /** @throws TypeError a limit below 1, or no such policy. */
  constructor(what: string, { limit = 1_000, overflow = "wait" }: ReadOptions) {
    if (!(Number.isInteger(limit) && limit > 0)) throw new TypeError(`${what}: limit ${limit} is below 1`);
    if (!POLICIES.includes(overflow))
      throw new TypeError(`${what}: overflow "${overflow}" is none of ${POLICIES.join(", ")}`);
    this.#what = what;
    this.#limit = limit;
    this.#overflow = overflow;
  }

  /** Take an event; what it gives, `emit` waits for. */
  take(item: Item, mayWait: boolean): Promise<void> | undefined {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve({ done: false, value: item });
    else if (this.#items.length < this.#limit) this.#items.push(item);
    else if (this.#overflow === "oldest") {
      this.#items.shift();
      this.#items.push(item);
      this.dropped += 1;
    } else if (this.#overflow === "newest") this.dropped += 1;
    else if (this.#overflow === "wait" && mayWait) {
      return new Promise((resolve) => this.#late.push({ item, resolve }));
    } else {
      this.#failure = new SlowConsumer(`${this.#what}: more than ${this.#limit} events wait to be read`);
      this.subscription?.close();
    }
    return undefined;
  }

  /** Nothing more comes: the emitter is closed, or the subscription. */
  end(): void {
    this.#isOver = true;
    for (let late = this.#late.shift(); late !== undefined; late = this.#late.shift()) {
      this.#items.push(late.item);
      late.resolve();
    }
    for (let each = this.#waiters.shift(); each !== undefined; each = this.#waiters.shift())
      each.resolve({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<Item>> {
    return new Promise((resolve, reject) => {
      if (this.#items.length > 0) {
        const value = this.#items.shift() as Item;
        const late = this.#late.shift();
        if (late !== undefined) {
          this.#items.push(late.item);
          late.resolve();
        }
        resolve({ done: false, value });
      } else if (this.#failure !== undefined) {
        reject(this.#failure);
        this.#failure = undefined;
      } else if (this.#isOver) resolve({ done: true, value: undefined });
      else this.#waiters.push({ resolve, reject });
    });
  }

  close(): void {
    this.subscription?.close(); // before that: what waited for room comes to the others then
    while (this.#items.length > 0) this.#items.shift();
    this.#failure = undefined;
  }

  return(): Promise<IteratorResult<Item>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
