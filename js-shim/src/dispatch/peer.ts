/**
 * One side of a session above the engine: where each message that arrives goes, and how messages leave.
 *
 * Requests that this side makes are in `requests`, those that it answers in `answers`, events in `listeners`; who owns
 * the session says the rest.
 */

import { errorFromWire, errorToWire, type IonbusError, isIonbusError, TooLarge } from "../errors.js";
import * as Message from "../generated/message.js";
import type { Limits } from "../generated/protocol.js";
import type { Delivery, Entry } from "../session/outbox.js";
import type { Session } from "../session/session.js";
import { MalformedFrame } from "../wire/frames.js";
import { encodeMessage } from "../wire/messages.js";
import { encode } from "../wire/values.js";
import { type Answer, Answers, type Handler, internalError } from "./answers.js";
import { Listeners } from "./listeners.js";
import { decodeDetails, type Pending, Requests } from "./requests.js";

/** A message that was checked: its type, then its fields (docs/protocol.md, section 5). */
type Fields = readonly unknown[];

/** Characters of an error that are told where all of it would be too large. */
const LONGEST_TEXT = 1_000;

/** Who a peer belongs to: the bus of a client, or one client's session at a broker. */
export interface Owner {
  /** What answers a request, or what its caller is told. */
  findHandler(name: string, kind: Handler["kind"]): Handler | IonbusError;
  /** EVENT has arrived. */
  event(seq: number, name: string, payload: Uint8Array, options: unknown): void;
  /** A message that only one of the two sides is sent; false: it is not for this side. */
  other(seq: number, message: Fields): boolean;
  /** The other side has refused something later. */
  refused(error: IonbusError): void;
}

