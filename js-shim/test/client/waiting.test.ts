import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Bus } from "../../src/client/bus.js";
import { event } from "../../src/contract.js";
import { CallCancelled, CallTimeout, ConnectionLost, InternalError } from "../../src/errors.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { Conductor, FlowInvalid } from "../conductor.js";

let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker();
});
afterEach(() => broker.close());

/** What a promise rejects with. */
function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
}

describe("a request that waits for its turn", () => {
  let bus: Bus;
  let free: (() => void) | undefined;
  let first: Promise<unknown>;
  let pings = 0;

  beforeEach(async () => {
    pings = 0;
    bus = broker.connect({ limits: { maxRequests: 1 } });
    const begun = new Promise<void>((begin) => {
      broker.handle(Conductor.ping, () => {
        pings += 1;
        begin();
        return pings > 1 ? null : new Promise<null>((resolve) => (free = () => resolve(null)));
      });
    });
    first = bus.call(Conductor.ping);
    await begun;
  });

  it("times out", async () => {
    const error = await failure(bus.call(Conductor.ping, null, { timeoutMs: 5 }));
    expect(error).toBeInstanceOf(CallTimeout);
    expect(String(error)).toContain("1 requests are under way");
    free?.();
    await first;
    expect(pings).toBe(1);
  });

  it("is given up by its signal", async () => {
    const controller = new AbortController();
    const error = failure(bus.call(Conductor.ping, null, { signal: controller.signal }));
    controller.abort(new Error("the user left"));
    expect(await error).toBeInstanceOf(CallCancelled);
    free?.();
    await first;
    expect(pings).toBe(1);
  });

  it("is never asked for where it is a stream that was closed", async () => {
    const asked = vi.fn();
    broker.handle(Conductor.logs, async function* () {
      asked();
      yield { line: 1 };
    });
    const stream = bus.stream(Conductor.logs, { count: 1 });
    stream.close();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    free?.();
    await first;
    await bus.call(Conductor.ping);
    expect(asked).not.toHaveBeenCalled();
  });

  it("goes in its turn, and fails with the bus", async () => {
    const second = bus.call(Conductor.ping);
    free?.();
    await expect(second).resolves.toBeNull();
    const stuck = new Promise<null>(() => {});
    broker.handle(Conductor.echo, () => stuck as never);
    const third = failure(bus.call(Conductor.echo, new Uint8Array()));
    const fourth = failure(bus.call(Conductor.ping));
    await bus.close();
    expect(await third).toBeInstanceOf(ConnectionLost);
    expect(await fourth).toBeInstanceOf(ConnectionLost);
  });
});

describe("a time-out", () => {
  it("that is none is refused", async () => {
    for (const timeoutMs of [Number.NaN, "5" as unknown as number]) {
      const error = await failure(broker.bus.call(Conductor.ping, null, { timeoutMs }));
      expect(error).toBeInstanceOf(TypeError);
      expect(String(error)).toContain("conductor.ping");
    }
  });

  it("without end is none", async () => {
    broker.handle(Conductor.ping, () => null);
    for (const timeoutMs of [Number.POSITIVE_INFINITY, 1e300])
      await expect(broker.bus.call(Conductor.ping, null, { timeoutMs })).resolves.toBeNull();
  });
});

it("answers with an internal error where a declared one cannot travel", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  broker.handle(Conductor.execute, () => {
    throw new FlowInvalid({ node_ids: [(() => {}) as unknown as string] });
  });
  const error = await failure(broker.bus.call(Conductor.execute, { flow: "" }, { timeoutMs: 1000 }));
  expect(error).toBeInstanceOf(InternalError);
});

it("keeps latest events apart by keys that are no text", async () => {
  const heard: unknown[] = [];
  interface Move {
    at: { x: number };
    by: number;
  }
  const moved = event<"conductor.moved", Move, Move, "client">({
    name: "conductor.moved",
    contract: Conductor.cancelled.contract,
    delivery: "latest",
    source: "client",
    key: ["at"],
  });
  broker.on(moved, (payload) => heard.push(payload));
  const sent = [1, 2, 1].map((x, by) => broker.bus.emit(moved, { at: { x }, by })); // not connected yet
  await Promise.all(sent);
  await vi.waitFor(() => expect(heard).toHaveLength(2));
  expect(heard).toEqual(expect.arrayContaining([1, 2].map((by) => expect.objectContaining({ by }))));
});

it("refuses what is no member of the kind, by name", async () => {
  // biome-ignore lint/suspicious/noExplicitAny: what a program in JavaScript may do
  const bus = broker.bus as any;
  await expect(bus.call(Conductor.finished)).rejects.toThrow(
    "bus.call: takes a call of a contract, not the event conductor.finished",
  );
  await expect(bus.call("conductor.ping")).rejects.toThrow("bus.call: takes a call of a contract");
  await expect(bus.emit(Conductor.ping)).rejects.toThrow("bus.emit: takes an event");
  expect(() => bus.stream(undefined)).toThrow("bus.stream: takes a stream");
  expect(() => bus.on(Conductor.ping, () => {})).toThrow("bus.on: takes an event");
  expect(() => bus.on(null, () => {})).toThrow("bus.on: takes an event");
  expect(() => bus.on(Conductor.finished)).toThrow("bus.on: undefined is no function");
  expect(() => bus.handle(Conductor.pickFile)).toThrow("conductor.pick_file: undefined is no function");
  expect(() => bus.handle(5, () => {})).toThrow("bus.handle: takes a call");
});
