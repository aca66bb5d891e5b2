/** What a client listens to, and what the broker knows of it (docs/protocol.md, section 5.2). */

import type { Target } from "../dispatch/listeners.js";
import type { Peer } from "../dispatch/peer.js";
import { createSubscription, type EventSubscription } from "../dispatch/subscription.js";
import { CallCancelled, type IonbusError } from "../errors.js";
import { PatternTable } from "../events/patterns.js";
import * as Message from "../generated/message.js";
import { encodeMessage } from "../wire/messages.js";

/** A listener's place: what to hand to it, and its number and pattern at the broker. */
interface Listener extends Target {
  readonly number: number;
  readonly pattern: string;
  /** SUBSCRIBED has arrived, or will never. */
  readonly answered: (error?: IonbusError) => void;
}

export interface Subscriptions {
  /** Hand what matches the pattern to `hand`, as long as the subscription is open. */
  listen(pattern: string, hand: Target["hand"]): EventSubscription;
  /** Who is handed an event. */
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

/** @param decode - makes the value of an event's payload. */
export function createSubscriptions(
  peer: Pick<Peer, "send" | "endedWith">,
  decode: Target["decode"],
): Subscriptions {
  const listeners = new Map<number, Listener>();
  /** The same, by what they listen to. */
  const table = new PatternTable<Listener>();
  let last = 0;

  function subscribe({ number, pattern }: Listener): void {
    peer.send(encodeMessage(Message.Subscribe, number, pattern));
  }

  return {
    listen(pattern, hand) {
      last += 1;
      const number = last;
      let answered: Listener["answered"] = () => {};
      const confirmed = new Promise<void>((resolve, reject) => {
        answered = (error) => (error === undefined ? resolve() : reject(error));
      });
      confirmed.catch(() => {}); // who does not wait for it is told by `onError`
      const listener: Listener = {
        number,
        pattern,
        get isOpen() {
          return listeners.has(number);
        },
        decode,
        hand,
        answered,
      };
      listeners.set(number, listener);
      const remove = table.add(pattern, listener);
      if (peer.endedWith === undefined) subscribe(listener);
      else answered(peer.endedWith);
      const subscription = createSubscription(() => {
        listeners.delete(number);
        remove();
        answered(new CallCancelled(`${pattern}: closed before the broker confirmed it`));
        if (peer.endedWith === undefined) peer.send(encodeMessage(Message.Unsubscribe, number));
      });
      return Object.assign(subscription, { confirmed: () => confirmed });
    },
    matching: (name) => table.matching(name),
    under: (numbers) => numbers.flatMap((number) => listeners.get(number) ?? []),
    answered: (number, error) => listeners.get(number)?.answered(error),
    renew: () => listeners.forEach(subscribe),
    end(error) {
      for (const listener of listeners.values()) listener.answered(error);
    },
  };
}
