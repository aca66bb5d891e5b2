/** Channels on which things go wrong, as `Faults` says. They work at either end of any channel. */

import type { Accept, Channel, Opener, Receiver } from "../channels/base.js";
import { tooLarge } from "../channels/base.js";
import { DEFAULT_LIMITS } from "../generated/protocol.js";
import { DIRECTIONS, type Direction, type Fate, type Faults, flipped, prefix } from "./faults.js";
import { type End, FaultyLane, HIGH_WATER_BYTES } from "./faulty-lane.js";

/**
 * A client's opener whose channels have faults.
 *
 * @param opener - what opens the channels: of memory, WebSocket, a port or stdio.
 * @param faults - what goes wrong on them.
 */
export function faulty(opener: Opener, faults: Faults): Opener {
  return async (receiver) => {
    const channel = new FaultyChannel(undefined, faults);
    channel.listen(receiver);
    try {
      const opened = await opener(channel);
      channel.carry(opened.channel);
      return { ...opened, channel };
    } catch (error) {
      faults.left(channel);
      throw error;
    }
  };
}

/**
 * A broker's side whose channels have faults.
 *
 * @param accept - what takes the channels, as `fakeBroker().accept`.
 * @param faults - what goes wrong on them.
 */
export function faultyAccept(accept: Accept, faults: Faults): Accept {
  return (channel, identity) => {
    const between = new FaultyChannel(channel, faults, { sends: "toClient" });
    between.listen(accept(between, identity));
    return between;
  };
}

/** Stands between a channel and whoever uses it: a channel to the one side, a receiver to the other. */
export class FaultyChannel implements Channel, Receiver {
  /** Which of the channels of its `Faults` it is, from 1. */
  readonly number: number;
  readonly #faults: Faults;
  readonly #out: FaultyLane;
  readonly #in: FaultyLane;
  readonly #lanes: Readonly<Record<Direction, FaultyLane>>;
  /** What the carrier is told to take at least: what is late here is measured when it arrives. */
  readonly #widest: number;
  #inner: Channel | undefined;
  #receiver: Receiver | undefined;
  #maxFrameBytes = DEFAULT_LIMITS.maxGreetingBytes;
  /** By whoever uses it, or because whoever uses it was told. */
  #isClosed = false;
  #isCut = false;
  #isHalfOpen = false;

