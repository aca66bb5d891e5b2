/** What a client listens to, and what the broker knows of it (docs/protocol.md, section 5.2). */

import type { Target } from "../dispatch/listeners.js";
import type { Peer } from "../dispatch/peer.js";
import type { EventSubscription } from "../dispatch/subscription.js";
import { CallCancelled, type IonbusError } from "../errors.js";
import type { ListenOptions } from "../events/lifetimes.js";
import { add, closeAll, Listener } from "../events/listener.js";
import { type Asked, wireOptions } from "../events/options.js";
import { PatternTable } from "../events/patterns.js";
import * as Message from "../generated/message.js";
import { encodeMessage, type Options } from "../wire/messages.js";
import { encode } from "../wire/values.js";

/** A listener that waits for SUBSCRIBED: it has arrived, or will never. */
type Heard = Listener &
  Target & { readonly answered: (error?: IonbusError) => void; readonly closed: () => void };

/** One subscription at the broker, for all listeners that want the same. */
interface Shared {
  readonly number: number;
  readonly pattern: string;
  /** What they ask for of the events. */
  readonly some: Options | undefined;
  readonly listeners: Set<Heard>;
}

export interface Subscriptions {
  /** Add a listener to what a pattern matches; `closed` is called when it leaves, and when the session ends. */
  listen(
    wanted: readonly [pattern: string, isNamed: boolean],
    given: Listener["given"],
    options: ListenOptions & Asked,
    isOnce: boolean,
    closed: () => void,
  ): EventSubscription;
  /** Close those that were added for exactly this, or one listener's; gives how many. */
  off(wanted: readonly [pattern: string, isNamed: boolean], given: unknown): number;
  /** Who is handed an event, each time. */
  matching(name: string): readonly Target[];
  /** Who is handed an event that is for these numbers. */
  under(numbers: readonly number[]): readonly Target[];
  /** SUBSCRIBED has arrived. */
  answered(number: number, error: IonbusError | undefined): void;
  /** The session is a new one: ask for everything again. */
  renew(): void;
  /** The session has ended. */
  end(error: IonbusError): void;
}

/** @param decode - makes the value of an event's payload, or the list of those that came together. */
export function createSubscriptions(
  peer: Pick<Peer, "send" | "endedWith">,
  decode: (name: string, payload: Uint8Array, isBatch: boolean) => unknown,
): Subscriptions {
  const table = new PatternTable<Heard>();
  /** Those that ask for some of the events, which come for their numbers. */
  const partial = new PatternTable<Heard>();
  /** What the broker knows, by pattern and options. */
  const shared = new Map<string, Shared>();
  /** Whom each number is for: all that share a subscription, or one that has asked for the newest. */
  const numbers = new Map<number, ReadonlySet<Heard>>();
  let last = 0;

  /** @param isFurther - another is in force for the same: this asks for the newest of `latest` events, and no more. */
  function subscribe({ number, pattern, some }: Shared, isFurther = false): void {
    const options = isFurther ? { ...some, snapshot: true } : some;
    if (peer.endedWith === undefined) peer.send(encodeMessage(Message.Subscribe, number, pattern, options));
  }

  return {
    listen(wanted, given, options, isOnce, closed) {
      const [pattern, isNamed] = wanted;
      const asked = wireOptions(options, encode);
      const asText = JSON.stringify(asked); // without what is undefined
      const key = pattern + asText;
      const some = asText === "{}" ? undefined : asked;
      const number = ++last;
      let answered: Heard["answered"] = () => {};
      const confirmed = new Promise<void>((resolve, reject) => {
        answered = (error) => (error === undefined ? resolve() : reject(error));
      });
      confirmed.catch(() => {}); // who does not wait for it is told by `onError`
      const isBatch = options.batch !== undefined;
      const listener = Object.assign(new Listener(...wanted, given), {
        decode: (name: string, payload: Uint8Array) => decode(name, payload, isBatch),
        answered,
        closed,
      });
      if (isBatch && isNamed) {
        listener.named = (name, batch) => (batch as unknown[]).map((payload) => ({ name, payload }));
      }
      const own = { number, pattern, some, listeners: new Set([listener]) };
      numbers.set(number, own.listeners);
      const first = shared.get(key);
      const whole = first ?? own;
      if (first === undefined) shared.set(key, own);
      else first.listeners.add(listener);
      subscribe(own, first !== undefined);
      if (peer.endedWith !== undefined) answered(peer.endedWith);
      const subscription = add(some ? partial : table, listener, options, isOnce, () => {
        if (whole !== own) numbers.delete(number);
        whole.listeners.delete(listener);
        if (whole.listeners.size === 0) {
          shared.delete(key);
          numbers.delete(whole.number);
          if (peer.endedWith === undefined) peer.send(encodeMessage(Message.Unsubscribe, whole.number));
        }
        answered(new CallCancelled(`${pattern}: closed before the broker confirmed it`));
        closed();
      });
      return Object.assign(subscription, { confirmed: () => confirmed });
    },
    off: (wanted, given) => closeAll(table, wanted, given) + closeAll(partial, wanted, given),
    matching: (name) => table.matching(name),
    under: (those) => those.flatMap((number) => [...(numbers.get(number) ?? [])]),
    answered(number, error) {
      for (const each of numbers.get(number) ?? []) each.answered(error);
    },
    renew() {
      for (const each of shared.values()) subscribe(each);
    },
    end(error) {
      for (const each of [...shared.values()].flatMap(({ listeners }) => [...listeners])) {
        each.answered(error);
        each.closed();
      }
    },
  };
}
