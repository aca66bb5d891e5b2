/** A plan of what goes wrong on a channel: from one seed, and the same each time for the same frames in the same order. */

import { entropy } from "../platform.js";
import { Dice } from "./dice.js";

/** Which way a frame goes. */
export type Direction = "toBroker" | "toClient";

/** What may happen to a frame, besides that it is late. */
export type Fault = "drop" | "cut" | "duplicate" | "truncate" | "flip" | "stall" | "halfOpen";

export const DIRECTIONS: readonly Direction[] = ["toBroker", "toClient"];
const FAULTS: readonly Fault[] = ["drop", "cut", "duplicate", "truncate", "flip", "stall", "halfOpen"];
/** How many faults `Faults.injected` remembers. */
const REMEMBERED = 1_000;
/** How many of them a report shows. */
const SHOWN = 20;

/** What `Faults` can be told. Probabilities are per frame, times in milliseconds; all are 0 where nothing is said. */
export interface FaultSettings {
  /** Each frame is so late. Frames keep their order. */
  readonly delay?: number | undefined;
  /** Each frame is later by up to so much more. */
  readonly jitter?: number | undefined;
  /** The channel is lost, the frame with it. */
  readonly drop?: number | undefined;
  /** A part of the frame arrives, then the channel is lost. */
  readonly cut?: number | undefined;
  /** The frame arrives twice. */
  readonly duplicate?: number | undefined;
  /** Only a part of the frame arrives. */
  readonly truncate?: number | undefined;
  /** One bit of the frame is another. */
  readonly flip?: number | undefined;
  /** The frame, and all behind it, waits for `stallMs`. */
  readonly stall?: number | undefined;
  /** How long a stall lasts; 1,000 where nothing is said. */
  readonly stallMs?: number | undefined;
  /** From this frame on nothing arrives, neither way, and neither end is told. */
  readonly halfOpen?: number | undefined;
  /** So many frames of each channel, in each direction, pass unharmed first. */
  readonly after?: number | undefined;
  /** Which way frames come to harm; both where nothing is said. */
  readonly directions?: readonly Direction[] | undefined;
}

export interface FaultsOptions extends FaultSettings {
  /** Repeats a run, in Python too; a random one where it is left out. */
  readonly seed?: number | undefined;
}

/** What becomes of one frame. */
export interface Fate {
  /** How many milliseconds it is late. */
  readonly delay: number;
  /** What happens to it then, if anything. */
  readonly fault: Fault | undefined;
  /** Where in the frame, from 0 to below 1. */
  readonly at: number;
}

export const UNHARMED: Fate = { delay: 0, fault: undefined, at: 0 };

/** The part of a frame that arrives: neither nothing nor all of it. */
export function prefix({ at }: Fate, frame: Uint8Array): Uint8Array {
  return frame.subarray(0, 1 + Math.trunc(at * Math.max(0, frame.length - 1)));
}

/** A frame with one bit changed. */
export function flipped({ at }: Fate, frame: Uint8Array): Uint8Array {
  const bit = Math.trunc(at * frame.length * 8);
  return frame.map((byte, index) => (index === bit >>> 3 ? byte ^ (1 << (bit & 7)) : byte));
}

/** A fault that was injected. */
export interface Injected {
  /** Into which channel, from 1, in the order of their opening. */
  readonly channel: number;
  readonly direction: Direction;
  /** At which frame, from 1. */
  readonly frame: number;
  readonly fault: Fault;
  /** At a proxy: how many bytes had passed. */
  readonly byte?: number;
}

/** What commands go to: a channel, or a connection through a proxy. */
export interface Faulty {
  /** Lose it now. */
  cut(): void;
  /** Let nothing arrive until `resume`. */
  stall(direction?: Direction): void;
  /** End a stall. */
  resume(direction?: Direction): void;
  /** Let nothing arrive any more, and tell nobody. */
  halfOpen(): void;
  /** Close it, whatever was told to whom. */
  abandon(): void;
}

/**
 * What goes wrong on the channels that it is given to, and the commands that make something go wrong now.
 *
 * ```ts
 * const faults = new Faults({ seed: 7, jitter: 20, cut: 0.01 });
 * ```
 *
 * Each direction of each channel has a sequence of random numbers of its own, so that the same seed and the same
 * frames have the same faults, whatever happens in the other direction meanwhile, and in Python as in TypeScript.
 */
export class Faults {
  readonly seed: number;
  /** The newest faults, oldest first. */
  readonly injected: Injected[] = [];
  /** How many of each. */
  readonly counts: Partial<Record<Fault, number>> = {};
  /** The channels that are open, oldest first. */
  readonly channels: Faulty[] = [];
  #settings: FaultSettings = {};
  #opened = 0;

  /** @throws RangeError a setting is out of its range. */
  constructor({ seed, ...settings }: FaultsOptions = {}) {
    this.seed = seed ?? new DataView(entropy(4).buffer).getUint32(0);
    this.set(settings);
  }

  /** What was set. */
  get settings(): FaultSettings {
    return this.#settings;
  }

