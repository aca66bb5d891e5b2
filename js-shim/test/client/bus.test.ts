import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StateChange } from "../../src/client/bus.js";
import {
  CallCancelled,
  CallTimeout,
  ConnectionLost,
  InternalError,
  InvalidPayload,
  NotAllowed,
  NotFound,
  SessionLost,
} from "../../src/errors.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { Conductor, FlowInvalid } from "../conductor.js";

let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker();
});
afterEach(() => broker.close());

/** Resolves when the bus is in a state. */
function reached(state: StateChange["to"], bus = broker.bus): Promise<StateChange | undefined> {
  if (bus.state === state) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const stop = bus.onState((change) => {
      if (change.to !== state) return;
      stop();
      resolve(change);
    });
  });
}

describe("call", () => {
  it("tells why there is no connection when it times out", async () => {
    broker.isRefusing = true;
    const result = broker.bus.call(Conductor.ping, undefined, { timeoutMs: 50 });
    await expect(result).rejects.toThrow(/not answered within 50 ms; there is no connection: \w+/);
  });

  it("gives the result", async () => {
    broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
    await expect(broker.bus.call(Conductor.execute, { flow: "abc" })).resolves.toEqual({ files: 3 });
  });

  it("leaves out nothing", async () => {
    broker.handle(Conductor.ping, () => undefined);
    await expect(broker.bus.call(Conductor.ping)).resolves.toBeNull();
  });

  it("carries binary of more than one transfer both ways", async () => {
    broker.handle(Conductor.echo, (bytes) => bytes);
    const sent = new Uint8Array(3_000_000).map((_, index) => index % 251);
    const received = await broker.bus.call(Conductor.echo, sent);
    expect(Buffer.compare(received, sent)).toBe(0);
  });

  it("rejects with a declared error and its fields", async () => {
    broker.handle(Conductor.execute, () => {
      throw new FlowInvalid({ node_ids: ["a"] });
    });
    const error = await broker.bus.call(Conductor.execute, { flow: "" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FlowInvalid);
    expect((error as FlowInvalid).node_ids).toEqual(["a"]);
  });

  it("tells of an undeclared error nothing but an incident", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    broker.handle(Conductor.execute, () => {
      throw new Error("the password is swordfish");
    });
    const error = await broker.bus.call(Conductor.execute, { flow: "" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InternalError);
    expect((error as InternalError).incidentId).not.toBe("");
    expect(String(error)).not.toContain("swordfish");
    expect(log).toHaveBeenCalledOnce();
  });

  it("rejects where nobody handles it", async () => {
    await expect(broker.bus.call(Conductor.ping)).rejects.toBeInstanceOf(NotFound);
  });

  it("times out, and tells the handler", async () => {
    const stopped = new Promise<void>((resolve) => {
      broker.handle(Conductor.ping, (_, { signal }) => {
        signal.addEventListener("abort", () => resolve());
        return new Promise<null>(() => {});
      });
    });
    const result = broker.bus.call(Conductor.ping, null, { timeoutMs: 5 });
    await expect(result).rejects.toBeInstanceOf(CallTimeout);
    await stopped;
  });

  it("is given up by its signal, with the reason", async () => {
    const controller = new AbortController();
    const reason = new Error("the user left");
    broker.handle(Conductor.ping, (_, { signal }) => {
      const stopped = new Promise<null>((resolve) => signal.addEventListener("abort", () => resolve(null)));
      controller.abort(reason);
      return stopped;
    });
    const error = await broker.bus
      .call(Conductor.ping, null, { signal: controller.signal })
      .catch((given: unknown) => given);
    expect(error).toBeInstanceOf(CallCancelled);
    expect((error as CallCancelled).cause).toBe(reason);
  });

  it("does not begin with an aborted signal", async () => {
    const handler = vi.fn(() => null);
    broker.handle(Conductor.ping, handler);
    const call = broker.bus.call(Conductor.ping, null, { signal: AbortSignal.abort() });
    await expect(call).rejects.toBeInstanceOf(CallCancelled);
    expect(handler).not.toHaveBeenCalled();
  });

  it("is refused before it is sent where the payload cannot travel", async () => {
    const flow = { flow: Symbol("no") as unknown as string };
    const error = await broker.bus.call(Conductor.execute, flow).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidPayload);
    expect((error as InvalidPayload).paths[0]?.[0]).toBe("flow");
    expect(String(error)).toContain("conductor.execute");
  });

  it("works out of the broker's hands: it calls the client", async () => {
    broker.bus.handle(Conductor.pickFile, async ({ title }) => ({ path: `/${title}` }));
    await reached("open");
    await expect(broker.call(Conductor.pickFile, { title: "a" })).resolves.toEqual({ path: "/a" });
  });
});

