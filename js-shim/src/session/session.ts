/**
 * One side's half of a session: numbers, acknowledgements, replay, credit, transfers, heartbeats (docs/protocol.md, 4 to 8).
 *
 * Pure: frames and the time (milliseconds on any monotonic clock) go in, frames to send and what arrived come out. The
 * same class serves client and broker; the greeting is around it (`connection`).
 */

import * as Frame from "../generated/frame.js";
import * as Message from "../generated/message.js";
import type { Limits } from "../generated/protocol.js";
import { decodeFrame, encodeControl, encodeData, MalformedFrame, uintFields } from "../wire/frames.js";
import { checkMessage, encodeMessage, eventName } from "../wire/messages.js";
import { Liveness } from "./liveness.js";
import { type Delivery, Entry, EVENTS, type Lane, Outbox } from "./outbox.js";
import { Replay } from "./replay.js";
import { Incoming, Outgoing } from "./transfers.js";

/** A message for the application, in order, once. `message` is an array, its type first; `seq` is its number. */
export interface Delivered {
  readonly type: "delivered";
  readonly seq: number;
  readonly message: readonly unknown[];
}

/** The other side refused to take a large message; `tag` is what `send` or `emit` was given. */
export interface Rejected {
  readonly type: "rejected";
  readonly tag: unknown;
  readonly code: string;
  readonly message: string;
}

/** The other side broke the protocol: CLOSE with this code, then drop the channel. `over`: the session ends too. */
export interface Violation {
  readonly type: "violation";
  readonly code: "protocol_error" | "protocol_violation";
  readonly message: string;
  readonly over: boolean;
}

export type Arrival = Delivered | Rejected | Violation;

/** Totals of bytes and of events, for a session's life. */
export type Credit = readonly [bytes: number, events: number];

/** How often each was counted. */
export type Counts = Map<string, number>;

