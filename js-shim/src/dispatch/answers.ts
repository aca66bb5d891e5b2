/**
 * The requests of the other side, each until it is answered (docs/protocol.md, section 5.1).
 *
 * What runs a handler is in answer.ts, and comes with the handler: a page that serves nothing has no such code, and refuses.
 */

import { createAlarm, now } from "../alarm.js";
import { errorToWire, InternalError, type IonbusError, isIonbusError, TooLarge } from "../errors.js";
import * as Message from "../generated/message.js";
import type { State } from "../middleware/message.js";
import { entropy } from "../platform.js";
import { MalformedFrame } from "../wire/frames.js";
import { toHex } from "../wire/hex.js";
import { encodeMessage } from "../wire/messages.js";
import { encode } from "../wire/values.js";
import type { Peer } from "./peer.js";

/** What a handler is told beside the request. */
export interface HandlerContext {
  /** Aborts when nobody waits for the answer any more: cancelled, timed out, or the session is gone. */
  readonly signal: AbortSignal;
  readonly requestId: number;
  /** When nobody waits for the answer any more, in milliseconds of `performance.now()`; infinity: never. */
  readonly deadline: number;
  /** The trace that the request belongs to, a W3C traceparent: pass it on with what the handler asks for and emits. */
  readonly trace: string | undefined;
  /** What middleware has noted on the way; undefined where there is none. */
  readonly passage?: State | undefined;
}

/** What answers one call or stream. */
export interface Handler {
  readonly kind: "call" | "stream";
  readonly name: string;
  /** Codes of the errors that reach the caller with their fields. */
  readonly raises: readonly { readonly code: string }[];
  /** @throws InvalidPayload */
  readonly decodeRequest: (payload: Uint8Array) => unknown;
  /** A result, or an item. @throws InvalidPayload */
  readonly encodeAnswer: (value: unknown) => Uint8Array;
  readonly run: (request: unknown, context: HandlerContext) => unknown;
  readonly serve: Serve;
}

/** Makes the answer of a request with this id, of `size` payload bytes. */
export type Serve = (peer: Peer, handler: Handler, id: number, size: number, options: unknown) => Answer;

export type Reason = "cancelled" | "timeout" | "lost";

/** One request under way. */
export interface Answer {
  readonly isStream: boolean;
  /** Bytes of its payload. */
  readonly size: number;
  readonly expiresAt: number;
  readonly isAnswered: boolean;
  /** Run the handler; `ended` is called when nothing of it is left. */
  run(payload: Uint8Array, ended: () => void): Promise<void>;
  /** So much may be sent in all. */
  credit(bytes: number, items: number): void;
  /** Tell the handler to stop, and its caller at once that it was: a handler may take its time. */
  stop(reason: Reason): void;
  /** The other side does not take the message of the result, or of an item: that ends a stream. */
  rejected(error: IonbusError): void;
}

/** The other side's requests of one session. */
export class Answers {
  readonly #peer: Peer;
  #underWay = new Map<number, Answer>();
  #highest = 0;
  #streams = 0;
  /** Payload bytes of the requests under way. */
  #heldBytes = 0;
  readonly #alarm = createAlarm(() => this.#expire());

  /** @param peer - sends for them, and knows the handlers. */
  constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** CALL or STREAM has arrived. */
  begin(kind: Handler["kind"], id: number, name: string, payload: Uint8Array, options: unknown): void {
    const peer = this.#peer;
    if (id === 0 || this.#underWay.has(id)) throw new MalformedFrame(`request ${id} is under way already`);
    this.#highest = Math.max(this.#highest, id);
    const crowd = this.#crowd(payload.length, kind);
    const handler = crowd === undefined ? peer.findHandler(name, kind) : new TooLarge(`${name}: ${crowd}`);
    if (isIonbusError(handler)) {
      peer.send(encodeError(id, handler), -id);
      return;
    }
    const answer = handler.serve(peer, handler, id, payload.length, options);
    this.#underWay.set(id, answer);
    this.#streams += answer.isStream ? 1 : 0;
    this.#heldBytes += answer.size;
    this.#alarm.wantBy(answer.expiresAt);
    void answer.run(payload, () => {
      if (this.#underWay.get(id) !== answer) return;
      this.#underWay.delete(id);
      this.#streams -= answer.isStream ? 1 : 0;
      this.#heldBytes -= answer.size;
    });
  }

  /** CANCEL has arrived. */
  cancel(id: number): void {
    this.#find(id, "CANCEL")?.stop("cancelled");
  }

  /** STREAM_CREDIT has arrived. */
  credit(id: number, bytes: number, items: number): void {
    this.#find(id, "STREAM_CREDIT")?.credit(bytes, items);
  }

  /** The session is gone: stop every handler, and begin anew. */
  stopAll(): void {
    for (const answer of [...this.#underWay.values()]) answer.stop("lost");
    this.#underWay = new Map();
    this.#highest = 0;
    this.#streams = 0;
    this.#heldBytes = 0;
    this.#alarm.stop(); // a timer that nobody needs would keep Node.js alive
  }

  /** Why no request more is taken, or undefined. */
  #crowd(size: number, kind: Handler["kind"]): string | undefined {
    const { maxRequests, maxRequestBytes, maxStreams } = this.#peer.limits;
    const count = this.#underWay.size;
    if (count >= maxRequests) return `${count} requests are under way already`;
    if (count > 0 && this.#heldBytes + size > maxRequestBytes)
      return `requests of ${this.#heldBytes} bytes are under way already; at most ${maxRequestBytes} are`;
    if (kind === "stream" && this.#streams >= maxStreams)
      return `${this.#streams} streams are under way already`;
    return undefined;
  }

  #find(id: number, what: string): Answer | undefined {
    const answer = this.#underWay.get(id);
    if (answer === undefined && (id < 1 || id > this.#highest)) {
      throw new MalformedFrame(`${what} for request ${id}, which never was`);
    }
    return answer;
  }

  #expire(): void {
    const time = now();
    for (const answer of [...this.#underWay.values()]) {
      if (answer.expiresAt <= time) answer.stop("timeout");
      else this.#alarm.wantBy(answer.expiresAt);
    }
  }
}

/** ERROR of the request with this id. */
export function encodeError(id: number, error: IonbusError): Uint8Array {
  const [code, message, details] = errorToWire(error);
  const hasDetails = Object.keys(details).length > 0;
  return encodeMessage(Message.Error, id, code, message, hasDetails ? encode(details) : undefined);
}

/** Log what code of the user's threw under a new incident id, and give what its caller is told: nothing but that id. */
export function internalError(name: string, error: unknown): InternalError {
  const incidentId = toHex(entropy(6));
  console.error(`ionbus: incident ${incidentId}: ${name} failed:`, error);
  return new InternalError(`${name} failed; the reason is in its log, under ${incidentId}`, { incidentId });
}
