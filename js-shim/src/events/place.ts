/** A listener's place at an emitter: where it was added, what of it is under way, and what its subscription shows of it. */

import type { Subscription } from "../dispatch/subscription.js";
import type { CallSite } from "./call_sites.js";
import { Listener } from "./listener.js";

/** What `emitter.on` gives: closed by `close()`, by calling it, by `using`, or by what it is bound to. */
export interface ListenerSubscription extends Subscription, AsyncDisposable {
  /** No listener starts any more once it is false. */
  readonly isOpen: boolean;
  /** Resolves when it is closed and what its listener was doing has ended; `await using` waits for it. */
  readonly closed: Promise<void>;
}

/** See the module. */
export class Place extends Listener {
  addedAt: CallSite = {};
  running = 0;
  #ended: (() => void)[] = [];

  /** Resolves when it is closed and nothing of it is under way. */
  readonly closed = (): Promise<void> =>
    new Promise((resolve) => {
      this.#ended.push(resolve);
      this.settle();
    });

  /** It was closed, or something of it has ended. */
  settle(): void {
    if (this.isOpen || this.running > 0) return;
    for (const resolve of this.#ended) resolve();
    this.#ended = [];
  }

  /** What a subscription shows of it. */
  get shown(): PropertyDescriptorMap {
    const dispose = (): Promise<void> => {
      this.close();
      return this.closed();
    };
    return {
      isOpen: { get: () => this.isOpen },
      closed: { get: this.closed },
      ...(typeof Symbol.asyncDispose === "symbol" ? { [Symbol.asyncDispose]: { value: dispose } } : {}),
    };
  }
}
