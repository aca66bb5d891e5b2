/**
 * How a message passes through middleware: the rules of docs/middleware.md, without I/O or clock.
 *
 * Each middleware is a layer. It is given the message and its own `next`, which knows what it may still do: `next` runs the layers
 * further in, then the end, and what they give is checked as each layer returns it.
 */

import { CallCancelled } from "../errors.js";
import { Dropped, type End, type Layer, type Message, MiddlewareError, type Next } from "./message.js";

/**
 * Let a message pass.
 *
 * @param layers - the outermost first.
 * @param end - what stands innermost.
 * @returns a call's answer; a stream's items, to be closed; for an event undefined, or `Dropped`.
 * @throws MiddlewareError one of them broke the rules.
 */
export async function passThrough(layers: readonly Layer[], message: Message, end: End): Promise<unknown> {
  const passage = new Passage(layers, message, end);
  try {
    const result = await passage.layer(0, message, () => false);
    return message.kind === "stream" ? itemsOf(result as AsyncIterable<unknown>, passage) : result;
  } catch (error) {
    await passage.close();
    throw error;
  }
}

/** What messages call a middleware. */
export function nameOf(layer: { readonly name: string }): string {
  return layer.name || "a middleware without a name";
}

/** One message's way through some layers. */
class Passage {
  /** What a layer further in than whoever looks has made of an event. */
  dropped: Dropped | undefined;
  /** The items that layers have given, the innermost first. */
  opened: unknown[] = [];
  /** Ends what stands innermost, while that runs; of a stream also its items. */
  stop: (() => void) | undefined;
  readonly message: Message;
  readonly #layers: readonly Layer[];
  readonly #end: End;

  constructor(layers: readonly Layer[], message: Message, end: End) {
    this.#layers = layers;
    this.message = message;
    this.#end = end;
  }

  /** One layer and those further in. */
  async layer(index: number, message: Message, isLeft: () => boolean): Promise<unknown> {
    const layer = this.#layers[index];
    if (layer === undefined) {
      const result = await this.#reach(message);
      if (message.kind === "stream") this.opened.push(result);
      return result;
    }
    const onward = new Onward(this, index, nameOf(layer), isLeft);
    let wasLeftRunning = false;
    let result: unknown;
    try {
      result = await layer(message, onward.next);
    } finally {
      wasLeftRunning = onward.leave();
    }
    if (message.kind === "stream") this.opened.push(result);
    const { name } = message;
    if (wasLeftRunning)
      throw new MiddlewareError(`${onward.who} returned while next was still running for ${name}; await it`);
    return this.#checked(onward, result);
  }

  /** Close every iterator that a layer has given after the first so many, the outermost first. */
  async close(kept = 0): Promise<void> {
    for (const items of this.opened.splice(kept).reverse()) await returnOf(items);
  }

  /** The same at once, where an iterator may be busy and never let go. */
  abandon(): void {
    for (const items of this.opened.splice(0).reverse()) void returnOf(items);
  }

  /** Run the end, which can be stopped: by the message's signal, or by a layer that does not wait for it. */
  async #reach(message: Message): Promise<unknown> {
    const { signal } = message.context;
    const controller = new AbortController();
    const forward = (): void => controller.abort(signal?.reason);
    const unlink = (): void => signal?.removeEventListener("abort", forward);
    if (signal?.aborted) forward();
    else signal?.addEventListener("abort", forward);
    this.stop = () => {
      unlink();
      controller.abort(new CallCancelled(`${message.name}: its middleware did not wait for it`));
    };
    try {
      const result = await this.#end(message.replace({ signal: controller.signal }));
      if (message.kind === "stream") this.opened.push({ return: unlink });
      else unlink();
      return result;
    } catch (error) {
      unlink();
      throw error;
    } finally {
      this.stop = undefined;
    }
  }

  /** What a layer has returned, if it may. */
  #checked(onward: Onward, result: unknown): unknown {
    const { kind, name } = this.message;
    const { who } = onward;
    if (result instanceof Dropped) {
      if (kind !== "event")
        throw new MiddlewareError(`${who} dropped ${name}, which is no event; raise an error, or answer`);
      if (this.dropped === undefined && onward.hasSucceeded)
        throw new MiddlewareError(`${who} dropped ${name} after it had passed it on`);
      this.dropped ??= result;
    } else if (result === undefined || result === null) {
      const mayBeNothing =
        kind === "event"
          ? onward.hasSucceeded
          : kind === "call" && (result === null || (onward.hasSucceeded && (onward.given ?? null) === null));
      if (!mayBeNothing)
        throw new MiddlewareError(
          onward.hasSucceeded
            ? `${who} returned nothing for ${name}; return what next gave`
            : `${who} neither called next nor answered ${name}; return await next(message), an answer, or drop(reason)`,
        );
    } else if (kind === "event") {
      throw new MiddlewareError(`${who} returned a value for the event ${name}, which has no answer`);
    } else if (kind === "stream" && !isAsyncIterable(result)) {
      throw new MiddlewareError(
        `${who} answered the stream ${name} with ${typeof result}, which cannot be iterated`,
      );
    }
    return kind === "event" ? this.dropped : (result ?? null);
  }
}

