/** Events in components. Listening begins when a component is mounted, and ends when it is unmounted. */

import { useEffect, useSyncExternalStore } from "react";
import type { Bus } from "../client/bus.js";
import type { ContractNamespace, EventDescriptor, Received, ReceivedOf, Source } from "../contract.js";
import type { Subscription } from "../dispatch/subscription.js";
import type { Asked, Some, SomeInBatches } from "../events/options.js";
import { useBus } from "./bus.js";
import { useKept, useNewest, useSame } from "./kept.js";

/** Instead of an event: nothing is listened to, for now. */
export type Nothing = null | undefined | false;

/** What may be listened to, as at `bus.on`. */
// biome-ignore lint/suspicious/noExplicitAny: descriptors are invariant
type What = EventDescriptor<string, any, any, Source> | ContractNamespace | string;

/**
 * Calls `listener`, always the one of the newest render, with each event. No render comes of it by itself.
 *
 * @param event an event, a contract, a pattern like "workflow.*", or `null` for nothing now
 * @param some which of the events, how often, and how many at a time, as at `bus.on`: plain data, which may be written where it is used
 */
export function useEvent<Name extends string, Payload, Sent, By extends Source>(
  event: EventDescriptor<Name, Payload, Sent, By> | Nothing,
  listener: (payload: Payload) => unknown,
  some?: Some<NoInfer<Payload>> | undefined,
): void;
export function useEvent<Name extends string, Payload, Sent, By extends Source>(
  event: EventDescriptor<Name, Payload, Sent, By> | Nothing,
  listener: (payloads: Payload[]) => unknown,
  some: SomeInBatches<NoInfer<Payload>>,
): void;
export function useEvent<Contract extends ContractNamespace>(
  contract: Contract | Nothing,
  listener: (received: ReceivedOf<Contract>) => unknown,
  some?: Some | undefined,
): void;
export function useEvent(
  pattern: string | Nothing,
  listener: (received: Received) => unknown,
  some?: Some | undefined,
): void;
export function useEvent(what: What | Nothing, listener: (value: never) => unknown, some?: Asked): void {
  const bus = useBus();
  const newest = useNewest(listener as (value: unknown) => unknown); // the overloads vouch for it
  const same = useSame(some);
  useEffect(() => {
    if (!what) return;
    const subscription = listen(bus, what, (value) => newest.current(value), same);
    return () => subscription.close();
  }, [bus, what, newest, same]);
}

/** The newest payload of an event, and `undefined` before there is one. Another bus or event begins anew. */
export function useLatest<Name extends string, Payload, Sent, By extends Source>(
  event: EventDescriptor<Name, Payload, Sent, By> | Nothing,
  some?: Some<NoInfer<Payload>> | undefined,
): Payload | undefined {
  return useEventReducer(event, newestOf<Payload>, undefined, some);
}

const newestOf = <Payload>(_: Payload | undefined, payload: Payload): Payload | undefined => payload;

/**
 * What `reduce` makes of the events that have come, one after the other, beginning with `initial`. Another bus or event
 * begins anew. As with any reducer, what it is given is not changed: it returns something new, or the same for no render.
 */
export function useEventReducer<State, Name extends string, Payload, Sent, By extends Source>(
  event: EventDescriptor<Name, Payload, Sent, By> | Nothing,
  reduce: (state: State, payload: Payload) => State,
  initial: State,
  some?: Some<NoInfer<Payload>> | undefined,
): State;
export function useEventReducer<State, Contract extends ContractNamespace>(
  contract: Contract | Nothing,
  reduce: (state: State, received: ReceivedOf<Contract>) => State,
  initial: State,
  some?: Some | undefined,
): State;
export function useEventReducer<State>(
  pattern: string | Nothing,
  reduce: (state: State, received: Received) => State,
  initial: State,
  some?: Some | undefined,
): State;
export function useEventReducer<State>(
  what: What | Nothing,
  reduce: (state: State, value: never) => State,
  initial: State,
  some?: Asked,
): State {
  const bus = useBus();
  const newest = useNewest(reduce as (state: State, value: unknown) => State); // the overloads vouch for it
  const same = useSame(some);
  const store = useKept(
    () => {
      let state = initial;
      return {
        read: () => state,
        subscribe(changed: () => void): () => void {
          if (!what) return () => undefined;
          const subscription = listen(
            bus,
            what,
            (value) => {
              const next = newest.current(state, value);
              if (Object.is(next, state)) return;
              state = next;
              changed();
            },
            same,
          );
          return () => subscription.close();
        },
      };
    },
    bus,
    what,
    same,
  );
  return useSyncExternalStore(store.subscribe, store.read, store.read);
}

function listen(
  bus: Bus,
  what: What,
  listener: (value: unknown) => unknown,
  some: Asked | undefined,
): Subscription {
  return bus.on(what as string, listener, some as Some); // one of its overloads fits, whichever it is
}
