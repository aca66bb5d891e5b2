/** One direction of a proxied connection: bytes that wait for their time, and what happens at which of them. */

import { now, startTimer, stopTimer } from "../time.js";
import { type Fate, type Plan, UNHARMED } from "./faults.js";
import { WebSocketFrames, withHost } from "./websocket-frames.js";

/** While more than this waits, the socket that it comes from is not read. */
const HIGH_WATER_BYTES = 65_536;

/** Where the bytes go. */
export interface PassageEnd {
  /** Write, or buffer what cannot be written now. */
  write(bytes: Uint8Array): void;
  /** Say that nothing more comes, behind what was written. */
  finish(): void;
}

export interface PassageOptions {
  /** The fate of each frame; undefined: bytes pass as they come. */
  readonly plan: Plan | undefined;
  /** What the `Host` of an HTTP request at the beginning is replaced by. */
  readonly host: string | undefined;
  /** The bytes are an HTTP head and WebSocket frames, so that a frame can be told from the next. */
  readonly isHttp: boolean;
  /** Called where a fate has a fault, with the frame. */
  fail(fate: Fate, frame: Uint8Array): void;
  /** Told whether more bytes are wanted. */
  read(isWanted: boolean): void;
}

interface Waiting {
  readonly due: number;
  readonly frame: number;
  readonly fate: Fate;
  readonly bytes: Uint8Array;
}

export class Passage {
  /** How many bytes have gone on. */
  passed = 0;
  /** The frame that has gone on last, or whose turn it is; 0 where frames are not told from one another. */
  frames = 0;
  /** Whether nothing goes on any more. */
  isDead = false;
  /** Whether the socket that it goes to takes nothing at the moment. */
  isBehind = false;
  readonly #options: PassageOptions;
  readonly #splitter: WebSocketFrames | undefined;
  #host: string | undefined;
  #head: Uint8Array = new Uint8Array();
  #end: PassageEnd | undefined;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** How many frames have come. */
  #come = 0;
  #lastDue = 0;
  /** What is to be done at which byte, in that order. */
  #marks: { readonly at: number; readonly act: () => void }[] = [];
  #timer: unknown;
  #resumes: unknown;
  #flip = 0;
  #isStalled = false;
  #isMoving = false;
  #isRead = true;
  #isFinished = false;

  constructor(options: PassageOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#splitter = options.isHttp ? new WebSocketFrames() : undefined;
  }