/** One layer's `next`. */
class Onward {
  readonly who: string;
  /** The layers further in have given something, which is final. */
  hasSucceeded = false;
  given: unknown;
  readonly #passage: Passage;
  readonly #index: number;
  /** Whether a layer further out did not wait for this one. */
  readonly #isAbandoned: () => boolean;
  #isRunning = false;
  #isLeft = false;

  constructor(passage: Passage, index: number, who: string, isAbandoned: () => boolean) {
    this.who = who;
    this.#passage = passage;
    this.#index = index;
    this.#isAbandoned = isAbandoned;
  }

  readonly next: Next<unknown, unknown> = (message) => {
    const { who } = this;
    const { name, state } = this.#passage.message;
    if (this.#isLeft) throw new MiddlewareError(`${who} called next for ${name} after it had returned`);
    if (this.#isRunning)
      throw new MiddlewareError(`${who} called next for ${name} while it was still running`);
    if (this.hasSucceeded)
      throw new MiddlewareError(`${who} called next again for ${name}, though it had succeeded`);
    if (message?.state !== state)
      throw new MiddlewareError(`${who} called next with what is no message of ${name}; use message.replace`);
    if (this.#isAbandoned()) throw new CallCancelled(`${name}: its middleware did not wait for it`);
    this.#isRunning = true;
    const running = this.#run(message);
    running.catch(() => {}); // a layer that does not wait for it is told so when it returns
    return running;
  };

  /** The layer has returned, or failed: end what it left running. Gives whether there was anything. */
  leave(): boolean {
    this.#isLeft = true;
    if (this.#isRunning) this.#passage.stop?.();
    return this.#isRunning;
  }

  async #run(message: Message): Promise<unknown> {
    const passage = this.#passage;
    const opened = passage.opened.length;
    try {
      this.given = await passage.layer(this.#index + 1, message, () => this.#isLeft || this.#isAbandoned());
      this.hasSucceeded = true;
      return this.given;
    } catch (error) {
      passage.dropped = undefined;
      await passage.close(opened);
      throw error;
    } finally {
      this.#isRunning = false;
    }
  }
}

/** A stream's items. When they end, or are closed, so is every iterator that a layer has given. */
function itemsOf(result: AsyncIterable<unknown>, passage: Passage): AsyncIterableIterator<unknown> {
  const iterator = result[Symbol.asyncIterator]();
  if (iterator !== (result as unknown)) passage.opened.push(iterator);
  let asked = 0;
  const items: AsyncIterableIterator<unknown> = {
    async next() {
      asked += 1;
      try {
        const step = await iterator.next();
        if (step.done) await passage.close();
        return step;
      } catch (error) {
        passage.abandon();
        throw error;
      } finally {
        asked -= 1;
      }
    },
    async return() {
      if (asked > 0) passage.abandon();
      else await passage.close();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => items,
  };
  return items;
}

/** Close an iterator, if it can be. What goes wrong is not told: how the passage has ended is known already. */
async function returnOf(items: unknown): Promise<void> {
  try {
    await (items as Partial<AsyncIterator<unknown>> | undefined)?.return?.();
  } catch {}
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
