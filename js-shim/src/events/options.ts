/** What a subscription may ask for besides its events: which of them, how often, and how many at a time (docs/aggregation.md). */

import type { Filter, PathOf } from "./filters.js";

/** Some of the events, one by one. Every option accepts `undefined`. */
export interface Some<Payload = unknown> {
  /** At most one event in so many milliseconds, the newest; with `latestBy` the newest of each key. */
  readonly everyMs?: number | undefined;
  /** The field, or fields, that tell events apart: the newest takes the place of one that waits. */
  readonly latestBy?: PathOf<Payload> | readonly PathOf<Payload>[] | undefined;
  /** Which events. */
  readonly where?: Filter<Payload> | undefined;
  /** No event that is the same as the one before, of its key. */
  readonly distinct?: boolean | undefined;
  readonly batch?: undefined;
}

/** Some of the events in lists: of so many, or of what there is after so many milliseconds. */
export interface SomeInBatches<Payload = unknown> extends Omit<Some<Payload>, "batch"> {
  readonly batch: readonly [count: number, ms: number];
}

/** Either, with names of fields that nobody has looked at. */
export interface Asked extends Omit<Some, "batch"> {
  readonly batch?: readonly [count: number, ms: number] | undefined;
}

/**
 * The options of SUBSCRIBE (docs/protocol.md, section 5.2); those that are not asked for are undefined.
 *
 * @param encode - makes a filter's bytes.
 */
export function wireOptions(
  { everyMs, latestBy, batch, where, distinct }: Asked,
  encode: (filter: unknown) => Uint8Array,
): Readonly<Record<string, unknown>> {
  return {
    every: everyMs,
    latest_by: latestBy,
    batch,
    where: where && encode(where),
    distinct: distinct || undefined,
  };
}