/** Count one more. */
export function count(counts: Counts, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** See the module. Until `attach` everything waits. */
export class Session {
  readonly #limits: Limits;
  readonly #outbox: Outbox;
  readonly #replay: Replay;
  readonly #outgoing: Outgoing;
  readonly #incoming: Incoming;
  #liveness: Liveness;
  /** At most one of a kind waits: the newest says all. */
  readonly #control = new Map<number, Uint8Array>();
  #attached = false;

  /** The number of the last element taken. */
  received = 0;
  #unackedElements = 0;
  #unackedBytes = 0;
  #ackDue = Number.POSITIVE_INFINITY;

  // What the peer granted, what of it was used, and what the application took of what it was sent.
  #creditBytes = 0;
  #creditEvents = 0;
  #spentBytes = 0;
  #spentEvents = 0;
  #consumedBytes = 0;
  #consumedEvents = 0;
  /** The totals of bytes and events granted to the peer, for HELLO and WELCOME. */
  granted: Credit;

  #violations = 0;
  /**
   * Events that will never arrive, by name and reason with a space between: `absent`, `behind`, `superseded`, `forgotten`,
   * `too_large`.
   */
  readonly dropped: Counts = new Map();

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#outbox = new Outbox(limits.maxLatestKeys);
    this.#replay = new Replay(limits.replayBytes, limits.replayElements);
    this.#outgoing = new Outgoing(limits.transferPartBytes, limits.transferAheadBytes);
    this.#incoming = new Incoming(limits);
    this.#liveness = new Liveness(limits.heartbeatMs, limits.silenceMs);
    this.granted = [limits.creditBytes, limits.creditMessages];
  }

  // What the application does.

  /** Queue a message that needs no credit. `lane` keeps its order with others of the lane around a transfer. */
  send(message: Uint8Array, lane?: Lane, tag?: unknown): Entry {
    const entry = new Entry(message, -1, "session", undefined, lane, tag);
    this.#outbox.push(entry);
    return entry;
  }

  /**
   * Queue an event.
   *
   * @param message - the EVENT or ENVELOPE.
   * @param cost - the length of its payload, in bytes.
   * @param delivery - `volatile` is dropped unless it could leave now; `latest` takes the place of the one with the
   * same key that still waits.
   * @param key - event name and key, for `latest`.
   * @param tag - what `Rejected` shall give back.
   * @returns the entry, or undefined for a volatile event that was dropped.
   */
  emit(
    message: Uint8Array,
    cost: number,
    delivery: Delivery,
    key?: string,
    tag?: unknown,
  ): Entry | undefined {
    if (delivery === "latest") {
      const waiting = this.#outbox.replace(key, message, cost);
      if (waiting !== undefined) {
        this.drop(message, "superseded");
        return waiting;
      }
    } else if (delivery === "volatile" && !(this.#attached && this.acceptsEvents && !this.#replay.isFull)) {
      this.drop(message, this.#attached ? "behind" : "absent");
      return undefined;
    }
    const entry = new Entry(message, cost, delivery, key, EVENTS, tag);
    const forgotten = this.#outbox.push(entry);
    if (forgotten !== undefined) this.drop(forgotten.data, "forgotten");
    return entry;
  }

  /** Count an EVENT or ENVELOPE that will never arrive. */
  drop(event: Uint8Array, reason: string): void {
    count(this.dropped, `${eventName(event)} ${reason}`);
  }

  /** Take back a message that is not fully numbered. False: too late, the other side gets it. */
  withdraw(entry: Entry): boolean {
    if (entry.isNumbered || entry.isDropped) return entry.isDropped;
    const sending = this.#outgoing.abort(entry);
    if (sending === undefined) {
      this.#outbox.withdraw(entry);
    } else {
      this.#giveBack(entry);
      if (sending.offset > 0) {
        this.send(encodeMessage(Message.Abort, sending.number, "call_cancelled", "given up by its sender"));
      }
      this.#outbox.release(entry.lane);
    }
    return true;
  }

  /** The application took, dropped or refused an event of `cost` payload bytes: the peer may send as much again. */
  consumed(cost: number): void {
    this.#consumedBytes += cost;
    this.#consumedEvents++;
    const limits = this.#limits;
    const bytes = this.#consumedBytes + limits.creditBytes;
    const events = this.#consumedEvents + limits.creditMessages;
    const moreBytes = bytes - this.granted[0];
    const moreEvents = events - this.granted[1];
    if (moreBytes * 2 >= limits.creditBytes || moreEvents * 2 >= limits.creditMessages) {
      this.granted = [bytes, events];
      if (this.#attached) this.tellCredit();
    }
  }

  /** Send the totals granted, which the peer does not know yet. */
  tellCredit(): void {
    this.#control.set(Frame.Credit, encodeControl(Frame.Credit, ...this.granted));
  }

  /** Whether an event emitted now has credit and waits for nothing but its turn; not where much waits whatever was granted. */
  get acceptsEvents(): boolean {
    const outbox = this.#outbox;
    return (
      outbox.queuedBytes * 2 <= this.#limits.maxQueuedBytes &&
      this.#spentBytes + outbox.queuedBytes < this.#creditBytes &&
      this.#spentEvents + outbox.queuedEvents < this.#creditEvents
    );
  }

  /** The totals of bytes and events that the peer has granted. */
  get credit(): Credit {
    return [this.#creditBytes, this.#creditEvents];
  }

  /** Whether a `latest` event with this key waits for its number. */
  isWaiting(key: string): boolean {
    return this.#outbox.isWaiting(key);
  }

  /** Events that wait. */
  get queuedEvents(): number {
    return this.#outbox.queuedEvents;
  }

  /** Payload bytes of the events that wait. */
  get queuedBytes(): number {
    return this.#outbox.queuedBytes;
  }

  /** Messages other than events that wait. */
  get queuedMessages(): number {
    return this.#outbox.queuedMessages;
  }

  /** Bytes of messages that wait and need no credit, and of all that is sent in parts. */
  get queuedMessageBytes(): number {
    return this.#outbox.queuedMessageBytes + this.#outgoing.queuedBytes;
  }

  /** Bytes that are kept here: what waits, what is not acknowledged, and the parts that have arrived. */
  get heldBytes(): number {
    return this.#outbox.queuedBytes + this.queuedMessageBytes + this.#replay.size + this.#incoming.heldBytes;
  }

  /** The number of the last element sent. */
  get sent(): number {
    return this.#replay.sent;
  }

  /** The last number that the peer acknowledged. */
  get acked(): number {
    return this.#replay.acked;
  }

  /** Events that were numbered and may not have arrived. */
  get unacknowledgedEvents(): number {
    return this.#replay.unacknowledgedEvents().length;
  }

  /** How many elements are still to be sent again after a new channel was attached. */
  get replayed(): number {
    return this.#replay.resending;
  }

  /** The names of those, and of the events that wait, one for each. */
  undelivered(): string[] {
    const waiting = this.unnumbered().filter(({ cost }) => cost >= 0);
    return [...this.unacknowledged(), ...waiting.map(({ data }) => eventName(data))];
  }

  /** The names of the events that were numbered and may not have arrived, one for each. */
  unacknowledged(): string[] {
    return this.#replay.unacknowledgedEvents().map(({ data }) => eventName(data));
  }

  /** Messages of which the other side cannot have got all, in order: they may go to another session. */
  unnumbered(): Entry[] {
    return [...this.#outgoing.entries(), ...this.#outbox.waiting()].sort((a, b) => a.ordinal - b.ordinal);
  }

  // What the channel does.

  /** Milliseconds, as WELCOME gave them. */
  setHeartbeat(interval: number, silence: number): void {
    this.#liveness = new Liveness(interval, silence);
  }

  /**
   * A greeted channel is there.
   *
   * @param received - the last element that the peer has.
   * @param credit - totals that it grants.
   * @param now - milliseconds.
   * @throws MalformedFrame where `received` was never sent, or was acknowledged further before.
   */
  attach(received: number, credit: Credit, now: number): void {
    const { acked, sent } = this.#replay;
    if (received < acked || received > sent) {
      throw new MalformedFrame(
        `received ${received} of a session in which ${sent} were sent and ${acked} acknowledged`,
      );
    }
    // What becomes nil never arrives, so that its receiver cannot give its credit back.
    for (const { cost, data, delivery } of this.#replay.rewind(received)) {
      this.#spentBytes -= cost;
      this.#spentEvents--;
      this.drop(data, delivery === "volatile" ? "absent" : "superseded");
    }
    this.#raiseCredit(credit[0], credit[1]);
    this.#control.clear();
    this.#unackedElements = 0;
    this.#unackedBytes = 0;
    this.#ackDue = Number.POSITIVE_INFINITY;
    this.#attached = true;
    this.#liveness.start(now);
  }

  /** The channel is gone; what it did not deliver will be sent on the next. */
  detach(): void {
    this.#attached = false;
    this.#liveness.stop();
    this.#ackDue = Number.POSITIVE_INFINITY;
  }

  /** `decodeFrame`, then `receive`. */
  receiveBytes(frame: Uint8Array, now: number): Arrival[] {
    let decoded: unknown[];
    try {
      decoded = decodeFrame(frame);
    } catch (error) {
      if (error instanceof MalformedFrame) return [this.violation(error.message)];
      throw error;
    }
    return this.receive(decoded, frame.length, now);
  }

  /**
   * Take a decoded frame of `size` bytes; greetings and CLOSE are not for this class.
   *
   * @returns what arrived, in order; a `Violation` comes last, and nothing of the frame behind it was taken.
   */
  receive(frame: readonly unknown[], size: number, now: number): Arrival[] {
    this.#liveness.heard(now);
    const arrivals: Arrival[] = [];
    try {
      switch (frame[0]) {
        case Frame.Data:
          this.#receiveData(frame, size, now, arrivals);
          break;
        case Frame.Ack:
          this.#acknowledge(uintFields(frame, 1)[0] as number);
          break;
        case Frame.Credit: {
          const [bytes, events] = uintFields(frame, 2);
          this.#raiseCredit(bytes as number, events as number);
          break;
        }
        case Frame.Ping:
          this.#control.set(Frame.Pong, encodeControl(Frame.Pong, uintFields(frame, 1)[0]));
          break;
        case Frame.Pong:
          uintFields(frame, 1);
          break;
        case Frame.Hello:
        case Frame.Welcome:
          throw new MalformedFrame("a second greeting");
        default: // a later version's frame
      }
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw error;
      arrivals.push(this.violation(error.message));
    }
    return arrivals;
  }

  /** Count a violation: the second without progress in between ends the session, lest it be replayed for ever. */
  violation(message: string): Violation {
    this.#violations++;
    return this.#violations > 1
      ? { type: "violation", code: "protocol_violation", message, over: true }
      : { type: "violation", code: "protocol_error", message, over: false };
  }

  /** What to send now. Call again until it gives undefined, while the channel is writable. */
  nextFrame(now: number): Uint8Array | undefined {
    if (!this.#attached) return undefined;
    let frame = this.#nextControl();
    if (frame === undefined) {
      frame = this.#nextData();
      if (frame === undefined) {
        if (this.#ackDue > now) return undefined;
        frame = encodeControl(Frame.Ack, this.received);
      }
      this.#unackedElements = 0;
      this.#unackedBytes = 0;
      this.#ackDue = Number.POSITIVE_INFINITY;
    }
    this.#liveness.sent(now);
    return frame;
  }

  /** Call at `deadline`, then ask `nextFrame`. Gives "silent" once when the peer has become so. */
  tick(now: number): "silent" | undefined {
    const action = this.#liveness.tick(now);
    if (action === "ping") {
      this.#control.set(Frame.Ping, encodeControl(Frame.Ping, Math.max(0, Math.trunc(now))));
    }
    return action === "silent" ? "silent" : undefined;
  }

  /** When `tick` and `nextFrame` want to be called though nothing happens: milliseconds, or infinity. */
  deadline(): number {
    return Math.min(this.#ackDue, this.#liveness.deadline());
  }

  // Inside.

  #receiveData(frame: readonly unknown[], size: number, now: number, arrivals: Arrival[]): void {
    const [firstSeq, ack] = uintFields(frame, 2) as [number, number];
    if (firstSeq === 0 || firstSeq > this.received + 1) {
      throw new MalformedFrame(`element ${firstSeq} after ${this.received}: a gap`);
    }
    const { maxFrameElements } = this.#limits;
    if (frame.length - 3 > maxFrameElements) {
      throw new MalformedFrame(
        `a frame of ${frame.length - 3} elements; it holds ${maxFrameElements} at most`,
      );
    }
    this.#acknowledge(ack);
    const end = firstSeq + frame.length - 3;
    for (let seq = this.received + 1; seq < end; seq++) {
      const element = frame[3 + seq - firstSeq];
      if (element !== null) {
        const message = this.#takeElement(element, arrivals);
        if (message !== undefined) arrivals.push({ type: "delivered", seq, message });
      }
      this.received = seq;
      this.#unackedElements++;
      this.#violations = 0;
    }
    this.#unackedBytes += size;
    const limits = this.#limits;
    if (this.#unackedElements >= limits.ackElements || this.#unackedBytes >= limits.ackBytes) {
      this.#ackDue = now;
    } else {
      // What was skipped is acknowledged again: its sender may not know.
      this.#ackDue = Math.min(this.#ackDue, now + limits.ackDelayMs);
    }
  }

  /** Check one element; take what concerns transfers here, give a message for the application. */
  #takeElement(element: unknown, arrivals: Arrival[]): readonly unknown[] | undefined {
    if (!Array.isArray(element)) throw new MalformedFrame("an element is a message or nil");
    const message: readonly unknown[] = element;
    if (!checkMessage(message, this.#limits)) return undefined;
    switch (message[0]) {
      case Message.Begin:
        return this.#whole(
          this.#incoming.begin(message[1] as number, message[2] as number, message[3] as Uint8Array),
        );
      case Message.Chunk:
        return this.#whole(this.#incoming.chunk(message[1] as number, message[2] as Uint8Array));
      case Message.Abort:
        this.#incoming.abort(message[1] as number);
        this.#sendReplies();
        return undefined;
      case Message.Grant:
        this.#outgoing.grant(message[1] as number, message[2] as number);
        return undefined;
      case Message.Reject: {
        const entry = this.#outgoing.reject(message[1] as number);
        if (entry !== undefined) {
          this.#giveBack(entry);
          if (entry.cost >= 0) this.drop(entry.data, "too_large");
          this.#outbox.release(entry.lane);
          const [, , code, text] = message as [unknown, unknown, string, string];
          arrivals.push({ type: "rejected", tag: entry.tag, code, message: text });
        }
        return undefined;
      }
      default:
        return message;
    }
  }

  /** A transfer's message, once its last part is there. */
  #whole(bytes: Uint8Array | undefined): readonly unknown[] | undefined {
    this.#sendReplies();
    if (bytes === undefined) return undefined;
    const message = decodeFrame(bytes);
    if (!checkMessage(message, this.#limits)) return undefined;
    if (message[0] === Message.Begin || message[0] === Message.Chunk) {
      throw new MalformedFrame("a transfer within a transfer");
    }
    return message;
  }

  #sendReplies(): void {
    const { replies } = this.#incoming;
    for (const reply of replies) this.send(reply);
    replies.length = 0;
  }

  #acknowledge(ack: number): void {
    if (ack > this.#replay.sent) {
      throw new MalformedFrame(`acknowledges element ${ack}; ${this.#replay.sent} were sent`);
    }
    this.#replay.acknowledge(ack);
  }

  #raiseCredit(bytes: number, events: number): void {
    this.#creditBytes = Math.max(this.#creditBytes, bytes);
    this.#creditEvents = Math.max(this.#creditEvents, events);
  }

  /** An event whose transfer ends early never arrives, so that its receiver cannot give its credit back. */
  #giveBack(entry: Entry): void {
    entry.isDropped = true;
    if (entry.cost < 0) return;
    this.#spentBytes -= entry.cost;
    this.#spentEvents--;
  }

  #hasCredit(): boolean {
    return this.#spentBytes < this.#creditBytes && this.#spentEvents < this.#creditEvents;
  }

  #nextControl(): Uint8Array | undefined {
    for (const [kind, frame] of this.#control) {
      this.#control.delete(kind);
      return frame;
    }
    return undefined;
  }

  #nextData(): Uint8Array | undefined {
    const replay = this.#replay;
    const limits = this.#limits;
    const outbox = this.#outbox;
    const elements: Uint8Array[] = [];
    let size = 0;
    if (replay.isResending) {
      const first = replay.nextAgainSeq;
      let parts = 0;
      while (elements.length < limits.batchElements && size < limits.batchBytes) {
        const again = replay.nextAgain();
        if (again === undefined) break;
        if (isPart(again)) parts++;
        if (parts > 1) break;
        elements.push(again);
        size += again.length;
        replay.takeAgain();
      }
      return encodeData(first, this.received, elements, elements.length);
    }
    const first = replay.sent + 1;
    // One place is kept for a part, so that no flood of small messages holds up a transfer.
    const room = limits.batchElements - (this.#outgoing.hasPart ? 1 : 0);
    while (elements.length < room && size < limits.batchBytes && !replay.isFull) {
      const entry = outbox.take(this.#hasCredit());
      if (entry === undefined) break;
      if (entry.cost >= 0) {
        this.#spentBytes += entry.cost;
        this.#spentEvents++;
      }
      if (entry.data.length > limits.transferThresholdBytes) {
        outbox.hold(entry.lane);
        this.#outgoing.begin(entry);
        continue;
      }
      this.#number(entry.data, entry, elements);
      size += entry.data.length;
    }
    const part =
      elements.length < limits.batchElements && !replay.isFull
        ? this.#outgoing.nextPart(replay.sent + 1, replay.acked)
        : undefined;
    if (part === undefined)
      return elements.length > 0 ? encodeData(first, this.received, elements, elements.length) : undefined;
    const { head, bytes, entry } = part;
    elements.push(head, bytes);
    const frame = encodeData(first, this.received, elements, elements.length - 1);
    replay.append(frame.subarray(-head.length - bytes.length), entry); // kept where it was copied to
    if (entry !== undefined) {
      entry.isNumbered = true;
      outbox.release(entry.lane);
    }
    return frame;
  }

  #number(element: Uint8Array, entry: Entry, elements: Uint8Array[]): void {
    this.#replay.append(element, entry);
    elements.push(element);
    entry.isNumbered = true;
  }
}

/** Whether an encoded element is BEGIN or CHUNK. */
export function isPart(element: Uint8Array): boolean {
  const [head, kind] = element;
  return (kind === Message.Begin || kind === Message.Chunk) && ((head as number) & 0xf0) === 0x90;
}
