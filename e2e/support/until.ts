import { setTimeout as sleep } from "node:timers/promises";

/** Ask again and again until the answer is truthy, and give it. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  timeoutMs = 20_000,
): Promise<Exclude<T, undefined | null | false | 0 | "">> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer as Exclude<T, undefined | null | false | 0 | "">;
    if (performance.now() > end) {
      throw new Error(`${what}: not within ${timeoutMs} ms; the last answer was ${JSON.stringify(answer)}`);
    }
    await sleep(20);
  }
}
