/// <reference lib="esnext.disposable" preserve="true" />
/** What `on` gives back, and other things that can be taken back. */

/** Calling it, `close()`, and `using` where the platform has it all close it; once is enough, more does no harm. */
export interface Subscription extends Disposable {
  (): void;
  close(): void;
}

/** What `bus.on` gives back. */
export interface EventSubscription extends Subscription {
  /**
   * Resolves when the broker says that it is in force. There is no need to wait for it before a call: order is kept.
   *
   * @throws NotAllowed, NotFound the broker refuses it; @throws CallCancelled it is closed first; @throws SessionLost, ConnectionLost
   */
  confirmed(): Promise<void>;
}

/** Make a subscription of what is to be done when it closes. */
export function createSubscription(close: () => void): Subscription {
  let isClosed = false;
  const closeOnce = (): void => {
    if (isClosed) return;
    isClosed = true;
    close();
  };
  // Electron 22 has no `Symbol.dispose`; where it is missing nobody can ask for it either.
  const dispose = typeof Symbol.dispose === "symbol" ? { [Symbol.dispose]: closeOnce } : {};
  return Object.assign(() => closeOnce(), { close: closeOnce, ...dispose }) as Subscription;
}

/** Functions that are all called with the same. */
export interface Listening<Value> {
  readonly size: number;
  add(listener: (value: Value) => void): Subscription;
  call(value: Value): void;
}

/** @param failed - told what a listener threw; the others are called all the same. */
export function createListening<Value>(failed: (error: unknown) => void): Listening<Value> {
  const listeners = new Set<{ readonly listener: (value: Value) => void }>();
  return {
    get size() {
      return listeners.size;
    },
    add(listener) {
      const entry = { listener }; // the same function may be added twice
      listeners.add(entry);
      return createSubscription(() => listeners.delete(entry));
    },
    call(value) {
      for (const { listener } of [...listeners]) {
        try {
          listener(value);
        } catch (error) {
          failed(error);
        }
      }
    },
  };
}
