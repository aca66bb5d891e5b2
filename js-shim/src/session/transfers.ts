/** Messages that travel in parts (docs/protocol.md, section 7). */

import * as Message from "../generated/message.js";
import type { Limits } from "../generated/protocol.js";
import { MalformedFrame } from "../wire/frames.js";
import { encodeMessage, encodePartHead } from "../wire/messages.js";
import { Deque } from "./deque.js";
import type { Entry } from "./outbox.js";

/** One message that is being sent in parts. */
export class Sending {
  readonly number: number;
  readonly entry: Entry;
  offset = 0;
  granted: number;

  constructor(number: number, entry: Entry, granted: number) {
    this.number = number;
    this.entry = entry;
    this.granted = granted;
  }
}

/** An element of a transfer: what is in front of the bytes, the bytes, and the message's entry where they are its last. */
export interface Part {
  readonly head: Uint8Array;
  readonly bytes: Uint8Array;
  readonly entry: Entry | undefined;
}

/**
 * The transfers that this side sends; they take turns, one part each.
 *
 * Parts go only so far ahead of their acknowledgements: what is sent meanwhile would wait behind them, in the system's buffers.
 */
export class Outgoing {
  readonly #partBytes: number;
  readonly #mostAhead: number;
  /** Numbers and bytes of parts that may not be acknowledged. */
  readonly #ahead = new Deque<readonly [seq: number, bytes: number]>();
  #aheadBytes = 0;
  #last = 0;
  /** Those that may go on, in the order of their turns. */
  readonly #turns = new Map<number, Sending>();
  readonly #underWay = new Map<number, Sending>();
  /** Bytes of the messages under way. */
  queuedBytes = 0;

  constructor(partBytes: number, mostAhead: number) {
    this.#partBytes = partBytes;
    this.#mostAhead = mostAhead;
  }