describe("validators", () => {
  const validators = {
    "conductor.execute": {
      request: (payload: unknown) =>
        (payload as { flow: string }).flow === "" ? [["flow", "is empty"] as const] : [],
      answer: (payload: unknown) =>
        (payload as { files: number }).files < 0 ? [["files", "is negative"] as const] : [],
    },
  };

  it("check what is sent", async () => {
    const bus = broker.connect({ validators });
    const error = await bus.call(Conductor.execute, { flow: "" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidPayload);
    expect(String(error)).toContain("conductor.execute: flow: is empty (payload refused before it was sent)");
  });

  it("that fail themselves are told of on their own side alone", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const fails = (): never => {
      throw new Error("the password is swordfish");
    };
    const bus = broker.connect({ validators: { "conductor.finished": { event: fails } } });
    bus.on(Conductor.finished, () => {});
    await roundTrip(bus);
    await broker.emit(Conductor.finished, { files: 1 });
    await roundTrip(bus);
    const lines = log.mock.calls.map((told) => told.map(String).join(" "));
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/incident [0-9a-f]{12}: an event's validation failed:.*swordfish/);
    expect(lines[1]).toContain("an event's validation failed; the reason is in its log, under");
    expect(lines[1]).not.toContain("swordfish");
  });

  it("check what arrives", async () => {
    broker.handle(Conductor.execute, () => ({ files: -1 }));
    const bus = broker.connect({ validators });
    await expect(bus.call(Conductor.execute, { flow: "a" })).rejects.toThrow("files: is negative");
  });
});

