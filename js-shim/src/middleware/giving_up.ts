/** Giving up what has not left yet: a caller's signal, its time-out, and a reader that closes its stream while middleware holds it. */

import type { ItemStream } from "../dispatch/reader.js";
import { CallCancelled, CallTimeout } from "../errors.js";
import { LONGEST_DELAY_MS, startTimer, stopTimer } from "../time.js";

/**
 * Run a call's passage until it ends or its caller gives up.
 *
 * @param run - given a signal for the passage, and what marks a call as having left: from then on it has a time-out of its own.
 */
export function untilGivenUp(
  name: string,
  timeoutMs: number | null,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal, reached: <Value>(sent: Promise<Value>) => Promise<Value>) => Promise<unknown>,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    let underWay = 0;
    let timer: unknown;
    const giveUp = (error: unknown): void => {
      reject(error);
      controller.abort(error);
    };
    const abort = (): void => giveUp(cancelled(name, signal));
    const end = (): void => {
      stopTimer(timer);
      signal?.removeEventListener("abort", abort);
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort);
    if (timeoutMs !== null && timeoutMs <= LONGEST_DELAY_MS) {
      timer = startTimer(() => {
        if (underWay > 0) return;
        giveUp(new CallTimeout(`${name}: not answered within ${timeoutMs} ms; its middleware holds it`));
      }, timeoutMs);
    }
    const reached = async <Value>(sent: Promise<Value>): Promise<Value> => {
      underWay += 1;
      try {
        return await sent;
      } finally {
        underWay -= 1;
      }
    };
    run(controller.signal, reached).then(resolve, reject).finally(end);
  });
}

/** A stream whose items come as soon as its passage has given them; closing it, or the signal, ends the passage too. */
export function abortable(
  name: string,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<AsyncIterable<unknown>>,
): ItemStream<unknown> {
  const controller = new AbortController();
  const abort = (): void => controller.abort(cancelled(name, signal));
  const isGivenUp = new Promise<never>((_, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason));
  });
  if (signal?.aborted) abort();
  else signal?.addEventListener("abort", abort);
  const opened = controller.signal.aborted
    ? isGivenUp
    : run(controller.signal).then((items) => items[Symbol.asyncIterator]());
  // Whatever ends it, the iterators of the middleware that it went through are closed.
  controller.signal.addEventListener("abort", () => {
    opened.then((iterator) => iterator.return?.()).catch(() => {});
  });
  const ready = Promise.race([opened, isGivenUp]);
  for (const each of [opened, ready]) each.catch(() => {}); // it comes out where the stream is read
  let isOver = false;
  const end = (): void => {
    isOver = true;
    signal?.removeEventListener("abort", abort);
  };
  const stream: ItemStream<unknown> = {
    async next() {
      if (isOver) return { done: true, value: undefined };
      try {
        const result = await (await ready).next();
        if (result.done) end();
        return result;
      } catch (error) {
        end();
        throw error;
      }
    },
    return() {
      stream.close();
      return Promise.resolve({ done: true, value: undefined });
    },
    close() {
      if (isOver) return;
      end();
      controller.abort(new CallCancelled("the reader has closed the stream"));
    },
    [Symbol.asyncIterator]: () => stream,
  };
  return stream;
}

function cancelled(name: string, signal: AbortSignal | undefined): CallCancelled {
  return new CallCancelled(`${name}: given up by its caller`, { cause: signal?.reason });
}