  /** Change settings, from the next frame on. @throws RangeError one is out of its range. */
  set(settings: FaultSettings): void {
    const said = Object.entries(settings).filter(([, value]) => value !== undefined);
    const merged: FaultSettings = { ...this.#settings, ...Object.fromEntries(said) };
    check(merged);
    this.#settings = merged;
  }

  /** What makes it again. */
  toString(): string {
    const shown = Object.entries({ seed: this.seed, ...this.#settings })
      .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
      .join(", ");
    return `new Faults({ ${shown} })`;
  }

  /** What was injected, for a person. */
  report(): string {
    const counts = Object.entries(this.counts).map(([fault, count]) => `${count} ${fault}`);
    const lines = [String(this), `injected: ${counts.join(", ") || "nothing"}`];
    const last = this.injected.slice(-SHOWN);
    if (last.length > 0) {
      const total = Object.values(this.counts).reduce((sum, count) => sum + count, 0);
      lines.push(`the last of ${total}:`);
      for (const { channel, direction, frame, fault, byte } of last) {
        const where = byte === undefined ? `frame ${frame}` : `byte ${byte}`;
        lines.push(`  channel ${channel} ${direction} ${where}: ${fault}`);
      }
    }
    return lines.join("\n");
  }

  /** Lose every channel now: what is under way is lost, and both ends are told. */
  cut(): void {
    for (const channel of [...this.channels]) channel.cut();
  }

  /** Let nothing arrive, in one direction or both, until `resume`. */
  stall(direction?: Direction): void {
    for (const channel of [...this.channels]) channel.stall(direction);
  }

  /** End a stall: what waited arrives. */
  resume(direction?: Direction): void {
    for (const channel of [...this.channels]) channel.resume(direction);
  }

  /** Lose what is under way and all that comes later, in both directions, and tell neither end. */
  halfOpen(): void {
    for (const channel of [...this.channels]) channel.halfOpen();
  }

  /** Close every channel, those that are half open included: at the end of a test. */
  close(): void {
    for (const channel of [...this.channels]) channel.abandon();
  }

  /** For channels: one is there; its number. */
  joined(channel: Faulty): number {
    this.#opened += 1;
    this.channels.push(channel);
    return this.#opened;
  }

  /** For channels: one is gone. */
  left(channel: Faulty): void {
    const index = this.channels.indexOf(channel);
    if (index >= 0) this.channels.splice(index, 1);
  }

  /** For channels: the fates of one direction of one of them. */
  plan(channel: number, direction: Direction): Plan {
    return new Plan(this, channel, direction);
  }

  /** For channels: a fault has happened. */
  note(injected: Injected): void {
    if (this.injected.push(injected) > REMEMBERED) this.injected.shift();
    this.counts[injected.fault] = (this.counts[injected.fault] ?? 0) + 1;
  }
}

/** The fates of the frames that go one way on one channel. */
export class Plan {
  readonly #faults: Faults;
  readonly #channel: number;
  readonly #direction: Direction;
  readonly #dice: Dice;
  #frames = 0;

  constructor(faults: Faults, channel: number, direction: Direction) {
    this.#faults = faults;
    this.#channel = channel;
    this.#direction = direction;
    this.#dice = new Dice(
      `${faults.seed} ${channel} ${direction === "toBroker" ? "to_broker" : "to_client"}`,
    );
  }

  /** The next frame's. Each takes three random numbers, so that one setting does not shift what another one brings. */
  next(): Fate {
    this.#frames += 1;
    const [chance, late, at] = [this.#dice.random(), this.#dice.random(), this.#dice.random()];
    const { settings } = this.#faults;
    const { directions = DIRECTIONS, after = 0, delay = 0, jitter = 0 } = settings;
    if (!directions.includes(this.#direction) || this.#frames <= after) return UNHARMED;
    return { delay: delay + late * jitter, fault: chosen(settings, chance), at };
  }

  /** A fault has come to a frame. */
  happened(fault: Fault, frame: number): void {
    this.#faults.note({ channel: this.#channel, direction: this.#direction, frame, fault });
  }
}

function chosen(settings: FaultSettings, chance: number): Fault | undefined {
  let left = chance;
  return FAULTS.find((fault) => {
    left -= settings[fault] ?? 0;
    return left < 0;
  });
}

function check({ directions = [], ...numbers }: FaultSettings): void {
  const wrong = directions.find((each) => !DIRECTIONS.includes(each));
  if (wrong !== undefined)
    throw new RangeError(`a direction is "toBroker" or "toClient", not ${JSON.stringify(wrong)}`);
  const times = ["delay", "jitter", "stallMs", "after"];
  for (const [name, value] of Object.entries(numbers)) {
    if (!times.includes(name) && !(FAULTS as readonly string[]).includes(name))
      throw new RangeError(
        `Faults has no "${name}"; there are ${[...times, ...FAULTS].join(", ")}, directions`,
      );
    if (!(typeof value === "number" && value >= 0))
      throw new RangeError(`${name} is at least 0, not ${String(value)}`);
  }
  const total = FAULTS.reduce((sum, fault) => sum + (numbers[fault] ?? 0), 0);
  if (total > 1)
    throw new RangeError(`the probabilities of ${FAULTS.join(", ")} are at most 1 together, not ${total}`);
}
