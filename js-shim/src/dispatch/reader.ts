/** A stream being read, as who asked for it sees it. */

import { CallCancelled, type IonbusError } from "../errors.js";
import * as Message from "../generated/message.js";
import { kept } from "../wire/kept.js";
import { encodeMessage } from "../wire/messages.js";
import type { Peer } from "./peer.js";
import type { Pending, RequestOptions } from "./requests.js";

/**
 * A stream being read: `for await (const item of stream)`. Leaving the loop early, or `close`, tells the other side to
 * stop. Items that are not taken hold the other side back, once its credit is used up.
 */
export interface ItemStream<Item> extends AsyncIterableIterator<Item> {
  return(): Promise<IteratorResult<Item>>;
  /** Stop reading. */
  close(): void;
}

export interface Reader<Item> {
  readonly stream: ItemStream<Item>;
  begin(id: number, options: RequestOptions): Pending;
  fail(error: IonbusError): void;
}

interface Waiter<Item> {
  readonly resolve: (result: IteratorResult<Item>) => void;
  readonly reject: (error: unknown) => void;
}

export type CreateReader = typeof createReader;

/** Make the reader of one stream. `giveUp` is called when it is left before its end. */
export function createReader<Item>(
  peer: Peer,
  decodeItem: (payload: Uint8Array) => Item,
  giveUp: (pending: Pending | undefined, error: IonbusError) => void,
): Reader<Item> {
  const { streamCreditBytes: windowBytes, streamCreditMessages: windowItems } = peer.limits;
  const items: Uint8Array[] = [];
  const waiters: Waiter<Item>[] = [];
  let pending: Pending | undefined;
  let isOver = false;
  let failure: IonbusError | undefined;
  let received: [bytes: number, items: number] = [0, 0];
  let taken: [bytes: number, items: number] = [0, 0];
  let granted: [bytes: number, items: number] = [windowBytes, windowItems];

  /** The oldest item is taken: renew the credit when half of the window is. */
  function takeItem(payload: Uint8Array): void {
    taken = [taken[0] + payload.length, taken[1] + 1];
    const grant: [number, number] = [taken[0] + windowBytes, taken[1] + windowItems];
    const isDue = (grant[0] - granted[0]) * 2 >= windowBytes || (grant[1] - granted[1]) * 2 >= windowItems;
    if (!isDue || isOver || pending === undefined) return;
    granted = grant;
    peer.send(encodeMessage(Message.StreamCredit, pending.id, ...grant), pending.id);
  }

  /** Serve who waits, as far as there is something to give. */
  function serve(): void {
    while (waiters.length > 0) {
      const payload = items.shift();
      if (payload === undefined && !isOver) return;
      const waiter = waiters.shift();
      if (payload !== undefined) {
        takeItem(payload);
        try {
          waiter?.resolve({ done: false, value: decodeItem(payload) });
        } catch (error) {
          waiter?.reject(error);
        }
      } else if (failure !== undefined) {
        waiter?.reject(failure);
        failure = undefined;
      } else {
        waiter?.resolve({ done: true, value: undefined });
      }
    }
  }

  function finish(error?: IonbusError): void {
    if (isOver) return;
    isOver = true;
    failure = error;
    serve();
  }

  function close(): void {
    items.length = 0;
    if (isOver) return;
    giveUp(pending, new CallCancelled("the reader has closed the stream"));
    failure = undefined;
  }

  const stream: ItemStream<Item> = {
    next: () =>
      new Promise((resolve, reject) => {
        waiters.push({ resolve, reject });
        serve();
      }),
    return() {
      close();
      return Promise.resolve({ done: true, value: undefined });
    },
    close,
    [Symbol.asyncIterator]: () => stream,
  };

  return {
    stream,
    fail: finish,
    begin(id, options) {
      pending = {
        kind: "stream",
        id,
        options,
        entry: undefined,
        isPutOff: false,
        expiresAt: Number.POSITIVE_INFINITY,
        stopListening: undefined,
        take(payload) {
          if (received[0] >= granted[0] || received[1] >= granted[1]) return false;
          received = [received[0] + payload.length, received[1] + 1];
          items.push(waiters.length > 0 ? payload : kept(payload));
          serve();
          return true;
        },
        end: () => finish(),
        fail: finish,
      };
      return pending;
    },
  };
}
