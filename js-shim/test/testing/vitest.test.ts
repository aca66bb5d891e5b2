/** What tidies up after a test, and tells what happened when it fails. */

import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeClock, type Pair, type Recorder } from "../../src/testing/index.js";
import { ionbusClock, ionbusFaults, ionbusPair, ionbusRecorder } from "../../src/testing/vitest.js";
import { Conductor } from "../conductor.js";

describe("a test", () => {
  const pairs: Pair[] = [];
  let recorder: Recorder;
  beforeEach(() => {
    recorder = ionbusRecorder();
  });
  afterEach(() => {
    vi.useRealTimers(); // before the kit tidies up
  });
  afterAll(() => {
    expect(pairs.map(({ bus }) => bus.state)).toEqual(pairs.map(() => "closed"));
    expect(FakeClock.current).toBeUndefined();
  });

  it("has a pair and a recorder", async () => {
    const at = await ionbusPair();
    pairs.push(at);
    await recorder.record(at.bus, Conductor.finished).confirmed();
    await at.broker.emit(Conductor.finished, { files: 1 });
    expect(await recorder.waitFor(Conductor.finished)).toEqual({ files: 1 });
  });

  it("has a clock, and leaves it as it likes", async () => {
    const clock = ionbusClock();
    const at = await ionbusPair();
    pairs.push(at);
    at.halfOpen();
    await clock.advance(60_000);
    expect(at.bus.state).toBe("unresponsive");
  });

  it("has a clock that moves vitest's timers along", async () => {
    vi.useFakeTimers();
    const clock = ionbusClock();
    const at = await ionbusPair();
    pairs.push(at);
    const heard = vi.fn();
    setTimeout(heard, 1_000);
    at.halfOpen();
    await clock.advance(30_000);
    expect(heard).toHaveBeenCalledOnce();
    expect(at.bus.state).toBe("unresponsive");
  });

  it.concurrent("says which it is where several run", async (test) => {
    const at = await ionbusPair(undefined, { test, faults: ionbusFaults({ test, jitter: 1 }) });
    pairs.push(at);
    test.expect(at.bus.state).toBe("open");
  });
});

describe("a seed from the environment", () => {
  it("is that of all faults that were given none", () => {
    vi.stubEnv("IONBUS_SEED", "77");
    expect(ionbusFaults().seed).toBe(77);
    expect(ionbusFaults({ seed: 5 }).seed).toBe(5);
    vi.stubEnv("IONBUS_SEED", "seven");
    expect(() => ionbusFaults()).toThrow("IONBUS_SEED is a whole number, not seven");
    vi.unstubAllEnvs();
  });
});

it("that fails shows its seed and what was recorded, one that passes does not", async () => {
  const vitest = path.join(
    path.dirname(createRequire(import.meta.url).resolve("vitest/package.json")),
    "vitest.mjs",
  );
  const config = path.join(import.meta.dirname, "failing", "vitest.config.ts");
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST")));
  const output = await new Promise<string>((resolve) => {
    execFile(
      process.execPath,
      [vitest, "run", "--config", config],
      { env: { ...env, NO_COLOR: "1", IONBUS_SEED: "4242" } },
      (_, stdout, stderr) => resolve(stdout + stderr),
    );
  });
  expect(output).toContain("1 failed | 1 passed");
  expect(output).toContain("new Faults({ seed: 4242, duplicate: 0.5 })");
  expect(output.match(/repeat it: IONBUS_SEED=4242/g)).toHaveLength(1);
  expect(output).toMatch(/bus {2}state {2}reconnecting -> open \(resumed\)/);
}, 30_000);
