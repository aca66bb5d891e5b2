/** How long listeners stay: until they are closed, or until what they are bound to is over. */

import type { Listener } from "./listener.js";

/** Something that ends: a signal that is aborted, a promise that settles, an Electron window that is closed. */
export type Until =
  | AbortSignal
  | PromiseLike<unknown>
  | { once(event: "closed", listener: () => void): unknown; isDestroyed?(): boolean };

/** How a listener is bound. Every option accepts `undefined`. */
export interface ListenOptions<Owner extends object = object> {
  /** Aborting it closes the subscription; one that is aborted already never lets it begin. */
  readonly signal?: AbortSignal | undefined;
  /** The subscription closes with it: a signal, a promise that settles, an Electron window. */
  readonly until?: Until | undefined;
  /**
   * The object that the listener belongs to, and is called with as `this`: it is not kept, and the subscription closes
   * when it is gone. A listener that closes over it would keep it: give a method, or a function that says `this`.
   */
  readonly weak?: Owner | undefined;
}

/** What to close with each thing that ends: each is asked once to say so, however many are bound to it. */
const bound = new WeakMap<object, Set<() => void>>();

/** Closes what belonged to an object that is gone. */
const gone = /*#__PURE__*/ new FinalizationRegistry<() => void>((close) => close());

/** Close a listener with what it is bound to; gives what unbinds it. */
export function bind(listener: Listener, { signal, until, weak }: ListenOptions): () => void {
  const { close, given } = listener;
  const unbind = [signal, until].map((each) => each && closeWith(each, close));
  if (weak !== undefined) {
    const owner = new WeakRef(weak);
    listener.call = (value) => {
      const self = owner.deref();
      return self === undefined ? close() : given.call(self, value as never);
    };
    gone.register(weak, close, listener);
    unbind.push(() => gone.unregister(listener));
  }
  return () => {
    for (const each of unbind) each?.();
  };
}

function closeWith(until: Until, close: () => void): (() => void) | undefined {
  if (isOver(until)) return close() as undefined;
  let closes = bound.get(until);
  if (closes === undefined) {
    const those = new Set<() => void>();
    bound.set(until, those);
    whenOver(until, () => {
      for (const each of those) each();
    });
    closes = those;
  }
  closes.add(close);
  return () => closes.delete(close);
}

function whenOver(until: Until, over: () => void): void {
  if ("aborted" in until) until.addEventListener("abort", over);
  else if ("then" in until) until.then(over, over);
  else until.once("closed", over);
}

function isOver(until: Until): boolean | undefined {
  return "aborted" in until ? until.aborted : "isDestroyed" in until && until.isDestroyed?.();
}