  /**
   * @param channel - what carries the frames; undefined: it comes later, with `carry`.
   * @param faults - what goes wrong.
   * @param options - `sends`: where the frames go that are sent through it; to the broker where nothing is said.
   */
  constructor(
    channel: Channel | undefined,
    faults: Faults,
    { sends = "toBroker" }: { readonly sends?: Direction } = {},
  ) {
    this.#faults = faults;
    this.number = faults.joined(this);
    const receives = sends === "toBroker" ? "toClient" : "toBroker";
    const fail = (fate: Fate, frame: Uint8Array, lane: FaultyLane): void => this.#fail(fate, frame, lane);
    this.#out = new FaultyLane(faults.plan(this.number, sends), {
      frame: (frame) => this.#carrier.send(frame),
      end: ({ over, code, message }) => {
        faults.left(this);
        this.#carrier.close(over, code, message);
      },
      caughtUp: () => this.writable(),
      fail,
    });
    this.#in = new FaultyLane(faults.plan(this.number, receives), {
      frame: (frame) => this.#deliver(frame),
      end: (end) => this.#end(end),
      caughtUp: () => undefined,
      fail,
    });
    this.#lanes =
      sends === "toBroker"
        ? { toBroker: this.#out, toClient: this.#in }
        : { toBroker: this.#in, toClient: this.#out };
    this.#widest = sends === "toBroker" ? DEFAULT_LIMITS.maxFrameBytes : 0;
    if (channel !== undefined) this.carry(channel);
  }

  /** Whether what carries it is closed, too. */
  get isOver(): boolean {
    return !this.#faults.channels.includes(this);
  }

  /** Say what carries the frames. */
  carry(channel: Channel): void {
    this.#inner = channel;
    if (this.#isCut) channel.close(false, "connection_lost", "cut");
    else this.maxFrameBytes = channel.maxFrameBytes;
  }

  /** Say who gets what arrives; before the first frame. */
  listen(receiver: Receiver): void {
    this.#receiver = receiver;
  }

  // The channel, for whoever uses it.

  get kind(): Channel["kind"] {
    return this.#carrier.kind;
  }

  get silenceIsFatal(): boolean {
    return this.#carrier.silenceIsFatal;
  }

  get isWritable(): boolean {
    return !this.#isCut && this.#out.waitingBytes <= HIGH_WATER_BYTES && this.#carrier.isWritable;
  }

  get maxFrameBytes(): number {
    return this.#maxFrameBytes;
  }

  set maxFrameBytes(maxBytes: number) {
    this.#maxFrameBytes = maxBytes;
    if (this.#inner !== undefined) this.#inner.maxFrameBytes = Math.max(maxBytes, this.#widest);
  }

  send(frame: Uint8Array): void {
    if (!this.#isClosed) this.#out.put(frame);
  }

  /** Close after what was sent has left, if it ever does. */
  close(over = false, code = "closed", message = ""): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#in.kill();
    this.#out.put({ over, code, message });
  }

  // The receiver, for what carries it.

  frameReceived(frame: Uint8Array): void {
    this.#in.put(frame);
  }

  writable(): void {
    if (!this.#isClosed && this.isWritable) this.#receiver?.writable();
  }

  closed(over: boolean, code: string, message: string): void {
    if (!this.#isHalfOpen) this.#out.kill();
    this.#in.put({ over, code, message });
    this.#faults.left(this);
  }

  // Commands.

  /** Lose the channel: what is under way is lost, and both ends are told, the near one behind the code that runs now. */
  cut(message = "cut by a fault"): void {
    if (this.#isCut) return;
    this.#isCut = true;
    this.#kill();
    this.#faults.left(this);
    this.#inner?.close(false, "connection_lost", message);
    queueMicrotask(() => this.#end({ over: false, code: "connection_lost", message }));
  }

  /** Let nothing arrive, in one direction or both, until `resume`. */
  stall(direction?: Direction): void {
    for (const each of direction === undefined ? DIRECTIONS : [direction]) this.#lanes[each].stall();
  }

  /** End a stall: what waited arrives. */
  resume(direction?: Direction): void {
    for (const each of direction === undefined ? DIRECTIONS : [direction]) this.#lanes[each].resume();
  }

  /** Lose what is under way and all that comes later, in both directions, and tell neither end. */
  halfOpen(): void {
    this.#isHalfOpen = true;
    this.#kill();
  }

  /** Close what carries it, whatever it was told. */
  abandon(): void {
    if (this.isOver) return;
    this.#kill();
    this.#faults.left(this);
    this.#inner?.close(false, "connection_lost", "abandoned");
  }

  get #carrier(): Channel {
    if (this.#inner === undefined) throw new TypeError("carry() comes before anything is sent");
    return this.#inner;
  }

  /** Let a fault happen to a frame that was to arrive now. */
  #fail(fate: Fate, frame: Uint8Array, lane: FaultyLane): void {
    switch (fate.fault) {
      case "drop":
        this.cut();
        break;
      case "cut":
        lane.passOn(prefix(fate, frame));
        this.cut();
        break;
      case "duplicate":
        lane.passOn(frame);
        lane.passOn(frame);
        break;
      case "truncate":
        lane.passOn(prefix(fate, frame));
        break;
      case "flip":
        lane.passOn(flipped(fate, frame));
        break;
      case "stall":
        lane.putBack(frame);
        lane.stall(this.#faults.settings.stallMs ?? 1_000);
        break;
      case "halfOpen":
        this.halfOpen();
        break;
    }
  }

  #kill(): void {
    this.#out.kill();
    this.#in.kill();
  }

  #deliver(frame: Uint8Array): void {
    if (this.#isClosed) return;
    if (frame.length <= this.#maxFrameBytes) {
      this.#receiver?.frameReceived(frame);
      return;
    }
    const end = {
      over: false,
      code: "too_large",
      message: tooLarge(frame.length, this.#maxFrameBytes),
    };
    this.#out.put(end);
    this.#end(end);
  }

  /** Whoever uses it is told, once. */
  #end({ over, code, message }: End): void {
    this.#in.kill();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#receiver?.closed(over, code, message);
  }
}
