/** Random numbers from a text: the same in TypeScript and in Python, in every version of either, today and in ten years. */

/** SplitMix with 32 bits (the finaliser is that of lowbias32), which begins at the FNV-1a hash of a text. No secret depends on it. */
export class Dice {
  #state = 0x811c9dc5;

  /** @param text - what it begins with: other texts, other numbers. */
  constructor(text: string) {
    for (const byte of new TextEncoder().encode(text))
      this.#state = Math.imul(this.#state ^ byte, 0x01000193);
  }

  /** The next number, from 0 to below 1. */
  random(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 0x1_0000_0000;
  }
}
