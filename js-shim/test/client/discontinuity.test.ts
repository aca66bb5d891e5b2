/** A session that goes on, begins or is lost says so, with counts; requests that a stopping broker did not begin go to the next. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Ionbus } from "../../src/builtin.js";
import { MemoryListener } from "../../src/channels/memory.js";
import { type Bus, createBus, type StateChange } from "../../src/client/bus.js";
import { event } from "../../src/contract.js";
import { serve } from "../../src/dispatch/answer.js";
import { CallCancelled, CallTimeout, IonbusError, SessionLost } from "../../src/errors.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { createAcceptor } from "../../src/testing/acceptor.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { encodeEvent } from "../../src/wire/messages.js";
import { decode, encode } from "../../src/wire/values.js";
import { Conductor } from "../conductor.js";

const moved = event<"conductor.moved", { x: number }, { x: number }, "client">({
  name: "conductor.moved",
  contract: Conductor.__contract__,
  source: "client",
  delivery: "volatile",
});
const limits = { retryBaseMs: 1, retryCapMs: 5 };
let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker({ limits });
});
afterEach(() => broker.close());

/** The changes that tell what became of the session. */
function outcomes(bus: Bus): StateChange[] {
  const told: StateChange[] = [];
  bus.onState((change) => {
    if (change.outcome !== undefined) told.push(change);
  });
  return told;
}

test("a new broker process is told as a discontinuity, before anything of the new session", async () => {
  const heard: unknown[] = [];
  const told = outcomes(broker.bus);
  broker.bus.on(Ionbus.discontinuity, (event) => heard.push(event));
  broker.bus.on(Conductor.finished, (event) => heard.push(event));
  broker.handle(Conductor.execute, () => new Promise(() => {}));
  const call = broker.bus.call(Conductor.execute, { flow: "a" });
  await vi.waitFor(() => expect(told).toHaveLength(1));
  await broker.emit(Conductor.finished, { files: 1 });
  await vi.waitFor(() => expect(heard).toHaveLength(1));
  broker.restart();
  await expect(call).rejects.toBeInstanceOf(SessionLost);
  await vi.waitFor(() => expect(told).toHaveLength(2));
  await broker.emit(Conductor.finished, { files: 2 });
  await vi.waitFor(() => expect(heard).toHaveLength(3));
  expect(heard).toEqual([
    { files: 1 },
    { reason: "new_epoch", missed: null, lost_events: 0, lost_calls: 1 },
    { files: 2 },
  ]);
  expect(told.map(({ outcome, lostCalls, missed }) => [outcome, lostCalls, missed])).toEqual([
    ["fresh", 0, undefined],
    ["lost", 1, undefined],
  ]);
});

test("a discontinuity comes through patterns too", async () => {
  const told = outcomes(broker.bus);
  const names: string[] = [];
  broker.bus.on("ionbus.*", ({ name }) => names.push(name));
  await vi.waitFor(() => expect(told).toHaveLength(1));
  broker.restart();
  await vi.waitFor(() => expect(names).toEqual(["ionbus.discontinuity"]));
});

test("a session that goes on is none, and tells how much is sent again", async () => {
  const told = outcomes(broker.bus);
  const heard: unknown[] = [];
  broker.bus.on(Ionbus.discontinuity, (event) => heard.push(event));
  await vi.waitFor(() => expect(told).toHaveLength(1));
  broker.cut();
  await vi.waitFor(() => expect(told).toHaveLength(2));
  expect(told[1]).toMatchObject({ outcome: "resumed", resumed: true, lostEvents: 0, missed: undefined });
  expect(heard).toEqual([]);
});

