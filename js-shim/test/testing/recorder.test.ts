/** Recording what buses hear, and waiting for it. The twin of tests/testing/test_recorder.py. */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { call, event } from "../../src/contract.js";
import { FakeClock, NotRecorded, type Pair, pair, Recorder, wanted } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

let at: Pair;
let recorder: Recorder;
let clock: FakeClock | undefined;

beforeEach(async () => {
  at = await pair();
  recorder = new Recorder();
});
afterEach(async () => {
  vi.useRealTimers();
  recorder.close();
  await at.close();
  clock?.uninstall();
  clock = undefined;
});

/** The message that a wait fails with. */
async function failure(wait: Promise<unknown>): Promise<string> {
  const error = await wait.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(NotRecorded);
  return (error as Error).message;
}

async function progress(...percents: number[]): Promise<void> {
  for (const percent of percents) await at.broker.emit(Conductor.progress, { node: `n${percent}`, percent });
}

describe("a wait", () => {
  it("gives the payload of what was recorded before it, or is recorded later", async () => {
    await recorder.record(at.bus, Conductor.progress).confirmed();
    await progress(10, 50);
    const half = await recorder.waitFor(Conductor.progress, { where: ({ percent }) => percent === 50 });
    expect(half).toEqual({ node: "n50", percent: 50 });
    const waiting = recorder.waitFor(Conductor.progress, { where: ({ percent }) => percent === 100 });
    await progress(100);
    expect(await waiting).toEqual({ node: "n100", percent: 100 });
    expect(recorder.events.map(({ name }) => name)).toEqual(Array(3).fill("conductor.progress"));
  });

  it("leaves out what was before a mark", async () => {
    await recorder.record(at.bus, Conductor.progress).confirmed();
    await progress(10);
    await recorder.waitFor(Conductor.progress);
    const since = recorder.mark();
    await failure(recorder.waitFor(Conductor.progress, { since, timeoutMs: 20 }));
    recorder.clear();
    await failure(recorder.waitFor(Conductor.progress, { timeoutMs: 20 }));
  });

  it("takes states, contracts and patterns too", async () => {
    await recorder.record(at.bus, Conductor, "*.finished").confirmed();
    await at.broker.emit(Conductor.finished, { files: 3 });
    const received = { name: "conductor.finished", payload: { files: 3 } };
    expect(await recorder.waitFor(Conductor)).toEqual(received);
    expect(await recorder.waitFor("conductor.*")).toEqual(received);
    expect(recorder.events).toHaveLength(2); // it is recorded twice
    at.cut();
    expect(await recorder.waitFor("open", { where: ({ resumed }) => resumed })).toMatchObject({
      from: "reconnecting",
    });
    expect(recorder.states.map(({ to }) => to)).toEqual(["reconnecting", "open"]);
  });

  it("can be for one of several buses", async () => {
    const other = await at.connect();
    recorder.record(at.bus);
    recorder.record(other.bus);
    recorder.label(other.bus, "the other window");
    other.cut();
    const message = await failure(recorder.waitFor("reconnecting", { bus: at.bus, timeoutMs: 20 }));
    expect(message).toMatch(/ {2}\+\d+ ms {2}the other window {2}state {2}open -> reconnecting/);
    await recorder.waitFor("reconnecting", { bus: other.bus });
  });

  it("that fails shows what was recorded instead", async () => {
    await recorder.record(at.bus, Conductor.progress, Conductor.finished).confirmed();
    await at.broker.emit(Conductor.finished, { files: 3 });
    await progress(10);
    const message = await failure(
      recorder.waitFor(Conductor.progress, { where: (progress) => progress.percent === 100, timeoutMs: 20 }),
    );
    expect(message.replace(/ +\+\d+ ms/g, " +1 ms")).toBe(
      [
        "not recorded within 20 ms: conductor.progress where (progress) => progress.percent === 100. " +
          "Recorded, marked ! where the name is right:",
        ' +1 ms  bus  conductor.finished  {"files":3}',
        '! +1 ms  bus  conductor.progress  {"node":"n10","percent":10}',
      ].join("\n"),
    );
    recorder.clear();
    expect(await failure(recorder.waitFor("closed", { timeoutMs: 5 }))).toContain("Nothing was recorded.");
  });

  it("that can never be met is refused", async () => {
    await expect(recorder.waitFor("open")).rejects.toThrow('before waiting for the state "open"');
    recorder.record(at.bus);
    const other = await at.connect();
    await expect(recorder.waitFor("open", { bus: other.bus })).rejects.toThrow("that bus is not recorded");
    recorder.record(at.bus, Conductor.progress);
    await expect(recorder.waitFor(Conductor.finished)).rejects.toThrow("conductor.finished is not recorded");
    const ping = call<"a.ping", null, null, "broker">({ name: "a.ping", contract: Conductor.ping.contract });
    await expect(recorder.waitFor(ping as never)).rejects.toThrow(TypeError);
    await expect(recorder.waitFor("open", { where: 5 as never })).rejects.toThrow("where is a function");
    await expect(recorder.waitFor("conductor.fin*")).rejects.toThrow("a segment is a word");
  });

  it("that a predicate fails in fails with it", async () => {
    await recorder.record(at.bus, Conductor.finished).confirmed();
    await at.broker.emit(Conductor.finished, { files: 3 });
    const where = (): never => {
      throw new RangeError("my mistake");
    };
    await expect(recorder.waitFor(Conductor.finished, { where })).rejects.toThrow("my mistake");
  });
});

