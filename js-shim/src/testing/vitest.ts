/**
 * `ionbus/testing/vitest`: the kit of `ionbus/testing`, which tidies up when the test is over and tells what happened when
 * it fails.
 *
 * Call these in a test or in `beforeEach`. In a concurrent test pass its context as `test`, since vitest cannot know which of
 * the running tests called.
 */

import { onTestFailed, onTestFinished, vi } from "vitest";
import { FakeClock, type FakeClockOptions } from "./clock.js";
import type { FakeBroker } from "./fake-broker.js";
import { Faults, type FaultsOptions } from "./faults.js";
import { type Pair, type PairOptions, pair } from "./pair.js";
import { FaultProxy, type FaultProxyOptions } from "./proxy.js";
import { instead } from "./recorded.js";
import { Recorder } from "./recorder.js";

export interface HelperOptions {
  /** The context of a concurrent test. */
  readonly test?: TestHooks | undefined;
}

/** What of a test's context is needed. */
export interface TestHooks {
  onTestFinished(tidy: () => Promise<void>): void;
  onTestFailed(report: () => void): void;
}

/** Make a pair that closes with the test; see `pair`. */
export async function ionbusPair(
  broker?: FakeBroker,
  { test, ...options }: PairOptions & HelperOptions = {},
): Promise<Pair> {
  const made = await pair(broker, options);
  afterwards(test, () => made.close());
  return made;
}

/**
 * Install a `FakeClock` until the test is over. Where vitest's timers are fake by now (`vi.useFakeTimers()`), it moves
 * them along.
 */
export function ionbusClock({ test, ...options }: FakeClockOptions & HelperOptions = {}): FakeClock {
  const beside = vi.isFakeTimers() ? vi : undefined;
  const clock = new FakeClock({ beside, ...options }).install();
  afterwards(test, () => clock.uninstall());
  return clock;
}

/** Make a recorder, which is shown when the test fails. */
export function ionbusRecorder({ test }: HelperOptions = {}): Recorder {
  const recorder = new Recorder();
  onFailure(test, () => instead([], recorder.recorded));
  afterwards(test, () => recorder.close());
  return recorder;
}

/** Make faults, which are shown when the test fails, with their seed. The environment variable `IONBUS_SEED` repeats it. */
export function ionbusFaults({ test, ...options }: FaultsOptions & HelperOptions = {}): Faults {
  const faults = new Faults({ seed: seedGiven(), ...options });
  onFailure(test, () => `${faults.report()}\n${again(faults.seed)}`);
  afterwards(test, () => faults.close());
  return faults;
}

/** Start a proxy to a broker, which stops with the test and is shown with its seed when that fails; see `FaultProxy`. */
export async function ionbusProxy(
  target: string,
  { test, ...options }: FaultProxyOptions & HelperOptions = {},
): Promise<FaultProxy> {
  const proxy = await new FaultProxy(target, { seed: seedGiven(), ...options }).start();
  onFailure(test, () => `${proxy.faults.report()}\n${again(proxy.seed)}`);
  afterwards(test, () => proxy.stop());
  return proxy;
}

function afterwards(test: HelperOptions["test"], tidy: () => unknown): void {
  (test?.onTestFinished ?? onTestFinished)(async () => {
    await tidy();
  });
}

function onFailure(test: HelperOptions["test"], report: () => string): void {
  (test?.onTestFailed ?? onTestFailed)(() => {
    console.error(report());
  });
}

function again(seed: number): string {
  return `repeat it: IONBUS_SEED=${seed}`;
}

function seedGiven(): number | undefined {
  const { process } = globalThis as {
    process?: { readonly env: Readonly<Record<string, string | undefined>> };
  };
  const given = process?.env["IONBUS_SEED"];
  if (given === undefined || given === "") return undefined;
  const seed = Number(given);
  if (!Number.isSafeInteger(seed)) throw new TypeError(`IONBUS_SEED is a whole number, not ${given}`);
  return seed;
}