  /** Bytes have come. */
  put(bytes: Uint8Array): void {
    if (this.isDead || this.#isFinished) return;
    const { plan } = this.#options;
    const come = this.#host === undefined ? bytes : this.#headed(bytes, this.#host);
    if (plan === undefined) {
      this.#queue(UNHARMED, come);
    } else {
      for (const frame of this.#splitter?.feed(come) ?? [come]) {
        if (frame.length === 0) continue;
        this.#come += 1;
        this.#queue(plan.next(), frame);
      }
    }
    this.#move(now());
    this.look();
  }

  /** Nothing more will come. */
  finish(): void {
    if (this.isDead || this.#isFinished) return;
    this.#queue(UNHARMED, this.#head);
    if (this.#splitter !== undefined) this.#queue(UNHARMED, this.#splitter.rest);
    this.#isFinished = true;
    this.#move(now());
  }

  /** There is a socket to write to. */
  open(end: PassageEnd): void {
    this.#end = end;
    this.#move(now());
    this.look();
  }

  /** Write, and stop at each mark to do what is to be done there. */
  passOn(bytes: Uint8Array): void {
    let left = bytes;
    for (let mark = this.#marks[0]; mark !== undefined && !this.isDead; mark = this.#marks[0]) {
      if (mark.at > this.passed + left.length) break;
      this.#marks.shift();
      const first = left.subarray(0, mark.at - this.passed);
      left = left.subarray(first.length);
      this.#write(first);
      mark.act();
      if (this.#isStalled && !this.isDead) {
        this.putBack(left);
        return;
      }
    }
    if (!this.isDead) this.#write(left);
  }

  /** Bytes that were to go on wait again, before all others; nothing more will happen to them. */
  putBack(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#waitingBytes += bytes.length;
    this.#waiting.unshift({ due: 0, frame: this.frames, fate: UNHARMED, bytes });
  }

  /** Do something once so many bytes more have gone on; 0: now. */
  at(afterBytes: number, act: () => void): void {
    if (afterBytes === 0) {
      act();
      return;
    }
    const at = this.passed + afterBytes;
    const later = this.#marks.findIndex((mark) => mark.at > at);
    this.#marks.splice(later < 0 ? this.#marks.length : later, 0, { at, act });
  }

  /** Change bits of the next byte. */
  flipNext(mask: number): void {
    this.#flip = mask;
  }

  /** Let nothing go on, for so many milliseconds or until `resume`. */
  stall(ms?: number): void {
    this.#isStalled = true;
    if (ms === undefined || this.isDead) return;
    stopTimer(this.#resumes);
    this.#resumes = startTimer(() => this.resume(), ms);
  }

  /** End a stall. */
  resume(): void {
    this.#isStalled = false;
    stopTimer(this.#resumes);
    this.#move(now());
    this.look();
  }

  /** Lose what waits and all that comes. */
  kill(): void {
    this.isDead = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    stopTimer(this.#timer);
    stopTimer(this.#resumes);
    this.look();
  }

  /** Say whether more is to be read: what is dead reads on, to see the end. */
  look(): void {
    const isRead = this.isDead || (this.#waitingBytes <= HIGH_WATER_BYTES && !this.isBehind);
    if (isRead === this.#isRead) return;
    this.#isRead = isRead;
    this.#options.read(isRead);
  }

  #queue(fate: Fate, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#waitingBytes += bytes.length;
    this.#lastDue = Math.max(this.#lastDue, now() + fate.delay);
    this.#waiting.push({ due: this.#lastDue, frame: this.#come, fate, bytes });
  }

  /** Let go on what is due. */
  #move(time: number): void {
    if (this.#isMoving || this.#end === undefined) return;
    this.#isMoving = true;
    try {
      for (let next = this.#waiting[0]; next !== undefined && !this.#isStalled; next = this.#waiting[0]) {
        if (next.due > time) {
          this.#wakeAt(next.due);
          return;
        }
        this.#waiting.shift();
        this.frames = next.frame;
        this.#waitingBytes -= next.bytes.length;
        if (next.fate.fault === undefined) this.passOn(next.bytes);
        else this.#options.fail(next.fate, next.bytes);
      }
      if (this.#isFinished && this.#waiting.length === 0 && !this.#isStalled && !this.isDead)
        this.#end.finish();
    } finally {
      this.#isMoving = false;
    }
  }

  #wakeAt(due: number): void {
    this.#timer ??= startTimer(() => {
      this.#timer = undefined;
      this.#move(Math.max(due, now())); // a timer may come too early by the clock's resolution
      this.look();
    }, due - now());
  }

  #write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    let written = bytes;
    if (this.#flip !== 0) {
      const mask = this.#flip;
      this.#flip = 0;
      written = bytes.map((byte, index) => (index === 0 ? byte ^ mask : byte));
    }
    this.passed += written.length;
    this.#end?.write(written);
  }

  /** What has come, its `Host` replaced once the whole head is there. */
  #headed(bytes: Uint8Array, host: string): Uint8Array {
    const come = Buffer.concat([this.#head, bytes]);
    const replaced = come.length < HIGH_WATER_BYTES ? withHost(come, host) : come;
    this.#head = replaced === undefined ? come : new Uint8Array();
    if (replaced === undefined) return this.#head.subarray(0, 0);
    this.#host = undefined;
    return replaced;
  }
}