/** See the module. */
export class Peer {
  /** The session's engine; a client's is replaced when its session is. */
  engine: Session;
  /** The largest message that the other side takes, in bytes. */
  maxMessageBytes: number;
  /** What numbers in place of names stand for. */
  names: readonly string[] = [];
  /** Why there is no channel now, as far as this side knows. */
  disconnected: string | undefined;
  /** Why nothing can be sent any more. */
  endedWith: IonbusError | undefined;
  readonly limits: Limits;
  readonly requests: Requests;
  readonly answers: Answers;
  readonly listeners: Listeners;
  readonly findHandler: Owner["findHandler"];
  readonly #owner: Owner;
  readonly #flushSoon: () => void;
  #creditQueue: { readonly go: () => void; readonly fail: (error: IonbusError) => void }[] = [];
  #bytesReceived = 0;
  #eventsReceived = 0;
  readonly #watches = new Set<{
    isSo: () => boolean;
    resolve: () => void;
    fail: (error: IonbusError) => void;
  }>();
  readonly #key: string;
  #keys = 0;

  /**
   * @param flushSoon - called when there is something to send.
   * @param uniquePrefix - sets this peer's idempotency keys apart from all others'.
   */
  constructor(owner: Owner, engine: Session, flushSoon: () => void, limits: Limits, uniquePrefix: string) {
    this.engine = engine;
    this.limits = limits;
    this.maxMessageBytes = limits.maxMessageBytes;
    this.findHandler = owner.findHandler;
    this.#owner = owner;
    this.#flushSoon = flushSoon;
    this.#key = uniquePrefix;
    this.requests = new Requests(this);
    this.answers = new Answers(this);
    this.listeners = new Listeners(
      limits.maxListeners,
      (cost) => this.consumed(cost),
      (seq, error) => this.refuse(seq, error),
    );
  }

  // What arrives.

  /**
   * Take a message that the engine delivers.
   *
   * @throws MalformedFrame it breaks the protocol.
   */
  receive(seq: number, message: Fields): void {
    // The engine has checked the fields against the table in schemas/protocol.toml.
    const [kind, first] = message as [number, number];
    switch (kind) {
      case Message.Event:
        this.#countEvent(message);
        this.#owner.event(seq, this.nameOf(message[1]), message[2] as Uint8Array, message[3]);
        break;
      case Message.Result:
        this.requests.result(first, message[2] as Uint8Array);
        break;
      case Message.Error:
        this.requests.error(first, ...(message.slice(2, 5) as [string, string, Uint8Array | undefined]));
        break;
      case Message.Item:
        this.requests.item(first, message[2] as Uint8Array);
        break;
      case Message.End:
        this.requests.end(first);
        break;
      case Message.Call:
      case Message.Stream: {
        const name = this.nameOf(message[2]);
        const requested = kind === Message.Call ? "call" : "stream";
        this.answers.begin(requested, first, name, message[3] as Uint8Array, message[4]);
        break;
      }
      case Message.Cancel:
        this.answers.cancel(first);
        break;
      case Message.StreamCredit:
        this.answers.credit(first, message[2] as number, message[3] as number);
        break;
      case Message.Refused:
        this.#receiveRefused(first, ...(message.slice(2, 5) as [string, string, Uint8Array | undefined]));
        break;
      default:
        if (kind === Message.Envelope) this.#countEvent(message[2] as Fields);
        if (!this.#owner.other(seq, message))
          throw new MalformedFrame(`message type ${kind} is not for this side`);
    }
  }

  /** The text of a name. @throws MalformedFrame a number that stands for none. */
  nameOf(name: unknown): string {
    if (typeof name === "string") return name;
    const text = this.names[name as number];
    if (text === undefined) throw new MalformedFrame(`name ${String(name)} of ${this.names.length}`);
    return text;
  }

  /** The other side does not take a large message; `tag` is what it was sent with. */
  rejected(tag: unknown, code: string, message: string): void {
    const error = errorFromWire(code, message);
    if (isPending(tag)) this.requests.rejected(tag, error);
    else if (isAnswer(tag)) tag.rejected(error);
    else this.#owner.refused(error);
  }

  /** A frame has arrived, or a channel: whoever waits for credit looks again. */
  creditChanged(): void {
    if (this.#watches.size > 0) this.#lookAgain();
    while (this.#creditQueue.length > 0 && this.engine.acceptsEvents) this.#creditQueue.shift()?.go();
  }

  // What leaves.

  /** Whether the other side takes a message as large; its bound concerns transfers only (docs/protocol.md, section 7). */
  takes({ length }: Uint8Array): boolean {
    return length <= this.limits.transferThresholdBytes || length <= this.maxMessageBytes;
  }

  /** Send what needs no credit. @throws TooLarge the other side does not take a message as large. */
  send(message: Uint8Array, lane?: number, tag?: unknown): Entry {
    if (!this.takes(message)) throw this.#tooLarge(message.length);
    const entry = this.engine.send(message, lane, tag);
    this.#flushSoon();
    return entry;
  }

  /**
   * Send an event, once there is credit. A volatile one is dropped instead, and a latest one is queued at once, so that
   * its successor can take its place.
   *
   * @throws TooLarge; @throws IonbusError the session has ended.
   */
  emit(message: Uint8Array, cost: number, delivery: Delivery, key?: string): Promise<void> {
    if (!this.takes(message)) return Promise.reject(this.#tooLarge(message.length));
    if (this.endedWith !== undefined) return Promise.reject(this.endedWith);
    const waits = delivery !== "volatile" && (this.#creditQueue.length > 0 || !this.engine.acceptsEvents);
    const leave = (): Entry | undefined => {
      const entry = this.engine.emit(message, cost, delivery, key);
      this.#flushSoon();
      return entry;
    };
    const first = !waits || delivery === "latest" ? leave() : undefined;
    if (!waits) return this.#whole(first);
    return new Promise<Entry | undefined>((resolve, fail) => {
      this.#creditQueue.push({ go: () => resolve(first ?? leave()), fail });
    }).then((entry) => this.#whole(entry));
  }

  /** A large event has left with its last part; else the result of the handler that emits it would pass it on its way. */
  #whole(entry: Entry | undefined): Promise<void> {
    if (entry === undefined || entry.data.length <= this.limits.transferThresholdBytes)
      return Promise.resolve();
    const { engine } = this;
    return this.until(() => entry.isNumbered || entry.isDropped || this.engine !== engine);
  }

  /** Wait until something is so; it is looked at now, and whenever a frame has arrived. Rejects when the session ends. */
  until(isSo: () => boolean): Promise<void> {
    if (this.endedWith !== undefined) return Promise.reject(this.endedWith);
    if (isSo()) return Promise.resolve();
    return new Promise((resolve, fail) => {
      this.#watches.add({ isSo, resolve, fail });
    });
  }

  /** Take back what has not left. False: too late, the other side gets it. */
  withdraw(entry: Entry): boolean {
    const isWithdrawn = this.engine.withdraw(entry);
    this.#flushSoon();
    return isWithdrawn;
  }

  /** An event was dropped or taken. */
  consumed(cost: number): void {
    this.engine.consumed(cost);
    this.#flushSoon();
  }

  /** Tell the other side that its event was refused. */
  refuse(seq: number, error: unknown): void {
    const told = isIonbusError(error) ? error : internalError("an event's validation", error);
    const [code, text, details] = errorToWire(told);
    let message = encodeMessage(Message.Refused, seq, code, text, encode(details));
    if (!this.takes(message))
      message = encodeMessage(Message.Refused, seq, code, text.slice(0, LONGEST_TEXT));
    this.send(message);
  }

  /** An idempotency key that no other request of any session has. */
  uniqueKey(): string {
    this.#keys += 1;
    return `${this.#key}-${this.#keys}`;
  }

  // The session's end.

  /** The session has ended: fail what waits, stop the handlers. */
  end(error: IonbusError): void {
    if (this.endedWith !== undefined) return;
    this.endedWith = error;
    this.requests.failAll(error);
    const queue = this.#creditQueue;
    this.#creditQueue = [];
    for (const { fail } of [...queue, ...this.#watches]) fail(error);
    this.#watches.clear();
    this.answers.stopAll();
    this.listeners.clear();
  }

  /**
   * The client's session is a new one: send again what the old one never sent, fail what it did.
   *
   * @param unnumbered - what was never sent, in order.
   * @param error - what numbered requests fail with.
   * @param renew - called first: makes the subscriptions again.
   * @returns how many requests failed.
   */
  replace(engine: Session, unnumbered: readonly Entry[], error: IonbusError, renew: () => void): number {
    this.answers.stopAll();
    this.listeners.beginAnew();
    this.engine = engine;
    this.#bytesReceived = 0;
    this.#eventsReceived = 0;
    renew();
    const kept = new Set(unnumbered.map(({ tag }) => tag).filter(isPending));
    const { again, lost } = this.requests.carryOver(kept, error);
    for (const pending of again) this.#sendAgain(pending);
    for (const { tag, data, cost, delivery, key } of unnumbered) {
      if (isPending(tag)) this.#sendAgain(tag);
      else if (cost >= 0) engine.emit(data, cost, delivery, key, tag);
    }
    this.#flushSoon();
    return lost;
  }

  #lookAgain(): void {
    for (const watch of [...this.#watches]) {
      if (!watch.isSo()) continue;
      this.#watches.delete(watch);
      watch.resolve();
    }
  }

  #sendAgain(pending: Pending): void {
    if (pending.entry !== undefined)
      pending.entry = this.engine.send(pending.entry.data, pending.id, pending);
  }

  #receiveRefused(seq: number, code: string, message: string, details: Uint8Array | undefined): void {
    if (seq < 1 || seq > this.engine.sent)
      throw new MalformedFrame(`REFUSED for element ${seq}, which was never sent`);
    this.#owner.refused(errorFromWire(code, message, decodeDetails(details)));
  }

  #countEvent(event: Fields): void {
    const [bytes, events] = this.engine.granted;
    if (this.#bytesReceived >= bytes || this.#eventsReceived >= events)
      throw new MalformedFrame("EVENT without credit");
    this.#bytesReceived += (event[2] as Uint8Array).length;
    this.#eventsReceived += 1;
  }

  #tooLarge(size: number): TooLarge {
    return new TooLarge(`a message of ${size} bytes; the other side takes ${this.maxMessageBytes}`);
  }
}

function isPending(tag: unknown): tag is Pending {
  return typeof tag === "object" && tag !== null && "options" in tag;
}

function isAnswer(tag: unknown): tag is Answer {
  return typeof tag === "object" && tag !== null && "isAnswered" in tag;
}