describe("several at once", () => {
  it("each need an event of their own", async () => {
    await recorder.record(at.bus, Conductor.progress, Conductor.finished).confirmed();
    await progress(10, 20);
    const [any, twenty] = await recorder.waitForAll([
      Conductor.progress,
      wanted(Conductor.progress, { where: ({ percent }) => percent <= 20 }),
    ]);
    expect([any.percent, twenty.percent].sort()).toEqual([10, 20]);
    const first = wanted(Conductor.progress, { where: ({ percent }) => percent === 10 });
    expect((await recorder.waitForAll([Conductor.progress, first])).map(({ percent }) => percent)).toEqual([
      20, 10,
    ]);
    await failure(recorder.waitForAll([Conductor.progress, Conductor.progress, first], { timeoutMs: 20 }));
  });

  it("may have to come in their order", async () => {
    await recorder.record(at.bus, Conductor.progress, Conductor.finished).confirmed();
    await progress(10);
    await at.broker.emit(Conductor.finished, { files: 1 });
    await recorder.waitFor(Conductor.finished);
    const [progressed, { files }] = await recorder.waitForAll([Conductor.progress, Conductor.finished], {
      inOrder: true,
    });
    expect([progressed.percent, files]).toEqual([10, 1]);
    const wrong = [Conductor.finished, Conductor.progress] as const;
    await recorder.waitForAll(wrong);
    expect(await failure(recorder.waitForAll(wrong, { inOrder: true, timeoutMs: 20 }))).toContain(
      "conductor.finished; conductor.progress",
    );
  });
});

describe("what must not happen", () => {
  beforeEach(() => recorder.record(at.bus, Conductor.progress, Conductor.finished).confirmed());

  it("has not, when something else has", async () => {
    await progress(10);
    await at.broker.emit(Conductor.finished, { files: 1 });
    const where = ({ percent }: { percent: number }): boolean => percent > 10;
    await recorder.waitForNone(Conductor.progress, { where, until: Conductor.finished });
    await progress(20); // behind what ended the wait
    await recorder.waitFor(Conductor.progress, { where });
    await recorder.waitForNone(Conductor.progress, { where, until: Conductor.finished });
  });

  it("is told of at once when it does", async () => {
    const wait = recorder.waitForNone(Conductor.progress, { until: Conductor.finished, timeoutMs: 60_000 });
    const told = failure(wait);
    await progress(10);
    expect(await told).toContain("conductor.progress was not to happen. Recorded");
  });

  it("ends with time where that is all there is to wait for, and cannot hang for what never comes", async () => {
    await recorder.waitForNone(Conductor.progress, { until: 20 });
    const wait = recorder.waitForNone(Conductor.progress, { until: Conductor.finished, timeoutMs: 20 });
    expect(await failure(wait)).toContain("not recorded within 20 ms: conductor.finished");
  });
});

describe("time", () => {
  it("passes while a wait waits, where a fake clock moves it", async () => {
    clock = new FakeClock().install();
    recorder.record(at.bus);
    at.halfOpen();
    await recorder.waitFor("unresponsive", { timeoutMs: 60_000 });
    expect(clock.elapsed).toBeGreaterThanOrEqual(10_000);
    const before = clock.elapsed;
    await recorder.waitForNone("open", { until: 3_600_000 });
    expect(clock.elapsed).toBe(before + 3_600_000);
    await failure(recorder.waitFor("open"));
    expect(clock.elapsed).toBe(before + 3_604_000);
  });

  it("that a test runner has stopped does not make a wait hang", async () => {
    recorder.record(at.bus);
    vi.useFakeTimers();
    await failure(recorder.waitFor("closed", { timeoutMs: 20 }));
  });
});

it("records no more when it is closed, of one bus or of all", async () => {
  const other = await at.connect();
  const recording = recorder.record(at.bus, Conductor.finished);
  const otherRecording = recorder.record(other.bus, Conductor.finished);
  await Promise.all([recording.confirmed(), otherRecording.confirmed()]);
  recording.close();
  await at.broker.emit(Conductor.finished, { files: 1 });
  await recorder.waitFor(Conductor.finished, { bus: other.bus });
  recorder.close();
  await at.broker.emit(Conductor.finished, { files: 2 });
  const heard = new Promise((resolve) => other.bus.on(Conductor.finished, resolve));
  await other.bus.call(Conductor.ping).catch(() => {});
  await at.broker.emit(Conductor.finished, { files: 3 });
  await heard;
  expect(recorder.events.map(({ bus }) => bus)).toEqual([other.bus]);
});

it("shows payloads of every kind", async () => {
  const odd = event<"conductor.odd", unknown, unknown, "broker">({
    name: "conductor.odd",
    contract: Conductor.finished.contract,
  });
  await recorder.record(at.bus, odd).confirmed();
  await at.broker.emit(odd, {
    bytes: new Uint8Array(3),
    big: 2n ** 60n,
    map: new Map([[1, "a"]]),
    long: "x".repeat(500),
  });
  const [, line = ""] = (await failure(recorder.waitFor("closed", { timeoutMs: 5 }))).split("\n");
  expect(line).toContain('{"bytes":"3 bytes","big":"1152921504606846976n","map":[[1,"a"]],"long":"xxx');
  expect(line.endsWith("…")).toBe(true);
});
