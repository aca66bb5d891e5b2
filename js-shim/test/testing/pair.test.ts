/** A broker and clients in memory. The twin of tests/testing/test_pair.py. */

import { afterEach, describe, expect, it } from "vitest";
import type { Bus } from "../../src/client/bus.js";
import { ConnectionLost, SessionLost } from "../../src/errors.js";
import {
  FakeClock,
  Faults,
  fakeBroker,
  NotInTime,
  type Pair,
  type PairOptions,
  pair,
} from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

let at: Pair;
let clock: FakeClock | undefined;

afterEach(async () => {
  await at.close();
  clock?.uninstall();
  clock = undefined;
});

async function make(options?: PairOptions): Promise<Pair> {
  at = await pair(fakeBroker(), options);
  at.broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
  return at;
}

function outcomesOf(bus: Bus): string[] {
  const outcomes: string[] = [];
  bus.onState(({ to, outcome }) => outcomes.push(outcome ?? to));
  return outcomes;
}

describe("a pair", () => {
  it("is connected, and its session survives a cut", async () => {
    await make();
    expect(at.bus.state).toBe("open");
    const outcomes = outcomesOf(at.bus);
    await expect(at.bus.call(Conductor.execute, { flow: "abc" })).resolves.toEqual({ files: 3 });
    at.cut();
    const call = at.bus.call(Conductor.execute, { flow: "abcd" });
    await at.reconnected();
    await expect(call).resolves.toEqual({ files: 4 });
    expect(outcomes).toEqual(["reconnecting", "resumed"]);
  });

  it("is a new epoch after a restart: unanswered calls are lost, subscriptions are made again", async () => {
    await make();
    const [one, other] = [at.client, await at.connect()];
    const outcomes = [outcomesOf(one.bus), outcomesOf(other.bus)];
    const heard: number[] = [];
    other.bus.on(Conductor.finished, ({ files }) => heard.push(files));
    const stopped = new Promise<void>((resolve) => {
      at.broker.handle(Conductor.ping, (_, { signal }) => {
        signal.addEventListener("abort", () => resolve());
        return new Promise<null>(() => {});
      });
    });
    const call = one.bus.call(Conductor.ping).catch((error: unknown) => error);
    await one.bus.call(Conductor.execute, { flow: "" });
    await at.restart();
    expect(await call).toBeInstanceOf(SessionLost);
    await stopped;
    expect(outcomes).toEqual([
      ["reconnecting", "lost"],
      ["reconnecting", "lost"],
    ]);
    await other.bus.call(Conductor.execute, { flow: "" });
    await at.broker.emit(Conductor.finished, { files: 7 });
    await other.bus.call(Conductor.execute, { flow: "" });
    expect(heard).toEqual([7]);
  });

  it("can be looked at while its broker is dead", async () => {
    clock = new FakeClock().install();
    await make();
    at.stop();
    expect(at.bus.state).toBe("reconnecting");
    await expect(at.reconnected(50)).rejects.toThrow("not open within 50 ms; it is reconnecting");
    await expect(at.connect()).rejects.toBeInstanceOf(NotInTime);
    expect(at.clients).toHaveLength(1);
    at.start();
    await clock.advance(10_000); // it comes back by itself
    expect(at.bus.state).toBe("open");
  });

  it("cuts one of its clients and leaves the others alone", async () => {
    await make();
    const other = await at.connect();
    const outcomes = outcomesOf(at.bus);
    other.cut();
    expect(other.bus.state).toBe("reconnecting");
    await other.reconnected();
    expect(outcomes).toEqual([]);
    await other.close();
    await expect(other.reconnected()).rejects.toBeInstanceOf(ConnectionLost);
    expect(at.broker.attempts).toBe(0); // its own listener is not used
  });

  it("can be half open: a silent channel is a state, or given up, as it says", async () => {
    clock = new FakeClock().install();
    await make();
    at.halfOpen();
    await clock.advance(14_999);
    expect(at.bus.state).toBe("open");
    await clock.advance(1);
    expect(at.bus.state).toBe("unresponsive");
    await at.close();

    await make({ silenceIsFatal: true });
    const outcomes = outcomesOf(at.bus);
    at.halfOpen();
    await clock.advance(15_000);
    expect(outcomes).toEqual(["reconnecting", "resumed"]);
  });

  it("lets its wire be held and released frame by frame", async () => {
    await make();
    at.wire.toClient.hold();
    let files: number | undefined;
    const call = at.bus.call(Conductor.execute, { flow: "abc" }).then((result) => {
      files = result.files;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(at.wire.toClient.size).toBe(1);
    expect(files).toBeUndefined();
    at.wire.toClient.release();
    await call;
    expect(files).toBe(3);
  });

  it("shares its faults with others, and closes its own channels only", async () => {
    const faults = new Faults({ seed: 1 });
    await make({ faults });
    const other = await pair(fakeBroker(), { faults });
    faults.halfOpen();
    expect(faults.channels).toHaveLength(2);
    await other.close();
    expect(faults.channels).toHaveLength(1);
    await at.close();
    expect(faults.channels).toEqual([]);
  });

  it("repeats a whole run from a seed, by the clock", async () => {
    async function run(seed: number): Promise<unknown> {
      clock = new FakeClock().install();
      const faults = new Faults({ seed, jitter: 50, drop: 0.1 });
      await make({ faults });
      for (let round = 0; round < 20; round++)
        await clock.drive(at.bus.call(Conductor.execute, { flow: "abc" }));
      const told = [faults.injected, clock.elapsed];
      await at.close();
      clock.uninstall();
      return told;
    }
    const first = await run(5);
    expect(await run(5)).toEqual(first);
    expect(await run(6)).not.toEqual(first);
  });

  it("loses nothing on channels that fail", async () => {
    clock = new FakeClock().install();
    const faults = new Faults({ seed: 3, jitter: 20, drop: 0.02, cut: 0, duplicate: 0, stall: 0.02 });
    await make({ faults, limits: { retryBaseMs: 10, retryCapMs: 100 } });
    const numbers: number[] = [];
    at.broker.on(Conductor.cancelled, ({ id }) => numbers.push(Number(id)));
    for (let number = 0; number < 200; number++) {
      await clock.drive(at.bus.emit(Conductor.cancelled, { id: String(number) }));
      await clock.drive(at.bus.call(Conductor.execute, { flow: "abc" }, { timeoutMs: null }));
    }
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, number) => number));
    expect(faults.counts.drop).toBeGreaterThan(2);
  });

  it.each([
    [1, ["reconnecting", "resumed"]],
    [2, ["reconnecting", "resumed", "reconnecting", "lost protocol_violation"]],
  ])("is to a client that is sent half a frame %i times what a broker is", async (times, outcomes) => {
    const faults = new Faults({ seed: 1 });
    await make({ faults, limits: { retryBaseMs: 10, retryCapMs: 100 } });
    const told: string[] = [];
    at.bus.onState(({ to, outcome, code }) => {
      told.push(outcome === "lost" ? `lost ${code}` : (outcome ?? to));
      if (faults.counts.truncate === times) faults.set({ truncate: 0 });
    });
    faults.set({ truncate: 1, after: 1, directions: ["toClient"] }); // WELCOME comes first
    const running = at.bus.call(Conductor.execute, { flow: "abc" });
    if (times === 1) expect(await running).toEqual({ files: 3 });
    else await expect(running).rejects.toBeInstanceOf(SessionLost);
    expect(told).toEqual(outcomes);
  });
});