test("what came in a session that is gone is neither refused nor paid for in the next one", async () => {
  const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
    findHandler: () => new IonbusError("nothing is handled here"),
    event() {},
    other: () => true,
    refused: (error) => refusals.push(error),
  }));
  const refusals: unknown[] = [];
  const printed = vi.spyOn(console, "error").mockImplementation(() => {});
  const listener = new MemoryListener(acceptor.accept);
  const bus = createBus(
    { open: listener.open, mayRenewToken: false },
    {
      limits: { ...limits, maxListeners: 1, creditMessages: 8 },
      validators: {
        "conductor.finished": {
          event: (payload) => ((payload as { files: number }).files < 0 ? [["files", "is wrong"]] : []),
        },
      },
    },
  );
  const told = outcomes(bus);
  let heard = 0;
  let free: (() => void) | undefined;
  const gate = new Promise<void>((resolve) => {
    free = resolve;
  });
  bus.on(Conductor.finished, () => {
    heard += 1;
    return gate;
  });
  await vi.waitFor(() => expect(told).toHaveLength(1));
  for (const files of [1, 2, 3, 4, 5, -1]) {
    const payload = encode({ files });
    void acceptor.sessions[0]?.peer.emit(
      encodeEvent("conductor.finished", payload),
      payload.length,
      "session",
    );
  }
  await vi.waitFor(() => expect(heard).toBe(1));
  acceptor.restart();
  listener.wire?.cut();
  await vi.waitFor(() => expect(told).toHaveLength(2));
  free?.();
  await vi.waitFor(() => expect(printed).toHaveBeenCalledTimes(1));
  expect(heard).toBe(5);
  await expect(bus.call(Conductor.ping)).rejects.toThrow("nothing is handled here");
  expect(refusals).toEqual([]);
  expect(told.map(({ outcome }) => outcome)).toEqual(["fresh", "lost"]);
  expect(acceptor.sessions[0]?.peer.engine.credit[1]).toBe(8);
  printed.mockRestore();
  await bus.close();
});

test("events that will never arrive are counted by name and reason", async () => {
  const told = outcomes(broker.bus);
  broker.isRefusing = true;
  const { bus } = broker;
  await bus.emit(moved, { x: 1 });
  await bus.emit(moved, { x: 2 });
  expect(bus.dropped).toEqual({ "conductor.moved": { absent: 2 } });
  broker.isRefusing = false;
  await vi.waitFor(() => expect(told).toHaveLength(1));
});

/** A broker that begins nothing, as one that stops, until `goOn` makes another one of it. */
function stoppingBroker() {
  const stopping = Object.assign(new IonbusError("the broker stops"), { code: "stopping" });
  const asked: string[] = [];
  let isStopping = true;
  const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
    findHandler(name, kind) {
      asked.push(name);
      if (isStopping) return stopping;
      const payload = { decodeRequest: decode, encodeAnswer: encode };
      return { kind, name, raises: [], serve, ...payload, run: () => (kind === "call" ? null : lines()) };
    },
    event() {},
    other: () => true,
    refused() {},
  }));
  const listener = new MemoryListener(acceptor.accept);
  const bus = createBus({ open: listener.open, mayRenewToken: false }, { limits });
  function goOn(): void {
    isStopping = false;
    acceptor.restart();
    listener.wire?.cut();
  }
  return { bus, asked, goOn };
}

async function* lines() {
  yield { line: 1 };
  yield { line: 2 };
}

test("requests that a stopping broker did not begin go to the next one", async () => {
  const { bus, asked, goOn } = stoppingBroker();
  const call = bus.call(Conductor.ping);
  const stream = bus.stream(Conductor.logs, { count: 2 });
  await vi.waitFor(() => expect(asked).toHaveLength(2));
  goOn();
  await expect(call).resolves.toBeNull();
  const read: unknown[] = [];
  for await (const line of stream) read.push(line);
  expect(read).toEqual([{ line: 1 }, { line: 2 }]);
  expect(asked).toEqual(["conductor.ping", "conductor.logs", "conductor.ping", "conductor.logs"]);
  await bus.close();
});

test("one that waits for the next broker times out in its time, and may be given up", async () => {
  const { bus, asked, goOn } = stoppingBroker();
  const late = bus.call(Conductor.ping, undefined, { timeoutMs: 60 });
  const isLate = expect(late).rejects.toBeInstanceOf(CallTimeout); // from now on: it may be over before the rest is
  const giver = new AbortController();
  const givenUp = bus.call(Conductor.ping, undefined, { signal: giver.signal });
  await vi.waitFor(() => expect(asked).toHaveLength(2));
  giver.abort();
  await expect(givenUp).rejects.toBeInstanceOf(CallCancelled);
  await isLate;
  goOn();
  await expect(bus.call(Conductor.ping)).resolves.toBeNull();
  expect(asked).toHaveLength(3); // neither was sent again
  await bus.close();
});
