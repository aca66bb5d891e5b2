/** Somebody who listens, in a table of patterns. */

import { createSubscription, type Subscription } from "../dispatch/subscription.js";
import { bind, type ListenOptions } from "./lifetimes.js";
import type { PatternTable } from "./patterns.js";

/** A listener's function, as it was given. */
export type Given = (value: never) => unknown;

/** See the module. */
export class Listener {
  isOpen = true;
  /** How often it was called. */
  calls = 0;
  /** What is called: `given`, with what its lifetime asks for around it. */
  call: (value: unknown) => unknown;
  close: () => void = () => {};

  /**
   * @param pattern - what it listens to.
   * @param isNamed - it is handed the name as well.
   * @param given - the function, as it was given.
   */
  constructor(
    readonly pattern: string,
    readonly isNamed: boolean,
    readonly given: Given,
  ) {
    this.call = given as this["call"]; // who adds it vouches for what it is handed
  }

  /** Call it; gives what it returned. @throws what it throws. */
  hand(name: string, payload: unknown): unknown {
    this.calls += 1;
    const { call } = this; // without a `this`
    return call(this.isNamed ? this.named(name, payload) : payload);
  }

  /** What it is handed where it is handed the name as well. */
  named(name: string, payload: unknown): unknown {
    return { name, payload };
  }
}

/** Put a listener into its place. `closed` is called once, when it has left it. */
export function add<Each extends Listener>(
  table: PatternTable<Each>,
  listener: Each,
  options: ListenOptions,
  isOnce: boolean,
  closed: () => void,
): Subscription {
  const remove = table.add(listener.pattern, listener);
  let unbind = (): void => {};
  const subscription = createSubscription(() => {
    listener.isOpen = false;
    remove();
    unbind();
    closed();
  });
  listener.close = subscription.close;
  unbind = bind(listener, options);
  if (!listener.isOpen) unbind(); // one of them was over already: the others are to keep nothing
  const { call } = listener;
  if (isOnce) {
    listener.call = (value) => {
      subscription();
      return call(value);
    };
  }
  return subscription;
}

/** Close those under exactly this pattern, or only those that are `given`; gives how many. */
export function closeAll<Each extends Listener>(
  table: PatternTable<Each>,
  [pattern, isNamed]: readonly [pattern: string, isNamed: boolean],
  given: unknown,
): number {
  const those = table
    .under(pattern)
    .filter((each) => each.isNamed === isNamed && (given === undefined || each.given === given));
  for (const { close } of those) close();
  return those.length;
}
