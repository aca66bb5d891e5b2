/**
 * Values in, fewer values out: one subscription's share of the values of one event (docs/aggregation.md).
 *
 * Values pass four stations in this order, each where it is asked for: `where`, `everyMs`, `distinct`, `batch`. Nothing here has a
 * clock, or knows what a value is: times go in and the next deadline comes out, in milliseconds. The broker runs the twin of this;
 * here it is for the fake broker.
 */

/** What is asked for, as an aggregate needs it. */
export interface AggregateOptions<Value> {
  readonly everyMs?: number | undefined;
  readonly batch?: readonly [count: number, ms: number] | undefined;
  readonly distinct?: boolean | undefined;
  /** Whether a value is wanted; without it all are. */
  readonly passes?: ((value: Value) => boolean) | undefined;
  /** What tells values apart; without it there are no keys. */
  readonly key?: ((value: Value) => string) | undefined;
  /** Whether two values are the same. */
  readonly isSame: (one: Value, other: Value) => boolean;
  /** For so many keys the newest waits, and the last that was given is known; the oldest is forgotten. */
  readonly maxKeys: number;
}

/** Each list that a method gives goes out together; without `batch` each has one value. */
export class Aggregate<Value> {
  /** When `tick` is to be called; undefined: nothing waits. */
  deadline: number | undefined;
  readonly #options: AggregateOptions<Value>;
  #periodEnds = Number.NEGATIVE_INFINITY;
  #waiting = new Map<unknown, Value>();
  readonly #given = new Map<string | undefined, Value>();
  #batch = new Map<unknown, Value>();
  #batchEnds = 0;

  constructor(options: AggregateOptions<Value>) {
    this.#options = options;
  }

  /** A value has come; gives what goes out by that. */
  add(value: Value, now: number): Value[][] {
    const { passes, everyMs } = this.#options;
    if (passes?.(value) === false) return [];
    let given: Value[][] = [];
    if (everyMs === undefined) {
      given = this.#goOn([value], now);
    } else {
      if (now >= this.#periodEnds && this.#waiting.size > 0) given = this.tick(now);
      if (now >= this.#periodEnds) {
        this.#periodEnds = now + everyMs;
        given = this.#goOn([value], now);
      } else {
        this.#wait(value);
      }
    }
    this.#lookAhead();
    return given;
  }

  /** These are the newest values, for one who has just come: what passes goes out at once, and opens the first period. */
  begin(values: readonly Value[], now: number): Value[][] {
    const { passes, everyMs, key } = this.#options;
    let passing = values.filter((value) => passes?.(value) !== false);
    if (key !== undefined) {
      const newest = new Map<string, Value>();
      for (const value of passing) {
        newest.delete(key(value));
        newest.set(key(value), value);
      }
      passing = [...newest.values()];
    } else if (everyMs !== undefined) {
      passing = passing.slice(-1);
    }
    if (passing.length === 0) return [];
    if (everyMs !== undefined) this.#periodEnds = now + everyMs;
    const given = [...this.#goOn(passing, now), ...this.#closeBatch()];
    this.#lookAhead();
    return given;
  }

  /** It is `deadline`, or later; gives what goes out by that. */
  tick(now: number): Value[][] {
    const given: Value[][] = [];
    const { everyMs } = this.#options;
    if (everyMs !== undefined && this.#waiting.size > 0 && now >= this.#periodEnds) {
      this.#periodEnds = now + everyMs;
      const values = [...this.#waiting.values()];
      this.#waiting = new Map();
      given.push(...this.#goOn(values, now));
    }
    if (this.#batch.size > 0 && now >= this.#batchEnds) given.push(...this.#closeBatch());
    this.#lookAhead();
    return given;
  }

  /** Keep the newest for the end of the period. */
  #wait(value: Value): void {
    const key = this.#options.key?.(value);
    this.#waiting.delete(key);
    this.#waiting.set(key, value);
    if (this.#waiting.size > this.#options.maxKeys) forgetOldest(this.#waiting);
  }

  /** These have passed `everyMs`. */
  #goOn(values: readonly Value[], now: number): Value[][] {
    const { batch, distinct } = this.#options;
    if (batch !== undefined) return values.flatMap((value) => this.#collect(value, now, ...batch));
    return values.filter((value) => !distinct || this.#isNews(value)).map((value) => [value]);
  }

  /** Put a value into the batch. */
  #collect(value: Value, now: number, count: number, ms: number): Value[][] {
    const { distinct, key } = this.#options;
    const isFirst = this.#batch.size === 0;
    let place: unknown = this.#batch.size;
    if (key === undefined) {
      if (distinct && !this.#isNews(value)) return [];
    } else {
      place = key(value);
      this.#batch.delete(place);
      if (distinct && this.#isGiven(value)) return [];
    }
    if (isFirst) this.#batchEnds = now + ms;
    this.#batch.set(place, value);
    return this.#batch.size >= count ? this.#closeBatch() : [];
  }

  #closeBatch(): Value[][] {
    const values = [...this.#batch.values()];
    if (values.length === 0) return [];
    const { distinct, key } = this.#options;
    if (distinct && key !== undefined) for (const value of values) this.#remember(value);
    this.#batch = new Map();
    return [values];
  }

  /** Whether it is another than the last of its key, which it is from now on. */
  #isNews(value: Value): boolean {
    const isNews = !this.#isGiven(value);
    if (isNews) this.#remember(value);
    return isNews;
  }

  #isGiven(value: Value): boolean {
    const key = this.#options.key?.(value);
    return this.#given.has(key) && this.#options.isSame(this.#given.get(key) as Value, value);
  }

  /** It is the last that was given; of what is forgotten, an equal one may be given again. */
  #remember(value: Value): void {
    const key = this.#options.key?.(value);
    this.#given.delete(key);
    this.#given.set(key, value);
    if (this.#given.size > this.#options.maxKeys) forgetOldest(this.#given);
  }

  #lookAhead(): void {
    const ends: number[] = [];
    if (this.#waiting.size > 0) ends.push(this.#periodEnds);
    if (this.#batch.size > 0) ends.push(this.#batchEnds);
    this.deadline = ends.length > 0 ? Math.min(...ends) : undefined;
  }
}

function forgetOldest(values: Map<unknown, unknown>): void {
  const [oldest] = values.keys();
  values.delete(oldest);
}
