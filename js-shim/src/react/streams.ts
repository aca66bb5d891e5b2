/** Streams in components. */

import { useEffect, useSyncExternalStore } from "react";
import type { Bus, CallOptions } from "../client/bus.js";
import type { StreamDescriptor } from "../contract.js";
import type { ItemStream } from "../dispatch/reader.js";
import { isIonbusError } from "../errors.js";
import { startTimer, stopTimer } from "../time.js";
import { useBus } from "./bus.js";
import type { Nothing } from "./events.js";
import { useKept, useSame } from "./kept.js";

/** How it stands with a stream: `idle` is one that was not asked for. */
export interface StreamState<Item> {
  readonly state: "idle" | "reading" | "ended" | "failed";
  /** The last items that came, oldest first, `keep` at most. */
  readonly items: readonly Item[];
  /** What the stream failed with. */
  readonly error?: unknown;
}

export interface StreamOptions {
  /** How many items are kept. Default: 1,000. */
  readonly keep?: number | undefined;
  /** What happens when the session is lost: it fails, or is asked for again, and its items go on. Default: "fail". */
  readonly onLost?: "fail" | "again" | undefined;
  /** As at `bus.stream`. */
  readonly timeoutMs?: CallOptions["timeoutMs"];
}

const KEPT_ITEMS = 1_000;

/**
 * Reads a stream while this component is mounted. Another request, stream or bus begins anew; a request that says the same as
 * the one before does not. It renders once for all items that came together.
 *
 * @param stream what to read, or `null` for nothing now
 * @param request plain data, which may be written where it is used
 */
export function useStream<Name extends string, Request, Item>(
  stream: StreamDescriptor<Name, Request, Item, "broker"> | Nothing,
  ...[request, options]: null extends Request
    ? [request?: NoInfer<Request> | undefined, options?: StreamOptions | undefined]
    : [request: NoInfer<Request>, options?: StreamOptions | undefined]
): StreamState<Item> {
  const bus = useBus();
  const same = useSame(request);
  const { keep = KEPT_ITEMS, onLost = "fail", timeoutMs } = options ?? {};
  const reading = useKept(() => createReading<Item>(keep), bus, stream, same, keep, onLost, timeoutMs);
  useEffect(() => {
    if (!stream) return;
    const open = bus.stream as Bus["stream"] & ((...args: unknown[]) => ItemStream<Item>);
    return reading.begin(() => open(stream, same, { timeoutMs }), onLost === "again");
  }, [bus, stream, same, reading, onLost, timeoutMs]);
  const state = useSyncExternalStore(reading.subscribe, reading.read, reading.read);
  return state.state === "idle" && stream ? { ...state, state: "reading" } : state;
}

function createReading<Item>(keep: number) {
  let state: StreamState<Item> = { state: "idle", items: [] };
  /** What came since the last render was asked for. */
  let fresh: Item[] = [];
  let timer: unknown;
  const watching = new Set<() => void>();

  function become(next: Omit<StreamState<Item>, "items">): void {
    stopTimer(timer);
    timer = undefined;
    state = { ...next, items: fresh.length === 0 ? state.items : [...state.items, ...fresh].slice(-keep) };
    fresh = [];
    for (const changed of watching) changed();
  }

  function take(item: Item): void {
    fresh.push(item);
    if (fresh.length > keep) fresh.shift();
    timer ??= startTimer(() => become({ state: "reading" }), 0);
  }

  /** Read it to its end. @returns whether it is to be asked for again */
  async function readOne(stream: ItemStream<Item>, isCurrent: () => boolean, again: boolean) {
    try {
      for await (const item of stream) {
        if (!isCurrent()) return false;
        take(item);
      }
      if (isCurrent()) become({ state: "ended" });
    } catch (error) {
      if (!isCurrent()) return false;
      if (again && isIonbusError(error) && error.code === "session_lost") return true;
      become({ state: "failed", error });
    }
    return false;
  }

  return {
    read: () => state,
    subscribe(changed: () => void): () => void {
      watching.add(changed);
      return () => watching.delete(changed);
    },
    begin(open: () => ItemStream<Item>, again: boolean): () => void {
      let stream: ItemStream<Item> | undefined;
      let isOver = false;
      state = { state: "reading", items: [] };
      fresh = [];
      const run = async (): Promise<void> => {
        do {
          try {
            stream = open();
          } catch (error) {
            return become({ state: "failed", error });
          }
        } while (await readOne(stream, () => !isOver, again));
      };
      void run();
      return () => {
        isOver = true;
        stopTimer(timer);
        timer = undefined;
        stream?.close();
      };
    },
  };
}
