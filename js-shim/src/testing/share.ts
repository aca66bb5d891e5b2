/** What a subscription with options gets of a fake broker's events (docs/aggregation.md). There is no schema that it could be fitted to. */

import { Aggregate } from "../events/aggregation.js";
import { type Filter, predicate, valueAt } from "../events/filters.js";
import { Timed } from "../events/timed.js";
import { DEFAULT_LIMITS } from "../generated/protocol.js";
import { isMap } from "../wire/frames.js";
import { isSame } from "../wire/same.js";
import { decode, encode } from "../wire/values.js";

/** The options of SUBSCRIBE that ask for some of the events. */
const SOME: readonly string[] = ["every", "latest_by", "batch", "where", "distinct"];

/** Whether a subscription's options ask for some of the events. */
export function asksForSome(options: unknown): options is Readonly<Record<string, unknown>> {
  return isMap(options) && SOME.some((name) => options[name] !== undefined);
}

/** See the module. */
export class Share {
  readonly #of = new Map<string, Timed<unknown>>();
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #passes: ((value: unknown) => boolean) | undefined;
  readonly #give: (name: string, values: unknown[]) => void;

  /**
   * @param options - of SUBSCRIBE.
   * @param give - told what goes out together.
   * @throws TypeError they are malformed.
   */
  constructor(options: Readonly<Record<string, unknown>>, give: (name: string, values: unknown[]) => void) {
    const { every, batch, where } = options;
    const times = [every, ...(Array.isArray(batch) ? batch : [batch])].filter((time) => time !== undefined);
    if (!times.every((time) => Number.isInteger(time) && (time as number) > 0)) {
      throw new TypeError("every and batch are whole numbers above 0");
    }
    this.#options = options;
    this.#passes = where instanceof Uint8Array ? predicate(decode(where) as Filter) : undefined;
    this.#give = give;
  }

  /** Whether it gets lists. */
  get isBatched(): boolean {
    return this.#options["batch"] !== undefined;
  }

  /** An event was published; `key`: the fields that tell a "latest" one apart. */
  add(name: string, payload: Uint8Array, key: readonly string[]): void {
    this.#timed(name, key).add(decode(payload));
  }

  /** These are the newest of a "latest" event. */
  begin(name: string, payloads: readonly Uint8Array[], key: readonly string[]): void {
    this.#timed(name, key).begin(payloads.map(decode));
  }

  /** Drop what waits. */
  close(): void {
    for (const timed of this.#of.values()) timed.close();
  }

  #timed(name: string, key: readonly string[]): Timed<unknown> {
    let timed = this.#of.get(name);
    if (timed === undefined) {
      const { every, latest_by, batch, distinct } = this.#options;
      const paths = latest_by === undefined ? key : ([latest_by].flat() as string[]);
      const finds = paths.map(valueAt);
      const aggregate = new Aggregate<unknown>({
        everyMs: every as number | undefined,
        batch: batch as [number, number] | undefined,
        distinct: distinct === true,
        passes: this.#passes,
        key: finds.length === 0 ? undefined : (value) => String(finds.map((find) => encode(find(value)))),
        isSame,
        maxKeys: DEFAULT_LIMITS.maxLatestKeys,
      });
      timed = new Timed(aggregate, (values) => this.#give(name, values));
      this.#of.set(name, timed);
    }
    return timed;
  }
}
