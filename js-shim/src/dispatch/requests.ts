/** The calls and streams that this side makes in a session, until each has ended (docs/protocol.md, section 5.1). */

import { createAlarm, now } from "../alarm.js";
import type { ContractErrorClass } from "../errors.js";
import { CallCancelled, CallTimeout, errorFromWire, type IonbusError } from "../errors.js";
import * as Message from "../generated/message.js";
import type { Entry } from "../session/outbox.js";
import { MalformedFrame } from "../wire/frames.js";
import { encodeCall, encodeMessage } from "../wire/messages.js";
import { decode } from "../wire/values.js";
import type { Peer } from "./peer.js";
import type { CreateReader, ItemStream } from "./reader.js";

/** How a request is made. */
export interface RequestOptions {
  readonly name: string;
  readonly payload: Uint8Array;
  /** How long to wait, in milliseconds; null: for ever. */
  readonly timeoutMs: number | null;
  readonly signal: AbortSignal | undefined;
  readonly raises: readonly ContractErrorClass[];
  readonly isIdempotent: boolean;
  /** The idempotency key, where it is to be the same for several. */
  readonly key?: string | undefined;
  /** The trace that it belongs to, as a W3C traceparent. */
  readonly trace?: string | undefined;
}

/** What waits for the answer of a request. */
export interface Pending {
  readonly kind: "call" | "stream";
  readonly id: number;
  readonly options: RequestOptions;
  entry: Entry | undefined;
  /** The broker stops and has not taken it: it goes to the next one. */
  isPutOff: boolean;
  expiresAt: number;
  /** It listens to its caller's signal. */
  stopListening: (() => void) | undefined;
  /** Calls: the result's payload. Streams: an item's; false where it came without credit. */
  take(payload: Uint8Array): boolean;
  /** The stream has ended well. */
  end(): void;
  fail(error: IonbusError): void;
}

/** What has not been sent: as many requests as the other side takes are under way. */
interface Waiting {
  readonly options: Pick<RequestOptions, "name" | "timeoutMs">;
  readonly expiresAt: number;
  go(): void;
  fail(error: IonbusError): void;
}

/** The requests of one side. */
export class Requests {
  readonly #peer: Peer;
  readonly #pending = new Map<number, Pending>();
  /** Given up, and not answered yet. */
  readonly #abandoned = new Set<number>();
  readonly #queue = new Set<Waiting>();
  #last = 0;
  readonly #alarm = createAlarm(() => this.#expire());