describe("events", () => {
  it("reach their listeners in order", async () => {
    const received: number[] = [];
    broker.bus.on(Conductor.finished, ({ files }) => received.push(files));
    await roundTrip();
    for (const files of [1, 2, 3]) await broker.emit(Conductor.finished, { files });
    await roundTrip();
    expect(received).toEqual([1, 2, 3]);
  });

  it("are in force before a call that follows is handled", async () => {
    const received: number[] = [];
    broker.handle(Conductor.execute, async () => {
      await broker.emit(Conductor.finished, { files: 7 });
      return { files: 7 };
    });
    broker.bus.on(Conductor.finished, ({ files }) => received.push(files));
    await broker.bus.call(Conductor.execute, { flow: "" });
    expect(received).toEqual([7]);
  });

  it("come with their names to who listens to a contract or a pattern", async () => {
    const received: unknown[] = [];
    broker.bus.on(Conductor, ({ name }) => received.push(name));
    broker.bus.on("conductor.*", ({ payload }) => received.push(payload));
    await roundTrip();
    await broker.emit(Conductor.finished, { files: 1 });
    await roundTrip();
    expect(received).toEqual(["conductor.finished", { files: 1 }]);
  });

  it("are given in their newest form to who comes late", async () => {
    await broker.emit(Conductor.progress, { node: "a", percent: 1 });
    await broker.emit(Conductor.progress, { node: "a", percent: 2 });
    await broker.emit(Conductor.progress, { node: "b", percent: 3 });
    const received: unknown[] = [];
    broker.bus.on(Conductor.progress, (payload) => received.push(payload));
    await roundTrip();
    await roundTrip();
    expect(received).toEqual([
      { node: "a", percent: 2 },
      { node: "b", percent: 3 },
    ]);
  });

  it("arrive before the result of the handler that emits them, however large", async () => {
    const nodes: number[] = [];
    broker.bus.on(Conductor.progress, ({ node }) => nodes.push(node.length));
    broker.handle(Conductor.execute, async () => {
      await broker.emit(Conductor.progress, { node: "x".repeat(1_000_000), percent: 1 });
      return { files: 0 };
    });
    await broker.bus.call(Conductor.execute, { flow: "" });
    expect(nodes).toEqual([1_000_000]);
  });

  it("that are on their way leave before the bus is closed", async () => {
    const ids: number[] = [];
    broker.on(Conductor.cancelled, ({ id }) => ids.push(id.length));
    const bus = broker.bus;
    await reached("open");
    const emitted = bus.emit(Conductor.cancelled, { id: "x".repeat(1_000_000) });
    await bus.close();
    await emitted;
    await vi.waitFor(() => expect(ids).toEqual([1_000_000]));
  });

  it("come no more after the subscription has closed", async () => {
    const listener = vi.fn();
    const stop = broker.bus.on(Conductor.finished, listener);
    await roundTrip();
    stop();
    stop.close();
    await broker.emit(Conductor.finished, { files: 1 });
    await roundTrip();
    expect(listener).not.toHaveBeenCalled();
  });

  it("that waited for a subscription do not come after it has closed", async () => {
    const bus = broker.connect({ limits: { maxListeners: 1 } });
    const listener = vi.fn();
    let finish = (): void => {};
    bus.on(
      Conductor.finished,
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const stop = bus.on(Conductor.finished, listener);
    await roundTrip(bus);
    await broker.emit(Conductor.finished, { files: 1 });
    await broker.emit(Conductor.finished, { files: 2 });
    await roundTrip(bus);
    expect(listener).toHaveBeenCalledOnce();
    stop();
    finish();
    await roundTrip(bus);
    expect(listener).toHaveBeenCalledOnce();
  });

  it("that one listener fails at reach the others", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const listener = vi.fn();
    broker.bus.on(Conductor.finished, () => {
      throw new Error("no");
    });
    broker.bus.on(Conductor.finished, listener);
    await roundTrip();
    await broker.emit(Conductor.finished, { files: 1 });
    await roundTrip();
    expect(listener).toHaveBeenCalledOnce();
    expect(log).toHaveBeenCalledOnce();
  });

  it("of a client reach the broker, and never their sender", async () => {
    const atBroker = vi.fn();
    const atSender = vi.fn();
    const atOther = vi.fn();
    broker.on(Conductor.cancelled, atBroker);
    const other = broker.connect();
    other.on(Conductor.cancelled, atOther);
    broker.bus.on(Conductor.cancelled, atSender);
    await Promise.all([roundTrip(), roundTrip(other)]);
    await broker.bus.emit(Conductor.cancelled, { id: "a" });
    await Promise.all([roundTrip(), roundTrip(other)]);
    await roundTrip(other);
    expect(atBroker).toHaveBeenCalledWith({ id: "a" });
    expect(atOther).toHaveBeenCalledWith({ id: "a" });
    expect(atSender).not.toHaveBeenCalled();
  });

  it("of the broker are not a client's to publish", async () => {
    const emit = broker.bus.emit as (event: unknown, payload: unknown) => Promise<void>;
    await expect(emit(Conductor.finished, { files: 1 })).rejects.toBeInstanceOf(NotAllowed);
  });

  it("wait for credit where they are emitted", async () => {
    const slow = fakeBroker({ limits: { creditMessages: 4 } });
    const received: string[] = [];
    slow.on(Conductor.cancelled, ({ id }) => received.push(id));
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => slow.bus.emit(Conductor.cancelled, { id: `${index}` })),
    );
    slow.handle(Conductor.ping, () => null);
    await slow.bus.call(Conductor.ping);
    expect(received).toEqual(Array.from({ length: 50 }, (_, index) => `${index}`));
    await slow.close();
  });
});

