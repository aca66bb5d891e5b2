/** Waiting with an end: by a fake clock, which goes on while we wait, or else by the real one, whatever the test runner fakes. */

import { FakeClock, NotInTime } from "./clock.js";
import { platform } from "./timers.js";

/** Wait for something, so many milliseconds at most. @throws NotInTime */
export async function within<Value>(ms: number, waiting: PromiseLike<Value>): Promise<Value> {
  const clock = FakeClock.current;
  if (clock?.isMovable) return await clock.drive(waiting, ms);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = platform.setTimeout(() => reject(new NotInTime(`not over within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([waiting, late]);
  } finally {
    platform.clearTimeout(timer);
  }
}

/** Something that changes, and those who wait until it has a certain form. */
export class Watched {
  #waiting = new Set<() => void>();

  /** Let everybody look again. */
  changed(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** Wait until a function gives something; it is asked now and after each change. @throws NotInTime; @throws what it throws. */
  until<Value>(find: () => Value | undefined, ms: number): Promise<Value> {
    let look = (): void => {};
    const found = new Promise<Value>((resolve, reject) => {
      look = () => {
        try {
          const value = find();
          if (value !== undefined) resolve(value);
        } catch (error) {
          reject(error);
        }
      };
    });
    this.#waiting.add(look);
    look();
    return within(ms, found).finally(() => this.#waiting.delete(look));
  }
}
