/** The requests of the other side: each is run by its handler and answered exactly once (docs/protocol.md, section 5.1). */

import { createAlarm, now } from "../alarm.js";
import {
  CallCancelled,
  CallTimeout,
  errorToWire,
  InternalError,
  type IonbusError,
  isIonbusError,
  TooLarge,
} from "../errors.js";
import { Message } from "../generated/protocol.js";
import { entropy } from "../platform.js";
import { MalformedFrame } from "../wire/frames.js";
import { toHex } from "../wire/hex.js";
import { encodeItem, encodeMessage, encodeResult } from "../wire/messages.js";
import { encode } from "../wire/values.js";
import type { Peer } from "./peer.js";

/** What a handler is told beside the request. */
export interface HandlerContext {
  /** Aborts when nobody waits for the answer any more: cancelled, timed out, or the session is gone. */
  readonly signal: AbortSignal;
  readonly requestId: number;
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
}

type Reason = "cancelled" | "timeout" | "lost";

/** One request under way. */
export interface Answer {
  readonly id: number;
  readonly name: string;
  readonly isStream: boolean;
  /** Bytes of its payload. */
  readonly size: number;
  readonly controller: AbortController;
  expiresAt: number;
  /** Why the handler was told to stop; only the first reason counts. */
  reason: Reason | undefined;
  isAnswered: boolean;
  granted: [bytes: number, items: number];
  sent: [bytes: number, items: number];
  /** Goes on with the stream: there is credit, or it was stopped. */
  wake: (() => void) | undefined;
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
    if (crowd !== undefined) {
      this.#sendError(id, new TooLarge(`${name}: ${crowd}`));
      return;
    }
    const handler = peer.findHandler(name, kind);
    if (isIonbusError(handler)) {
      this.#sendError(id, handler);
      return;
    }
    const { deadline, credit } = (options ?? {}) as { deadline?: unknown; credit?: unknown };
    const answer: Answer = {
      id,
      name,
      isStream: kind === "stream",
      size: payload.length,
      controller: new AbortController(),
      expiresAt: typeof deadline === "number" ? now() + deadline : Number.POSITIVE_INFINITY,
      reason: undefined,
      isAnswered: false,
      granted: firstCredit(credit, peer),
      sent: [0, 0],
      wake: undefined,
    };
    this.#underWay.set(id, answer);
    this.#streams += answer.isStream ? 1 : 0;
    this.#heldBytes += answer.size;
    this.#alarm.wantBy(answer.expiresAt);
    void this.#run(answer, handler, payload);
  }

  /** CANCEL has arrived. */
  cancel(id: number): void {
    const answer = this.#find(id, "CANCEL");
    if (answer !== undefined) this.#stop(answer, "cancelled");
  }

  /** STREAM_CREDIT has arrived. */
  credit(id: number, bytes: number, items: number): void {
    const answer = this.#find(id, "STREAM_CREDIT");
    if (answer === undefined) return;
    answer.granted = [Math.max(answer.granted[0], bytes), Math.max(answer.granted[1], items)];
    if (hasCredit(answer)) answer.wake?.();
  }

  /** The session is gone: stop every handler, and begin anew. */
  stopAll(): void {
    for (const answer of [...this.#underWay.values()]) this.#stop(answer, "lost");
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

  /** The other side does not take the message of the result, or of an item: that ends a stream. */
  rejected(answer: Answer, error: IonbusError): void {
    this.#peer.send(this.#error(answer.id, error)); // past the items that wait: after it they are ignored
    if (answer.isAnswered) return;
    answer.isAnswered = true;
    answer.reason = "cancelled";
    answer.controller.abort(error);
    answer.wake?.();
  }

  async #run(answer: Answer, handler: Handler, payload: Uint8Array): Promise<void> {
    try {
      const request = this.#decode(answer, handler, payload);
      if (request === undefined) return;
      const { controller, id } = answer;
      const result = handler.run(request.value, { signal: controller.signal, requestId: id });
      if (handler.kind === "call") {
        const data = handler.encodeAnswer(await result);
        this.#send(answer, encodeResult(id, data));
      } else {
        await this.#sendItems(answer, handler, result as AsyncIterable<unknown>);
        this.#send(answer, encodeMessage(Message.End, id));
      }
    } catch (error) {
      this.#fail(answer, handler, error);
    } finally {
      if (this.#underWay.get(answer.id) === answer) {
        this.#underWay.delete(answer.id);
        this.#streams -= answer.isStream ? 1 : 0;
        this.#heldBytes -= answer.size;
      }
    }
  }

  #decode(answer: Answer, handler: Handler, payload: Uint8Array): { value: unknown } | undefined {
    try {
      return { value: handler.decodeRequest(payload) };
    } catch (error) {
      if (!isIonbusError(error)) throw error;
      this.#send(answer, this.#error(answer.id, error));
      return undefined;
    }
  }

  async #sendItems(answer: Answer, handler: Handler, items: AsyncIterable<unknown>): Promise<void> {
    for await (const item of items) {
      const payload = handler.encodeAnswer(item);
      while (!hasCredit(answer) && answer.reason === undefined) {
        await new Promise<void>((resolve) => {
          answer.wake = resolve;
        });
      }
      if (answer.reason !== undefined) return;
      await this.#backlogGone();
      if (answer.reason !== undefined) return;
      answer.sent = [answer.sent[0] + payload.length, answer.sent[1] + 1];
      this.#peer.send(encodeItem(answer.id, payload), -answer.id, answer);
    }
  }

  /** What was sent before has left, but for a window's worth: a reader may grant more than it reads. */
  async #backlogGone(): Promise<void> {
    const peer = this.#peer;
    const { engine, limits } = peer;
    if (engine.queuedMessageBytes <= limits.creditBytes) return;
    await peer
      .until(() => engine.queuedMessageBytes <= limits.creditBytes || peer.engine !== engine)
      .catch(() => undefined); // the session has ended, and the handler was told
  }

  /** Tell the handler to stop, and its caller at once that it was: a handler may take its time. */
  #stop(answer: Answer, reason: Reason): void {
    if (answer.reason !== undefined || answer.isAnswered) return;
    answer.reason = reason;
    const error =
      reason === "timeout"
        ? new CallTimeout(`${answer.name}: its deadline has passed`)
        : new CallCancelled(`${answer.name}: ${reason === "lost" ? "the session is gone" : "cancelled"}`);
    if (reason === "lost") answer.isAnswered = true;
    else this.#send(answer, this.#error(answer.id, error));
    answer.controller.abort(error);
    answer.wake?.();
  }

  #fail(answer: Answer, handler: Handler, error: unknown): void {
    if (answer.isAnswered) return;
    const isDeclared = isIonbusError(error) && handler.raises.some(({ code }) => code === error.code);
    const told = isDeclared || error instanceof TooLarge ? error : internalError(answer.name, error);
    this.#send(answer, this.#tell(answer, told));
  }

  /** The error's message; of one whose fields cannot travel, that of an internal one. */
  #tell({ id, name }: Answer, error: IonbusError): Uint8Array {
    try {
      return this.#error(id, error);
    } catch (problem) {
      return this.#error(id, internalError(name, problem));
    }
  }

  #send(answer: Answer, message: Uint8Array): void {
    if (answer.isAnswered) return;
    answer.isAnswered = true;
    const { engine, limits } = this.#peer;
    const waiting = engine.queuedMessageBytes;
    try {
      if (waiting > 0 && waiting + message.length > limits.maxAnswerBytes) {
        const text = `answers of ${waiting} bytes wait for their reader already; at most ${limits.maxAnswerBytes} do`;
        throw new TooLarge(`${answer.name}: ${text}`);
      }
      this.#peer.send(message, -answer.id, answer);
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      this.#sendError(answer.id, error);
    }
  }

  #sendError(id: number, error: IonbusError): void {
    this.#peer.send(this.#error(id, error), -id);
  }

  #error(id: number, error: IonbusError): Uint8Array {
    const [code, message, details] = errorToWire(error);
    const hasDetails = Object.keys(details).length > 0;
    return encodeMessage(Message.Error, id, code, message, hasDetails ? encode(details) : undefined);
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
      if (answer.expiresAt <= time) this.#stop(answer, "timeout");
      else this.#alarm.wantBy(answer.expiresAt);
    }
  }
}

function hasCredit({ sent, granted }: Answer): boolean {
  return sent[0] < granted[0] && sent[1] < granted[1];
}

function firstCredit(credit: unknown, { limits }: Peer): [number, number] {
  if (Array.isArray(credit) && Number.isSafeInteger(credit[0]) && Number.isSafeInteger(credit[1])) {
    return [Number(credit[0]), Number(credit[1])];
  }
  return [limits.streamCreditBytes, limits.streamCreditMessages];
}

/** Log what code of the user's threw under a new incident id, and give what its caller is told: nothing but that id. */
export function internalError(name: string, error: unknown): InternalError {
  const incidentId = toHex(entropy(6));
  console.error(`ionbus: incident ${incidentId}: ${name} failed:`, error);
  return new InternalError(`${name} failed; the reason is in its log, under ${incidentId}`, { incidentId });
}