describe("streams", () => {
  async function* count({ count: last }: { count: number }): AsyncGenerator<{ line: number }> {
    for (let line = 1; line <= last; line += 1) yield { line };
  }

  it("give their items in order, then end", async () => {
    broker.handle(Conductor.logs, count);
    const lines: number[] = [];
    for await (const { line } of broker.bus.stream(Conductor.logs, { count: 500 })) lines.push(line);
    expect(lines).toEqual(Array.from({ length: 500 }, (_, index) => index + 1));
  });

  it("are held back by a reader that does not read", async () => {
    let made = 0;
    broker.handle(Conductor.logs, async function* () {
      for (;;) {
        made += 1;
        yield { line: made };
      }
    });
    broker.handle(Conductor.ping, () => null);
    const stream = broker.bus.stream(Conductor.logs, { count: 0 });
    await stream.next();
    for (let turn = 0; turn < 20; turn += 1) await broker.bus.call(Conductor.ping);
    expect(made).toBeLessThan(100);
    stream.close();
  });

  it("stop their handler when the loop is left", async () => {
    const finished = vi.fn();
    const stopped = new Promise<void>((resolve) => {
      broker.handle(Conductor.logs, async function* (_, { signal }) {
        signal.addEventListener("abort", () => resolve());
        try {
          for (let line = 1; ; line += 1) yield { line };
        } finally {
          finished();
        }
      });
    });
    for await (const { line } of broker.bus.stream(Conductor.logs, { count: 0 })) if (line === 3) break;
    await stopped;
    await roundTrip();
    expect(finished).toHaveBeenCalledOnce();
  });

  it("end with their handler's error, behind the items", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    broker.handle(Conductor.logs, async function* () {
      yield { line: 1 };
      throw new Error("no");
    });
    const lines: number[] = [];
    const read = async (): Promise<void> => {
      for await (const { line } of broker.bus.stream(Conductor.logs, { count: 0 })) lines.push(line);
    };
    await expect(read()).rejects.toBeInstanceOf(InternalError);
    expect(lines).toEqual([1]);
  });

  it("are served by the client too", async () => {
    broker.bus.handle(Conductor.upload, async function* () {
      yield* [1, 2, 3];
    });
    await reached("open");
    const items: number[] = [];
    for await (const item of broker.stream(Conductor.upload)) items.push(item);
    expect(items).toEqual([1, 2, 3]);
  });
});

describe("handlers", () => {
  it("are one a call", () => {
    const stop = broker.bus.handle(Conductor.pickFile, () => ({ path: null }));
    expect(() => broker.bus.handle(Conductor.pickFile, () => ({ path: null }))).toThrow(NotAllowed);
    stop();
    broker.bus.handle(Conductor.pickFile, () => ({ path: null }));
  });

  it("of the broker's calls are not a client's", () => {
    const handle = broker.bus.handle as (call: unknown, handler: () => unknown) => unknown;
    expect(() => handle(Conductor.ping, () => null)).toThrow(NotAllowed);
  });
});

