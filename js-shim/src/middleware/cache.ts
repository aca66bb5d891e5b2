/** Answers of idempotent calls, given again for a while. */

import { now } from "../time.js";
import { toHex } from "../wire/hex.js";
import { decode, encode } from "../wire/values.js";
import type { Middleware } from "./message.js";
import { checkPositive, Fading, named } from "./passing.js";

export interface CacheOptions {
  /** How long an answer is kept, in milliseconds. */
  readonly ttlMs: number;
  /** How many answers are kept. Default: 1,000. */
  readonly limit?: number | undefined;
}

/**
 * Answer an idempotent call as it was answered before to the same payload; all else passes.
 *
 * Only answers are kept, no errors. They are kept as bytes, so that nobody can change what the next one gets.
 *
 * @throws TypeError a number is not more than 0.
 */
export function cache({ ttlMs, limit = 1_000 }: CacheOptions): Middleware {
  checkPositive("cache", { ttlMs, limit });
  const answers = new Fading<Uint8Array>(ttlMs, limit);
  return named("cache", async (message, next) => {
    const { member, direction, name, payload } = message;
    if (member?.kind !== "call" || !member.idempotent) return next(message);
    const key = `${direction} ${name} ${toHex(encode(payload))}`;
    const known = answers.get(key, now());
    if (known !== undefined) {
      const value = decode(known);
      return member.bigints?.received === undefined ? value : member.bigints.received(value);
    }
    const answer = await next(message);
    answers.put(key, encode(answer), now());
    return answer;
  });
}