  /** @param peer - sends and receives for them. */
  constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** How many wait for their answer. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Send a call; `decodeResult` makes its result of the payload. */
  call<Response>(
    options: RequestOptions,
    decodeResult: (payload: Uint8Array) => Response,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#start(
        "call",
        options,
        (id) => ({
          kind: "call",
          id,
          options,
          entry: undefined,
          isPutOff: false,
          expiresAt: Number.POSITIVE_INFINITY,
          stopListening: undefined,
          take(payload) {
            try {
              resolve(decodeResult(payload));
            } catch (error) {
              reject(error);
            }
            return true;
          },
          end() {},
          fail: reject,
        }),
        reject,
      );
    });
  }

  /** Ask for a stream. Reading may start at once; what goes wrong comes out there. */
  stream<Item>(
    options: RequestOptions,
    createReader: CreateReader,
    decodeItem: (payload: Uint8Array) => Item,
  ): ItemStream<Item> {
    const reader = createReader(this.#peer, decodeItem, (pending, error) => {
      if (pending === undefined) return waiting?.fail(error);
      this.#giveUp(pending);
      pending.fail(error);
    });
    const waiting = this.#start("stream", options, (id) => reader.begin(id, options), reader.fail);
    return reader.stream;
  }

  /** RESULT has arrived. */
  result(id: number, payload: Uint8Array): void {
    this.#end(id, "RESULT", "call")?.take(payload);
  }

  /** ERROR has arrived. A request that a stopping broker did not take goes to the next one (docs/protocol.md, section 8.7). */
  error(id: number, code: string, message: string, details: Uint8Array | null | undefined): void {
    const putOff = code === "stopping" ? this.#find(id, "ERROR") : undefined;
    if (putOff !== undefined) {
      putOff.isPutOff = true;
      return;
    }
    const pending = this.#end(id, "ERROR");
    pending?.fail(errorFromWire(code, message, decodeDetails(details), pending.options.raises));
  }

  /** ITEM has arrived. */
  item(id: number, payload: Uint8Array): void {
    const pending = this.#find(id, "ITEM", "stream");
    if (pending?.take(payload) === false) throw new MalformedFrame(`ITEM of request ${id} without credit`);
  }

  /** END has arrived. */
  end(id: number): void {
    this.#end(id, "END", "stream")?.end();
  }

  /** The other side does not take the request's message. */
  rejected(pending: Pending, error: IonbusError): void {
    if (!this.#remove(pending)) return;
    pending.fail(error);
    this.#makeRoom();
  }

  /**
   * The session was replaced: fail what the old one may have carried out.
   *
   * @param kept - requests that never left.
   * @returns requests that left and may be sent again, and how many failed.
   */
  carryOver(kept: ReadonlySet<unknown>, error: IonbusError): { again: readonly Pending[]; lost: number } {
    this.#abandoned.clear();
    const again: Pending[] = [];
    let lost = 0;
    for (const pending of [...this.#pending.values()]) {
      if (kept.has(pending)) continue;
      if (pending.isPutOff || (pending.kind === "call" && pending.options.isIdempotent)) {
        pending.isPutOff = false;
        again.push(pending);
      } else {
        lost += 1;
        this.#remove(pending);
        pending.fail(error);
      }
    }
    this.#makeRoom();
    return { again, lost };
  }

  /** The session has ended. */
  failAll(error: IonbusError): void {
    const failed = [...this.#pending.values()];
    this.#pending.clear();
    this.#abandoned.clear();
    this.#alarm.stop();
    for (const pending of failed) {
      pending.stopListening?.();
      pending.fail(error);
    }
    this.#makeRoom();
  }

  #start(
    kind: Pending["kind"],
    options: RequestOptions,
    make: (id: number) => Pending,
    fail: (error: IonbusError) => void,
  ): Waiting | undefined {
    const { name, signal, timeoutMs } = options;
    const { endedWith } = this.#peer;
    if (signal?.aborted) {
      fail(cancelled(name, signal));
    } else if (endedWith !== undefined) {
      fail(endedWith);
    } else if (this.#hasRoom) {
      this.#send(kind, options, timeoutMs, make, fail);
    } else {
      return this.#wait(options, fail, (leftMs) => this.#send(kind, options, leftMs, make, fail));
    }
    return undefined;
  }

  /** Until there is room: the time-out counts, and it can be given up. */
  #wait(
    { name, timeoutMs, signal }: RequestOptions,
    fail: (error: IonbusError) => void,
    send: (leftMs: number | null) => void,
  ): Waiting {
    const leave = (): void => {
      this.#queue.delete(waiting);
      signal?.removeEventListener("abort", abort);
    };
    const waiting: Waiting = {
      options: { name, timeoutMs },
      expiresAt: timeoutMs === null ? Number.POSITIVE_INFINITY : now() + timeoutMs,
      go: () => {
        leave();
        const { endedWith } = this.#peer;
        if (endedWith === undefined) send(timeoutMs === null ? null : waiting.expiresAt - now());
        else fail(endedWith);
      },
      fail(error) {
        leave();
        fail(error);
      },
    };
    const abort = (): void => {
      if (signal !== undefined) waiting.fail(cancelled(name, signal));
    };
    signal?.addEventListener("abort", abort);
    this.#queue.add(waiting);
    this.#alarm.wantBy(waiting.expiresAt);
    return waiting;
  }

  #send(
    kind: Pending["kind"],
    options: RequestOptions,
    timeoutMs: number | null,
    make: (id: number) => Pending,
    fail: (error: IonbusError) => void,
  ): void {
    const { name, payload, signal, isIdempotent, trace } = options;
    const peer = this.#peer;
    this.#last += 1;
    const id = this.#last;
    const pending = make(id);
    const known: { deadline?: number; key?: string; trace?: string; credit?: number[] } = {};
    if (timeoutMs !== null) known.deadline = Math.max(1, Math.trunc(timeoutMs));
    if (isIdempotent) known.key = options.key ?? peer.uniqueKey();
    if (trace !== undefined) known.trace = trace;
    try {
      if (kind === "call") {
        const options = timeoutMs !== null || isIdempotent || trace !== undefined ? known : undefined;
        pending.entry = peer.send(encodeCall(id, name, payload, options), id, pending);
      } else {
        known.credit = [peer.limits.streamCreditBytes, peer.limits.streamCreditMessages];
        pending.entry = peer.send(encodeMessage(Message.Stream, id, name, payload, known), id, pending);
      }
    } catch (error) {
      fail(error as IonbusError); // TooLarge, from `peer.send`
      return;
    }
    this.#pending.set(id, pending);
    if (timeoutMs !== null) {
      pending.expiresAt = now() + timeoutMs;
      this.#alarm.wantBy(pending.expiresAt);
    }
    if (signal !== undefined) this.#listen(signal, pending);
  }

  #listen(signal: AbortSignal, pending: Pending): void {
    const abort = (): void => {
      this.#giveUp(pending);
      pending.fail(cancelled(pending.options.name, signal));
    };
    signal.addEventListener("abort", abort);
    pending.stopListening = () => signal.removeEventListener("abort", abort);
  }

  /** It has ended. False: it had before. */
  #remove(pending: Pending): boolean {
    pending.stopListening?.();
    return this.#pending.delete(pending.id);
  }

  /** Nobody waits for the answer any more: take the request back, or send CANCEL. */
  #giveUp(pending: Pending): void {
    if (!this.#remove(pending)) return;
    const peer = this.#peer;
    const { entry, isPutOff } = pending; // of what was put off the broker has let go
    if (entry === undefined || isPutOff || peer.endedWith !== undefined || peer.withdraw(entry)) {
      this.#makeRoom();
    } else {
      this.#abandoned.add(pending.id);
      peer.send(encodeMessage(Message.Cancel, pending.id), pending.id);
    }
  }

  #expire(): void {
    const time = now();
    for (const waiting of [...this.#queue]) {
      if (waiting.expiresAt > time) {
        this.#alarm.wantBy(waiting.expiresAt);
        continue;
      }
      const { name, timeoutMs } = waiting.options;
      const { maxRequests } = this.#peer.limits;
      const why = `${maxRequests} requests are under way already`;
      waiting.fail(new CallTimeout(`${name}: not sent within ${timeoutMs} ms; ${why}`));
    }
    for (const pending of [...this.#pending.values()]) {
      if (pending.expiresAt > time) {
        this.#alarm.wantBy(pending.expiresAt);
        continue;
      }
      this.#giveUp(pending);
      const { name, timeoutMs } = pending.options;
      const { disconnected } = this.#peer;
      const why = disconnected === undefined ? "" : `; there is no connection: ${disconnected}`;
      pending.fail(new CallTimeout(`${name}: not answered within ${timeoutMs} ms${why}`));
    }
  }

  /** The request that an answer is for; undefined where it has ended. */
  #find(id: number, what: string, kind?: Pending["kind"]): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) {
      if (id < 1 || id > this.#last) throw new MalformedFrame(`${what} for request ${id}, which never was`);
    } else if (kind !== undefined && pending.kind !== kind) {
      throw new MalformedFrame(`${what} for request ${id}, which is none that it answers`);
    }
    return pending;
  }

  #end(id: number, what: string, kind?: Pending["kind"]): Pending | undefined {
    const pending = this.#find(id, what, kind);
    if (pending === undefined) this.#abandoned.delete(id);
    else this.#remove(pending);
    if (this.#queue.size > 0) this.#makeRoom();
    return pending;
  }

  get #hasRoom(): boolean {
    return this.#pending.size + this.#abandoned.size < this.#peer.limits.maxRequests;
  }

  #makeRoom(): void {
    for (const waiting of this.#queue) {
      if (!this.#hasRoom && this.#peer.endedWith === undefined) return;
      waiting.go();
    }
  }
}

/** An error's details; empty where there are none, or none that make sense. */
export function decodeDetails(details: Uint8Array | null | undefined): unknown {
  if (details === null || details === undefined) return {};
  try {
    return decode(details);
  } catch {
    return {};
  }
}

function cancelled(name: string, signal: AbortSignal): CallCancelled {
  return new CallCancelled(`${name}: given up by its caller`, { cause: signal.reason });
}
