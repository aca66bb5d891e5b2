/** Decisions read from bytes: whatever makes, mutates, minimises or keeps bytes does so with decisions. The twin of tests/fuzz/choices.py. */

/** Numbers at which something changes: a form of msgpack's, a limit of ours, what a language can hold. */
export const EDGES: readonly number[] = [
  0,
  1,
  2,
  3,
  15,
  16,
  31,
  32,
  63,
  64,
  65,
  127,
  128,
  255,
  256,
  257,
  1_000,
  1_001,
  4_096,
  65_535,
  65_536,
  65_537,
  262_144,
  262_145,
  1_048_576,
  268_435_456,
  268_435_457,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 2,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  -1,
  -2,
  -32,
  -33,
  -(2 ** 31),
  -(2 ** 53),
  0.5,
  Number.NaN,
];

const utf8 = new TextDecoder("latin1");

/** Reads one decision after the other. Behind the last byte every decision is the first option, so that everything ends. */
export class Choices {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get isOver(): boolean {
    return this.#at >= this.#data.length;
  }

  byte(): number {
    return this.#data[this.#at++] ?? 0;
  }

  /** 0 to `count` - 1. */
  below(count: number): number {
    if (count <= 256) return this.byte() % count;
    return (this.byte() * 65_536 + this.byte() * 256 + this.byte()) % count;
  }

  /** True about once in `count` times; never behind the last byte. */
  oneIn(count: number): boolean {
    return this.byte() % count === count - 1;
  }

  pick<T>(options: readonly T[]): T {
    return options[this.below(options.length)] as T;
  }

  blob(count: number): Uint8Array {
    const start = Math.min(this.#at, this.#data.length);
    this.#at += count;
    return this.#data.slice(start, this.#at);
  }

  /** A number: one of `near` or beside it, small, or one of `EDGES`. */
  number(...near: readonly number[]): number {
    const kind = this.byte();
    if (near.length > 0 && kind < 160)
      return this.pick(near) + ([0, 0, 0, 0, 0, 1, -1, 2][kind & 7] as number);
    return kind < 200 ? this.below(8) : this.pick(EDGES);
  }

  text(): string {
    switch (this.below(8)) {
      case 0:
        return "";
      case 1:
        return "x".repeat(this.pick([1, 31, 32, 255, 256, 5_000]));
      case 2:
        return "é".repeat(this.pick([1, 127, 128, 200]));
      case 3:
        return "\0\u{10ffff}\n\u2028";
      default:
        return utf8.decode(this.blob(this.below(12)));
    }
  }

  /** Any value that fits where nothing like it belongs. */
  anything(depth = 0): unknown {
    switch (this.below(depth < 12 ? 11 : 8)) {
      case 0:
        return null;
      case 1:
        return this.oneIn(2);
      case 2:
      case 3:
      case 4:
        return this.number();
      case 5:
      case 6:
        return this.text();
      case 7:
        return this.blob(this.below(20));
      case 8:
      case 9:
        return Array.from({ length: this.below(5) }, () => this.anything(depth + 1));
      default:
        return Object.fromEntries(
          Array.from({ length: this.below(4) }, () => [this.text(), this.anything(depth + 1)]).filter(
            ([key]) => key !== "__proto__",
          ),
        );
    }
  }
}
