/** New inputs from old ones, from a seed: the same seed gives the same inputs. The twin of tests/fuzz/mutation.py. */

import { Dice } from "../../src/testing/dice.js";
import { fromHex } from "../replay.js";

/** Heads of msgpack and of records, lying lengths, numbers at an edge. */
const TOKENS = [
  ..."00 7f 80 81 8f 90 91 9f a0 a1 bf c0 c1 c2 c3 e0 ff c400 c4ff c5ffff c6ffffffff c70001 c7ff05 c8ffff08".split(
    " ",
  ),
  ..."c9ffffffff09 ca7fc00000 cb7ff8000000000000 ccff cdffff ceffffffff cfffffffffffffffff cf0020000000000000".split(
    " ",
  ),
  ..."d080 d18000 d280000000 d38000000000000000 d40400 d50501 d608 d6ff00000001 d709 d807 d90161 da0000".split(
    " ",
  ),
  ..."dbffffffff dc0000 dc0010 ddffffffff de0001 dfffffffff a95f5f70726f746f5f5f edbfbf 0000000502 00100005".split(
    " ",
  ),
  ..."ffffffff 7fffffff".split(" "),
].map(fromHex);

/** Inputs that are kept because their outcome was new. */
const POOL = 2_000;

export class Mutator {
  readonly #dice: Dice;
  readonly #pool: Uint8Array[];
  readonly #isFree: boolean;
  readonly #longest: number;

  /**
   * @param seed - where its decisions come from.
   * @param seeds - inputs to begin with; none: inputs are decisions, and begin as random bytes.
   * @param longest - about how long an input may become.
   */
  constructor(seed: string, seeds: readonly Uint8Array[], longest: number) {
    this.#dice = new Dice(seed);
    this.#pool = [...seeds];
    this.#isFree = seeds.length === 0;
    this.#longest = longest;
  }

  /** Something new came of this input: go on from it, too. */
  keep(data: Uint8Array): void {
    if (this.#pool.length < POOL) this.#pool.push(data);
    else this.#pool[this.#below(POOL)] = data;
  }

  /** One more input. */
  next(): Uint8Array {
    if (this.#pool.length === 0 || (this.#isFree && this.#dice.random() < 0.5)) {
      return this.#random(1 + Math.floor(this.#dice.random() ** 2 * this.#longest));
    }
    let data = this.#one(this.#pool);
    for (let count = 1 + Math.floor(-Math.log2(this.#dice.random() + 1e-4)); count > 0; count--) {
      data = this.#changed(data);
    }
    return data.slice(0, this.#longest);
  }

  #changed(data: Uint8Array): Uint8Array {
    const at = this.#below(data.length + 1);
    switch (this.#below(10)) {
      case 0:
      case 1:
        return this.#with(data, at, (byte) => byte ^ (1 << this.#below(8)));
      case 2:
        return this.#with(data, at, () => this.#below(256));
      case 3:
        return joined(data.subarray(0, at), data.subarray(at + this.#span(data)));
      case 4:
        return joined(data.subarray(0, at), this.#one(TOKENS), data.subarray(at));
      case 5: {
        const token = this.#one(TOKENS);
        return joined(data.subarray(0, at), token, data.subarray(at + token.length));
      }
      case 6:
        return joined(data.subarray(0, at), data.subarray(at, at + this.#span(data)), data.subarray(at));
      case 7: {
        const other = this.#one(this.#pool);
        return joined(data.subarray(0, at), other.subarray(this.#below(other.length + 1)));
      }
      case 8: {
        const other = this.#one(this.#pool);
        const from = this.#below(other.length + 1);
        return joined(data.subarray(0, at), other.subarray(from, from + 32), data.subarray(at));
      }
      default:
        return joined(data.subarray(0, at), this.#random(1 + this.#below(4)), data.subarray(at));
    }
  }

  #with(data: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
    const changed = data.slice();
    const byte = changed[at];
    if (byte !== undefined) changed[at] = change(byte);
    return changed;
  }

  #span(data: Uint8Array): number {
    return 1 + Math.floor(this.#dice.random() ** 3 * data.length);
  }

  #random(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++) bytes[at] = this.#below(256);
    return bytes;
  }

  #below(count: number): number {
    return Math.floor(this.#dice.random() * count);
  }

  #one<T>(options: readonly T[]): T {
    return options[this.#below(options.length)] as T;
  }
}

/** Pieces in one array. */
export function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
