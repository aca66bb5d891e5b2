/** Answers one request of the other side: runs its handler, and sends what comes of it (docs/protocol.md, section 5.1). */

import { now } from "../alarm.js";
import { CallCancelled, CallTimeout, type IonbusError, isIonbusError, TooLarge } from "../errors.js";
import * as Message from "../generated/message.js";
import { encodeItem, encodeMessage, encodeResult } from "../wire/messages.js";
import { type Answer, encodeError, type Handler, internalError, type Reason } from "./answers.js";
import type { Peer } from "./peer.js";

/** Make the answer of a request that has arrived; the descriptor of a call or stream that a client serves carries this. */
export function serve(peer: Peer, handler: Handler, id: number, size: number, options: unknown): Answer {
  return new Served(peer, handler, id, size, options);
}

class Served implements Answer {
  readonly size: number;
  readonly isStream: boolean;
  readonly expiresAt: number;
  isAnswered = false;
  readonly #peer: Peer;
  readonly #handler: Handler;
  readonly #id: number;
  readonly #controller = new AbortController();
  /** Why the handler was told to stop; only the first reason counts. */
  #reason: Reason | undefined;
  readonly #trace: string | undefined;
  #granted: [bytes: number, items: number];
  #sent: [bytes: number, items: number] = [0, 0];
  /** Goes on with the stream: there is credit, or it was stopped. */
  #wake: (() => void) | undefined;

  constructor(peer: Peer, handler: Handler, id: number, size: number, options: unknown) {
    const { deadline, credit, trace } = (options ?? {}) as Readonly<Record<string, unknown>>;
    this.#peer = peer;
    this.#handler = handler;
    this.#id = id;
    this.size = size;
    this.isStream = handler.kind === "stream";
    this.expiresAt = typeof deadline === "number" ? now() + deadline : Number.POSITIVE_INFINITY;
    this.#trace = typeof trace === "string" ? trace : undefined;
    this.#granted = firstCredit(credit, peer);
  }

  async run(payload: Uint8Array, ended: () => void): Promise<void> {
    const handler = this.#handler;
    try {
      const request = this.#decode(payload);
      if (request === undefined) return;
      const requestId = this.#id;
      const result = handler.run(request.value, {
        signal: this.#controller.signal,
        requestId,
        deadline: this.expiresAt,
        trace: this.#trace,
      });
      if (this.isStream) {
        await this.#sendItems(result as AsyncIterable<unknown>);
        this.#send(encodeMessage(Message.End, requestId));
      } else {
        const data = handler.encodeAnswer(await result);
        this.#send(encodeResult(requestId, data));
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      ended();
    }
  }

  credit(bytes: number, items: number): void {
    this.#granted = [Math.max(this.#granted[0], bytes), Math.max(this.#granted[1], items)];
    if (this.#hasCredit) this.#wake?.();
  }

  stop(reason: Reason): void {
    if (this.#reason !== undefined || this.isAnswered) return;
    const { name } = this.#handler;
    const error =
      reason === "timeout"
        ? new CallTimeout(`${name}: its deadline has passed`)
        : new CallCancelled(`${name}: ${reason === "lost" ? "the session is gone" : "cancelled"}`);
    this.#reason = reason;
    if (reason === "lost") this.isAnswered = true;
    else this.#send(encodeError(this.#id, error));
    this.#tellHandler(error);
  }

  rejected(error: IonbusError): void {
    this.#peer.send(encodeError(this.#id, error)); // past the items that wait: after it they are ignored
    if (this.isAnswered) return;
    this.isAnswered = true;
    this.#reason = "cancelled";
    this.#tellHandler(error);
  }

  #tellHandler(error: IonbusError): void {
    this.#controller.abort(error);
    this.#wake?.();
  }

  get #hasCredit(): boolean {
    return this.#sent[0] < this.#granted[0] && this.#sent[1] < this.#granted[1];
  }

  #decode(payload: Uint8Array): { value: unknown } | undefined {
    try {
      return { value: this.#handler.decodeRequest(payload) };
    } catch (error) {
      if (!isIonbusError(error)) throw error;
      this.#send(encodeError(this.#id, error));
      return undefined;
    }
  }

  async #sendItems(items: AsyncIterable<unknown>): Promise<void> {
    for await (const item of items) {
      const payload = this.#handler.encodeAnswer(item);
      while (!this.#hasCredit && this.#reason === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#reason !== undefined) return;
      await this.#backlogGone();
      if (this.#reason !== undefined) return;
      this.#sent = [this.#sent[0] + payload.length, this.#sent[1] + 1];
      this.#peer.send(encodeItem(this.#id, payload), -this.#id, this);
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

  #fail(error: unknown): void {
    if (this.isAnswered) return;
    const { name, raises } = this.#handler;
    const isForCaller =
      isIonbusError(error) && (error.isRefusal || raises.some(({ code }) => code === error.code));
    const told = isForCaller || error instanceof TooLarge ? error : internalError(name, error);
    this.#send(this.#tell(told));
  }

  /** The error's message; of one whose fields cannot travel, that of an internal one. */
  #tell(error: IonbusError): Uint8Array {
    try {
      return encodeError(this.#id, error);
    } catch (problem) {
      return encodeError(this.#id, internalError(this.#handler.name, problem));
    }
  }

  #send(message: Uint8Array): void {
    if (this.isAnswered) return;
    this.isAnswered = true;
    const { engine, limits } = this.#peer;
    const waiting = engine.queuedMessageBytes;
    try {
      if (waiting > 0 && waiting + message.length > limits.maxAnswerBytes) {
        const text = `answers of ${waiting} bytes wait for their reader already; at most ${limits.maxAnswerBytes} do`;
        throw new TooLarge(`${this.#handler.name}: ${text}`);
      }
      this.#peer.send(message, -this.#id, this);
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      this.#peer.send(encodeError(this.#id, error), -this.#id);
    }
  }
}

function firstCredit(credit: unknown, { limits }: Peer): [number, number] {
  if (Array.isArray(credit) && Number.isSafeInteger(credit[0]) && Number.isSafeInteger(credit[1])) {
    return [Number(credit[0]), Number(credit[1])];
  }
  return [limits.streamCreditBytes, limits.streamCreditMessages];
}
