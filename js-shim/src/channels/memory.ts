/**
 * A pair of channels in one process, which fail on command (docs/protocol.md, section 2.4).
 *
 * Nothing here sleeps: a frame arrives in a later microtask, or when a test releases it.
 */

import { ConnectionLost } from "../errors.js";
import { DEFAULT_LIMITS } from "../generated/protocol.js";
import {
  type Accept,
  type Channel,
  type Opened,
  type PeerIdentity,
  type Receiver,
  tooLarge,
} from "./base.js";

/** A lane that holds more is behind: its sender is not writable until it is empty. */
const HIGH_WATER_BYTES = 65_536;

interface Closing {
  readonly over: boolean;
  readonly code: string;
  readonly message: string;
}

/** One direction of a wire. What was sent waits here for a microtask, or for `release`. */
export class Lane {
  isWritable = true;
  #waiting: (Uint8Array | Closing)[] = [];
  #waitingBytes = 0;
  #isHeld = false;
  #isDead = false;
  #isScheduled = false;
  #duplicates = 0;
  #length: number | undefined;
  #to: MemoryChannel | undefined;
  #from: MemoryChannel | undefined;

  /** How many frames wait. */
  get size(): number {
    return this.#waiting.filter((each) => each instanceof Uint8Array).length;
  }

  /** Say whose frames these are and for whom. */
  join(source: MemoryChannel, target: MemoryChannel): void {
    this.#from = source;
    this.#to = target;
  }

  /** Delay: frames wait until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Let `count` of the waiting frames arrive now and hold on to the rest; without a count, all, and hold no longer. */
  release(count?: number): void {
    if (count === undefined) this.#isHeld = false;
    this.#deliver(count ?? this.#waiting.length);
  }

  /** The next `count` frames arrive twice each. */
  duplicate(count = 1): void {
    this.#duplicates += count;
  }

  /** Of the next frame only the first `length` bytes arrive. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** Half-open: from now on nothing arrives, neither frames nor the end, and the sender does not notice. */
  stop(): void {
    this.#isDead = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Take a frame or the end from the sender. */
  put(sent: Uint8Array | Closing): void {
    if (this.#isDead) return;
    this.#waiting.push(sent);
    if (sent instanceof Uint8Array) this.#waitingBytes += sent.length;
    if (this.#waitingBytes > HIGH_WATER_BYTES) this.isWritable = false;
    if (!this.#isHeld && !this.#isScheduled) {
      this.#isScheduled = true;
      queueMicrotask(() => this.#turn());
    }
  }

  #turn(): void {
    this.#isScheduled = false;
    if (!this.#isHeld) this.#deliver(this.#waiting.length);
  }

  #deliver(count: number): void {
    for (let left = count; left > 0; left -= 1) {
      const sent = this.#waiting.shift();
      if (sent === undefined) break;
      this.#arrive(sent);
    }
    if (!this.isWritable && this.#waiting.length === 0 && !this.#isDead) {
      this.isWritable = true;
      this.#from?.laneIsEmpty();
    }
  }

  #arrive(sent: Uint8Array | Closing): void {
    if (!(sent instanceof Uint8Array)) {
      this.#to?.end(sent.over, sent.code, sent.message);
      return;
    }
    this.#waitingBytes -= sent.length;
    const frame = sent.subarray(0, this.#length);
    this.#length = undefined;
    if (this.#duplicates > 0) {
      this.#duplicates -= 1;
      this.#to?.take(frame);
    }
    this.#to?.take(frame);
  }
}

/** One end of a wire. */
export class MemoryChannel implements Channel {
  readonly kind = "memory";
  readonly silenceIsFatal: boolean;
  maxFrameBytes = DEFAULT_LIMITS.maxGreetingBytes;
  readonly #outgoing: Lane;
  #receiver: Receiver | undefined;
  #isClosed = false;

  constructor(outgoing: Lane, silenceIsFatal: boolean) {
    this.#outgoing = outgoing;
    this.silenceIsFatal = silenceIsFatal;
  }

  /** Say who listens; before the first frame. */
  listen(receiver: Receiver): void {
    this.#receiver = receiver;
  }

  get isWritable(): boolean {
    return this.#outgoing.isWritable;
  }

  send(frame: Uint8Array): void {
    if (!this.#isClosed) this.#outgoing.put(frame);
  }

  close(over = false, code = "closed", message = ""): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#outgoing.put({ over, code, message });
  }

  /** A frame has arrived. */
  take(frame: Uint8Array): void {
    if (this.#isClosed) return;
    if (frame.length <= this.maxFrameBytes) {
      this.#receiver?.frameReceived(frame);
      return;
    }
    const message = tooLarge(frame.length, this.maxFrameBytes);
    this.#outgoing.put({ over: false, code: "too_large", message });
    this.end(false, "too_large", message);
  }

  /** The channel is gone, and not because this end closed it. */
  end(over: boolean, code: string, message: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#receiver?.closed(over, code, message);
  }

  /** What was sent has arrived. */
  laneIsEmpty(): void {
    if (!this.#isClosed) this.#receiver?.writable();
  }
}

/** Two channels and the lanes between them. */
export class MemoryWire {
  readonly toBroker = new Lane();
  readonly toClient = new Lane();
  readonly client: MemoryChannel;
  readonly broker: MemoryChannel;

  /**
   * @param receiver - who listens at the client's end.
   * @param accept - called with the broker's end.
   * @param identity - whom the broker sees.
   * @param silenceIsFatal - what both ends say of themselves (docs/protocol.md, section 8.5).
   */
  constructor(receiver: Receiver, accept: Accept, identity: PeerIdentity, silenceIsFatal = false) {
    this.client = new MemoryChannel(this.toBroker, silenceIsFatal);
    this.broker = new MemoryChannel(this.toClient, silenceIsFatal);
    this.toBroker.join(this.client, this.broker);
    this.toClient.join(this.broker, this.client);
    this.client.listen(receiver);
    this.broker.listen(accept(this.broker, identity));
  }

  /** Cut both directions: what is under way is lost, and both ends are told at once. */
  cut(message = "the memory channel was cut"): void {
    this.halfOpen();
    this.client.end(false, "connection_lost", message);
    this.broker.end(false, "connection_lost", message);
  }

  /** Let nothing arrive any more in either direction, and tell nobody. */
  halfOpen(): void {
    this.toBroker.stop();
    this.toClient.stop();
  }
}

export interface MemoryListenerOptions {
  /** Given to the client for its HELLO. */
  readonly token?: string | undefined;
  /** Whom the broker sees. */
  readonly identity?: PeerIdentity | undefined;
  readonly silenceIsFatal?: boolean | undefined;
}

/** What a client in the same process connects to: `open` is its opener. */
export class MemoryListener {
  /** Set it, and each attempt to connect fails. */
  isRefusing = false;
  /** The newest wire, for tests that lay hands on it. */
  wire: MemoryWire | undefined;
  attempts = 0;
  readonly #accept: Accept;
  readonly #options: MemoryListenerOptions;

  /** @param accept - the broker's side, called for each channel. */
  constructor(accept: Accept, options: MemoryListenerOptions = {}) {
    this.#accept = accept;
    this.#options = options;
  }

  readonly open = async (receiver: Receiver): Promise<Opened> => {
    this.attempts += 1;
    if (this.isRefusing) throw new ConnectionLost("the memory listener refuses connections");
    const { token, identity = { role: "client" }, silenceIsFatal } = this.#options;
    this.wire = new MemoryWire(receiver, this.#accept, identity, silenceIsFatal);
    return { channel: this.wire.client, token };
  };
}
