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

/** What is looked at of something that ends. */
interface Ending {
  readonly aborted?: boolean;
  isDestroyed?(): boolean;
  then?: PromiseLike<unknown>["then"];
  once?(event: "closed", over: () => void): unknown;
  addEventListener?(event: "abort", over: () => void): void;
}

/** What to close with each thing that ends: each is asked once to say so, however many are bound to it. */
const bound = new WeakMap<object, Set<() => void>>();

/** Closes what belonged to an object that is gone. */
const gone = /*#__PURE__*/ new FinalizationRegistry<() => void>((close) => close());

/** Close a listener with what it is bound to; gives what unbinds it. */
export function bind(listener: Listener, { signal, until, weak }: ListenOptions): () => void {
  const { close, given } = listener;
  const endings = [signal, until].map((each) => each && closeWith(each, close));
  if (weak !== undefined) {
    const owner = new WeakRef(weak);
    listener.call = (value) => {
      const self = owner.deref();
      return self === undefined ? close() : given.call(self, value as never);
    };
    gone.register(weak, close, listener);
  }
  return () => {
    for (const closes of endings) closes?.delete(close);
    gone.unregister(listener);
  };
}

/** Gives what `close` is to be taken from when it is closed otherwise; undefined: it is over, and closed. */
function closeWith(until: Until, close: () => void): Set<() => void> | undefined {
  const ending: Ending = until;
  if (ending.aborted || ending.isDestroyed?.()) return close() as undefined;
  const closes = bound.get(until) ?? new Set();
  if (!bound.has(until)) {
    bound.set(until, closes);
    const over = (): void => {
      for (const each of closes) each();
    };
    if (ending.then) ending.then(over, over);
    else if (ending.once) ending.once("closed", over);
    else ending.addEventListener?.("abort", over);
  }
  return closes.add(close);
}