  /** Take up a message; its first part needs no grant. */
  begin(entry: Entry): void {
    const sending = new Sending(++this.#last, entry, this.#partBytes);
    this.#underWay.set(sending.number, sending);
    this.#turns.set(sending.number, sending);
    this.queuedBytes += entry.data.length;
  }

  /**
   * The next part to send; undefined while no transfer may go on.
   *
   * @param seq - the number that it will have.
   * @param acked - the last one that is acknowledged.
   */
  nextPart(seq: number, acked: number): Part | undefined {
    if (this.#turns.size === 0) return undefined;
    while ((this.#ahead.first?.[0] ?? seq) <= acked) this.#aheadBytes -= this.#ahead.shift()?.[1] ?? 0;
    if (this.#aheadBytes >= this.#mostAhead) return undefined;
    for (const [number, sending] of this.#turns) {
      this.#turns.delete(number);
      const { data } = sending.entry;
      const { offset } = sending;
      const bytes = data.subarray(offset, Math.min(offset + this.#partBytes, sending.granted));
      sending.offset += bytes.length;
      this.#ahead.push([seq, bytes.length]);
      this.#aheadBytes += bytes.length;
      const isLast = sending.offset === data.length;
      if (isLast) this.#forget(sending);
      else if (sending.offset < sending.granted) this.#turns.set(number, sending);
      const head = encodePartHead(number, bytes.length, offset > 0 ? undefined : data.length);
      return { head, bytes, entry: isLast ? sending.entry : undefined };
    }
    return undefined;
  }

  /** The receiver takes parts up to `total` bytes. */
  grant(number: number, total: number): void {
    const sending = this.#find(number, "GRANT");
    if (sending === undefined || total <= sending.granted) return;
    sending.granted = total;
    if (!this.#turns.has(number)) this.#turns.set(number, sending);
  }

  /** The receiver refuses the transfer; gives the entry unless it had ended before. */
  reject(number: number): Entry | undefined {
    const sending = this.#find(number, "REJECT");
    if (sending === undefined) return undefined;
    this.#forget(sending);
    return sending.entry;
  }

  /** Give up the transfer of `entry`; what there was of it, or undefined where it is not under way. */
  abort(entry: Entry): Sending | undefined {
    for (const sending of this.#underWay.values()) {
      if (sending.entry === entry) {
        this.#forget(sending);
        return sending;
      }
    }
    return undefined;
  }

  /** Whether a transfer may go on now. */
  get hasPart(): boolean {
    return this.#turns.size > 0;
  }

  /** The messages that are under way. */
  entries(): Entry[] {
    return Array.from(this.#underWay.values(), (sending) => sending.entry);
  }

  #forget(sending: Sending): void {
    this.#underWay.delete(sending.number);
    this.#turns.delete(sending.number);
    this.queuedBytes -= sending.entry.data.length;
  }

  #find(number: number, what: string): Sending | undefined {
    if (number <= 0 || number > this.#last) {
      throw new MalformedFrame(`${what} for transfer ${number}, which never was`);
    }
    return this.#underWay.get(number);
  }
}

/** What a transfer that arrives takes besides its parts. */
const TRANSFER_BYTES = 256;

/** One message that is arriving in parts. They are copied at once: each is a view that keeps its whole frame. */
export class Receiving {
  readonly total: number;
  granted: number;
  received = 0;
  /** As much as has arrived, or up to eight times that, which costs nothing until it is written to; all of it in the end. */
  bytes: Uint8Array = new Uint8Array(0);

  constructor(total: number, granted: number) {
    this.total = total;
    this.granted = granted;
  }

  add(part: Uint8Array): void {
    const received = this.received + part.length;
    if (received > this.bytes.length) {
      const grown = new Uint8Array(Math.min(this.total, Math.max(received, this.bytes.length * 8)));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes.set(part, this.received);
    this.received = received;
  }
}

/** The transfers that this side receives, all together at most `maxAssemblyBytes`; the others wait for their grant. */
export class Incoming {
  readonly #limits: Limits;
  #last = 0;
  readonly #underWay = new Map<number, Receiving>();
  /** In their order. */
  readonly #waiting = new Map<number, Receiving>();
  #reserved = 0;
  /** Bytes of all parts that have arrived, and what each transfer takes besides. */
  heldBytes = 0;
  /** GRANT and REJECT messages to send; whoever reads them empties the list. */
  readonly replies: Uint8Array[] = [];

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * BEGIN arrived; gives the message where this part is all of it (which no sender should do).
   *
   * @throws MalformedFrame where the number is not above all earlier ones, the total or part is out of bounds, or too many are under way.
   */
  begin(number: number, total: number, part: Uint8Array): Uint8Array | undefined {
    if (number <= this.#last) throw new MalformedFrame(`BEGIN of transfer ${number} after ${this.#last}`);
    if (total <= this.#limits.transferThresholdBytes) {
      throw new MalformedFrame(`transfer ${number} of ${total} bytes: too small to be one`);
    }
    const most = 2 * this.#limits.maxRequests;
    if (this.#underWay.size >= most)
      throw new MalformedFrame(`transfer ${number} while ${most} are under way`);
    this.#last = number;
    if (total > this.#limits.maxMessageBytes) {
      const message = `a message of ${total} bytes; the receiver takes ${this.#limits.maxMessageBytes}`;
      this.replies.push(encodeMessage(Message.Reject, number, "too_large", message));
      return undefined;
    }
    const receiving = new Receiving(total, this.#limits.transferPartBytes);
    this.#underWay.set(number, receiving);
    this.#waiting.set(number, receiving);
    this.heldBytes += TRANSFER_BYTES;
    this.#grantWaiting();
    return this.#add(number, part);
  }

  /**
   * CHUNK arrived; gives the whole message with its last part.
   *
   * @throws MalformedFrame where there was no such transfer, or it is more bytes than granted or announced.
   */
  chunk(number: number, part: Uint8Array): Uint8Array | undefined {
    if (number <= 0 || number > this.#last) {
      throw new MalformedFrame(`CHUNK for transfer ${number}, which never was`);
    }
    return this.#underWay.has(number) ? this.#add(number, part) : undefined;
  }

  /**
   * The sender gives up.
   *
   * @throws MalformedFrame where there was no such transfer.
   */
  abort(number: number): void {
    if (number <= 0 || number > this.#last) {
      throw new MalformedFrame(`ABORT of transfer ${number}, which never was`);
    }
    this.#finish(number);
  }

  #add(number: number, part: Uint8Array): Uint8Array | undefined {
    const receiving = this.#underWay.get(number) as Receiving;
    if (part.length === 0 || part.length > this.#limits.transferPartBytes) {
      throw new MalformedFrame(`transfer ${number}: a part of ${part.length} bytes`);
    }
    const received = receiving.received + part.length;
    if (received > Math.min(receiving.granted, receiving.total)) {
      throw new MalformedFrame(
        `transfer ${number}: byte ${received} of ${receiving.total}, granted ${receiving.granted}`,
      );
    }
    receiving.add(part);
    this.heldBytes += part.length;
    if (received < receiving.total) return undefined;
    this.#finish(number);
    return receiving.bytes;
  }

  #finish(number: number): void {
    const receiving = this.#underWay.get(number);
    if (receiving === undefined) return;
    this.#underWay.delete(number);
    this.heldBytes -= TRANSFER_BYTES + receiving.received;
    if (!this.#waiting.delete(number)) this.#reserved -= receiving.total;
    this.#grantWaiting();
  }

  #grantWaiting(): void {
    for (const [number, receiving] of this.#waiting) {
      if (this.#reserved + receiving.total > this.#limits.maxAssemblyBytes) return;
      this.#waiting.delete(number);
      this.#reserved += receiving.total;
      receiving.granted = receiving.total;
      this.replies.push(encodeMessage(Message.Grant, number, receiving.total));
    }
  }
}