describe("the connection", () => {
  it("goes on where it was after a cut, with nothing lost, doubled or reordered", async () => {
    const received: number[] = [];
    let answer: ((value: { files: number }) => void) | undefined;
    broker.handle(
      Conductor.execute,
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    broker.bus.on(Conductor.finished, ({ files }) => received.push(files));
    const call = broker.bus.call(Conductor.execute, { flow: "" });
    await vi.waitUntil(() => answer !== undefined);
    await broker.emit(Conductor.finished, { files: 1 });
    broker.cut();
    await broker.emit(Conductor.finished, { files: 2 });
    answer?.({ files: 9 });
    expect(broker.bus.state).toBe("reconnecting");
    const change = await reached("open");
    expect(change?.resumed).toBe(true);
    await expect(call).resolves.toEqual({ files: 9 });
    expect(received).toEqual([1, 2]);
  });

  it("begins anew with another broker: subscriptions again, what left is lost, what did not is sent", async () => {
    const received: number[] = [];
    let begun = false;
    broker.handle(Conductor.execute, () => {
      begun = true;
      return new Promise(() => {});
    });
    broker.handle(Conductor.ping, () => null);
    broker.bus.on(Conductor.finished, ({ files }) => received.push(files));
    const left = broker.bus.call(Conductor.execute, { flow: "" });
    left.catch(() => {});
    await vi.waitUntil(() => begun);
    broker.restart();
    const waits = broker.bus.call(Conductor.ping);
    const change = await reached("open");
    expect(change).toMatchObject({ outcome: "lost", resumed: false, code: "new_epoch" });
    await expect(left).rejects.toBeInstanceOf(SessionLost);
    await expect(waits).resolves.toBeNull();
    await broker.emit(Conductor.finished, { files: 3 });
    await roundTrip();
    expect(received).toEqual([3]);
  });

  it("tells each change once, and why", async () => {
    const changes: string[] = [];
    broker.bus.onState(({ from, to, reason }) => changes.push(`${from} ${to} ${reason ?? "-"}`));
    await reached("open");
    broker.cut();
    await reached("open");
    await broker.bus.close();
    expect(changes).toEqual([
      "connecting open -",
      "open reconnecting the memory channel was cut",
      "reconnecting open -",
      "open closed closed by the application",
    ]);
  });

  it("retries while it is refused", async () => {
    const refusing = fakeBroker({ limits: { retryBaseMs: 1, retryCapMs: 2 } });
    refusing.isRefusing = true;
    refusing.handle(Conductor.ping, () => null);
    const call = refusing.bus.call(Conductor.ping);
    await vi.waitUntil(() => refusing.attempts > 3);
    expect(refusing.bus.state).toBe("connecting");
    refusing.isRefusing = false;
    await expect(call).resolves.toBeNull();
    await refusing.close();
  });

  it("tries at once where it is told to, instead of after the wait", async () => {
    const bus = broker.connect({ limits: { retryBaseMs: 3_600_000, retryCapMs: 3_600_000 } });
    await reached("open", bus);
    broker.isRefusing = true;
    broker.cut();
    expect(bus.state).toBe("reconnecting");
    broker.isRefusing = false;
    const back = reached("open", bus);
    bus.reconnect();
    await back;
    bus.reconnect(); // there is nothing to wait for
    expect(bus.state).toBe("open");
  });

  it("fails what waits when it is closed, and what comes after", async () => {
    broker.handle(Conductor.ping, () => new Promise<null>(() => {}));
    const call = broker.bus.call(Conductor.ping);
    const stream = broker.bus.stream(Conductor.logs, { count: 1 });
    const item = stream.next();
    call.catch(() => {});
    item.catch(() => {});
    await broker.bus.close();
    await expect(call).rejects.toBeInstanceOf(ConnectionLost);
    await expect(item).rejects.toBeInstanceOf(ConnectionLost);
    await expect(broker.bus.call(Conductor.ping)).rejects.toBeInstanceOf(ConnectionLost);
    await expect(broker.bus.emit(Conductor.cancelled, { id: "" })).rejects.toBeInstanceOf(ConnectionLost);
    expect(broker.bus.state).toBe("closed");
  });
});

/** Wait until what was sent before has gone there and back. */
async function roundTrip(bus = broker.bus): Promise<void> {
  const stop = broker.handle(Conductor.ping, () => null);
  await bus.call(Conductor.ping);
  stop();
}
