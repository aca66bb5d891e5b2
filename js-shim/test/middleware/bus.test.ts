/** Middleware around a bus: what leaves, what arrives, and what becomes of it (docs/middleware.md). */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Bus } from "../../src/client/bus.js";
import { CallCancelled, CallTimeout, InternalError, InvalidPayload, NotAllowed } from "../../src/errors.js";
import {
  compose,
  drop,
  key,
  type Message,
  type Middleware,
  MiddlewareError,
  only,
} from "../../src/middleware/index.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { now } from "../../src/time.js";
import { Conductor, FlowInvalid } from "../conductor.js";

let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker();
  broker.handle(Conductor.ping, () => undefined);
});
afterEach(() => broker.close());

function connect(...middleware: readonly Middleware[]): Bus {
  return broker.connect({ middleware: compose(...middleware) });
}

/** Notes what passes. */
function watching(seen: string[], name = "mw"): Middleware {
  return async (message, next) => {
    seen.push(`${name} > ${message.direction} ${message.kind} ${message.name}`);
    const result = await next(message);
    seen.push(`${name} < ${message.name}`);
    return result;
  };
}

describe("what leaves", () => {
  it("passes before it is encoded, the first outermost", async () => {
    const seen: string[] = [];
    const bus = connect(watching(seen, "a"), watching(seen, "b"));
    broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
    expect(await bus.call(Conductor.execute, { flow: "abc" })).toEqual({ files: 3 });
    expect(seen).toEqual([
      ...["a > outbound call conductor.execute", "b > outbound call conductor.execute"],
      ...["b < conductor.execute", "a < conductor.execute"],
    ]);
  });

  it("is changed, answered and refused", async () => {
    broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
    const bus = connect(
      only(Conductor.execute, async (message, next) => {
        if (message.payload.flow === "known") return { files: 7 };
        if (message.payload.flow === "forbidden") throw new NotAllowed("not this one");
        const { files } = await next(message.replace({ payload: { flow: `${message.payload.flow}!` } }));
        return { files: files * 10 };
      }),
    );
    expect(await bus.call(Conductor.execute, { flow: "abc" })).toEqual({ files: 40 });
    expect(await bus.call(Conductor.execute, { flow: "known" })).toEqual({ files: 7 });
    await expect(bus.call(Conductor.execute, { flow: "forbidden" })).rejects.toThrow(NotAllowed);
  });

  it("tells its caller of a mistake", async () => {
    const bus = connect(async function forgetful() {
      return undefined as never;
    });
    await expect(bus.call(Conductor.ping)).rejects.toThrow(MiddlewareError);
    await expect(bus.call(Conductor.ping)).rejects.toThrow(
      "forgetful neither called next nor answered conductor.ping",
    );
  });

  it("is validated after middleware", async () => {
    const isShort = (payload: unknown) =>
      (payload as { flow: string }).flow.length < 5 ? [] : [["flow", "too long"] as const];
    const bus = broker.connect({
      validators: { "conductor.execute": { request: isShort } },
      middleware: compose(
        only(Conductor.execute, (message, next) => next(message.replace({ payload: { flow: "abcdef" } }))),
      ),
    });
    await expect(bus.call(Conductor.execute, { flow: "a" })).rejects.toThrow(InvalidPayload);
  });

  it("has the caller's time-out, signal and trace", async () => {
    const seen: Message["context"][] = [];
    const bus = connect((message, next) => {
      seen.push(message.context);
      return next(message.replace({ trace: "00-1-2-03" }));
    });
    broker.handle(Conductor.execute, (_, { trace }) => ({ files: trace === "00-1-2-03" ? 1 : 0 }));
    const began = now();
    expect(await bus.call(Conductor.execute, { flow: "" }, { timeoutMs: 5_000, trace: "t" })).toEqual({
      files: 1,
    });
    const [{ deadline, trace, requestId }] = seen as [Message["context"]];
    expect(deadline).toBeGreaterThanOrEqual(began + 5_000);
    expect([trace, requestId]).toEqual(["t", 0]);
  });

  it("is given up while middleware holds it", async () => {
    let signal: AbortSignal | undefined;
    const bus = connect((message) => {
      signal = message.context.signal;
      return new Promise<never>(() => {});
    });
    await expect(bus.call(Conductor.ping, null, { timeoutMs: 20 })).rejects.toThrow(CallTimeout);
    expect(signal?.aborted).toBe(true);
    const controller = new AbortController();
    const call = bus.call(Conductor.ping, null, { signal: controller.signal });
    controller.abort("enough");
    await expect(call).rejects.toMatchObject({ code: "call_cancelled", cause: "enough" });
    await expect(bus.call(Conductor.ping, null, { signal: controller.signal })).rejects.toThrow(
      CallCancelled,
    );
  });

  it("cancels the handler of what a middleware does not wait for", async () => {
    let begin = (): void => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const stopped = new Promise((resolve) => {
      broker.handle(Conductor.execute, (_, { signal }) => {
        signal.addEventListener("abort", () => resolve("stopped"));
        begin();
        return new Promise(() => {});
      });
    });
    const bus = connect(
      only(Conductor.execute, async (message, next) => {
        void next(message);
        await begun;
        return { files: 0 };
      }),
    );
    await expect(bus.call(Conductor.execute, { flow: "" })).rejects.toThrow(/returned while next was still/);
    expect(await stopped).toBe("stopped");
  });

  it("passes once an emit, and counts what is dropped", async () => {
    const heard: string[] = [];
    broker.on(Conductor.cancelled, ({ id }) => heard.push(id));
    const bus = connect(
      only(Conductor.cancelled, async (message, next) => {
        if (message.payload.id === "no") return drop("unwanted");
        return next(message.replace({ payload: { id: `${message.payload.id}!` } }));
      }),
    );
    await bus.emit(Conductor.cancelled, { id: "yes" });
    await bus.emit(Conductor.cancelled, { id: "no" });
    await bus.call(Conductor.ping);
    expect(heard).toEqual(["yes!"]);
    expect(bus.dropped).toEqual({ "conductor.cancelled": { unwanted: 1 } });
  });

  it("is a stream, whose items it may change", async () => {
    broker.handle(Conductor.logs, async function* ({ count }) {
      for (let line = 1; line <= count; line++) yield { line };
    });
    const bus = connect(
      only(Conductor.logs, async (message, next) => {
        const items = await next(message);
        return (async function* () {
          for await (const { line } of items) yield { line: line * 10 };
        })();
      }),
    );
    const lines: number[] = [];
    for await (const { line } of bus.stream(Conductor.logs, { count: 3 })) lines.push(line);
    expect(lines).toEqual([10, 20, 30]);
  });

  it("stops at the broker when a stream is left", async () => {
    let stopped: (() => void) | undefined;
    const isStopped = new Promise<void>((resolve) => {
      stopped = resolve;
    });
    broker.handle(Conductor.logs, async function* (_, { signal }) {
      signal.addEventListener("abort", () => stopped?.());
      for (let line = 0; ; line++) yield { line };
    });
    const bus = connect(watching([]));
    for await (const { line } of bus.stream(Conductor.logs, { count: 1 })) if (line === 2) break;
    await isStopped;
    const stream = bus.stream(Conductor.logs, { count: 1 });
    stream.close();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it("closes the items that middleware gives after the caller has given up", async () => {
    broker.handle(Conductor.logs, async function* () {});
    let open: (() => void) | undefined;
    const isOpen = new Promise<void>((resolve) => {
      open = resolve;
    });
    const returned = vi.fn(async () => ({ done: true, value: undefined }) as const);
    const bus = connect(
      only(Conductor.logs, async (message, next) => {
        await next(message);
        await isOpen;
        return {
          [Symbol.asyncIterator]: () => ({ next: async () => ({ value: { line: 1 } }), return: returned }),
        };
      }),
    );
    const giveUp = new AbortController();
    const stream = bus.stream(Conductor.logs, { count: 1 }, { signal: giveUp.signal });
    giveUp.abort();
    await expect(stream.next()).rejects.toThrow(CallCancelled);
    open?.();
    await vi.waitFor(() => expect(returned).toHaveBeenCalled());
  });
});

describe("what arrives", () => {
  beforeEach(() => {
    vi.spyOn(console, "error").mockImplementation(() => {});
  });

  it("is an event, which passes once for all of its listeners", async () => {
    const seen: string[] = [];
    const heard: unknown[] = [];
    const bus = connect(
      watching(seen),
      only(Conductor.finished, async (message, next) =>
        message.payload.files === 0
          ? drop("empty")
          : next(message.replace({ payload: { files: message.payload.files + 1 } })),
      ),
    );
    bus.on(Conductor.finished, (payload) => heard.push(payload));
    bus.on("conductor.*", (received) => heard.push(received));
    await bus.call(Conductor.ping);
    seen.length = 0;
    await broker.emit(Conductor.finished, { files: 1 });
    await broker.emit(Conductor.finished, { files: 0 });
    await bus.call(Conductor.ping);
    await vi.waitUntil(() => Object.keys(bus.dropped).length > 0);
    expect(heard).toEqual([{ files: 2 }, { name: "conductor.finished", payload: { files: 2 } }]);
    expect(seen.filter((line) => line.includes("> inbound event"))).toHaveLength(2);
    expect(bus.dropped).toEqual({ "conductor.finished": { empty: 1 } });
  });

  it("reaches who listens once, and who waits", async () => {
    const bus = connect(
      only(Conductor.finished, (message, next) =>
        next(message.replace({ payload: { files: message.payload.files * 2 } })),
      ),
    );
    const heard: number[] = [];
    const listen = ({ files }: { files: number }): number => heard.push(files);
    bus.once(Conductor.finished, listen);
    bus.on(Conductor.finished, listen);
    const waited = bus.waitFor(Conductor.finished, { where: ({ files }) => files === 4 });
    await bus.call(Conductor.ping);
    for (const files of [1, 2]) await broker.emit(Conductor.finished, { files });
    expect(await waited).toEqual({ files: 4 });
    expect(heard).toEqual([2, 2, 4]);
    expect(bus.off(Conductor.finished, listen)).toBe(1);
  });

  it("keeps the order of events, also where one is delayed", async () => {
    const heard: number[] = [];
    let go: (() => void) | undefined;
    const isFree = new Promise<void>((resolve) => {
      go = resolve;
    });
    const bus = connect(
      only(Conductor.finished, async (message, next) => {
        if (message.payload.files === 1) await isFree;
        await next(message);
      }),
    );
    const all = new Promise<void>((resolve) => {
      bus.on(Conductor.finished, ({ files }) => {
        heard.push(files);
        if (files === 3) resolve();
      });
    });
    await bus.call(Conductor.ping);
    for (const files of [1, 2, 3]) await broker.emit(Conductor.finished, { files });
    await bus.call(Conductor.ping);
    expect(heard).toEqual([]);
    go?.();
    await all;
    expect(heard).toEqual([1, 2, 3]);
  });

  it("is a call, whose handler finds what was noted", async () => {
    const user = key<string>("user");
    const bus = connect((message, next) => {
      message.state.set(user, "ada");
      return next(message);
    });
    bus.handle(Conductor.pickFile, ({ title }, { passage }) => ({ path: `${title} ${passage?.get(user)}` }));
    await bus.call(Conductor.ping);
    expect(await broker.call(Conductor.pickFile, { title: "for" })).toEqual({ path: "for ada" });
  });

  it.each([
    ["a refusal reaches the caller", () => new NotAllowed("no files today"), NotAllowed, "no files today"],
    ["a mistake does not", () => new TypeError("a secret"), InternalError, "pick_file failed"],
    [
      "nor does a declared error that is not this member's",
      () => new FlowInvalid({ node_ids: [] }),
      InternalError,
      "pick_file failed",
    ],
  ])("is a call: %s", async (_, make, expected, text) => {
    const bus = connect(
      only(Conductor.pickFile, { direction: "inbound" }, () => {
        throw make();
      }),
    );
    bus.handle(Conductor.pickFile, () => ({ path: null }));
    await bus.call(Conductor.ping);
    const answer = broker.call(Conductor.pickFile, { title: "" });
    await expect(answer).rejects.toThrow(expected);
    await expect(answer).rejects.toThrow(text);
  });

  it("is a call: what the handler throws stays its own", async () => {
    const seen: unknown[] = [];
    const bus = connect(async (message, next) => {
      try {
        return await next(message);
      } catch (error) {
        seen.push(error);
        throw error;
      }
    });
    const thrown = new NotAllowed("the handler's own");
    bus.handle(Conductor.pickFile, () => {
      throw thrown;
    });
    await bus.call(Conductor.ping);
    await expect(broker.call(Conductor.pickFile, { title: "" })).rejects.toThrow(InternalError);
    expect(seen).toEqual([thrown]);
  });

  it("is a stream", async () => {
    const bus = connect(
      only(Conductor.upload, async (message, next) => {
        const items = await next(message);
        return (async function* () {
          for await (const item of items) yield item + 1;
        })();
      }),
    );
    bus.handle(Conductor.upload, async function* () {
      yield 1;
      yield 2;
    });
    await bus.call(Conductor.ping);
    const items: number[] = [];
    for await (const item of broker.stream(Conductor.upload)) items.push(item);
    expect(items).toEqual([2, 3]);
  });

  it("tells of an event's middleware that fails, and goes on with the next event", async () => {
    const heard: number[] = [];
    const bus = connect(
      only(Conductor.finished, async (message, next) => {
        if (message.payload.files === 1) throw new Error("broken");
        await next(message);
      }),
    );
    const isHeard = new Promise<void>((resolve) => {
      bus.on(Conductor.finished, ({ files }) => {
        heard.push(files);
        resolve();
      });
    });
    await bus.call(Conductor.ping);
    await broker.emit(Conductor.finished, { files: 1 });
    await broker.emit(Conductor.finished, { files: 2 });
    await isHeard;
    expect(heard).toEqual([2]);
    expect(vi.mocked(console.error).mock.calls.flat().map(String).join(" ")).toContain("broken");
  });
});

describe("compose and only", () => {
  it.each([
    [
      "what is no function",
      () => compose(5 as never),
      "middleware is a function, (message, next) => …, not 5",
    ],
    ["a malformed pattern", () => only("conductor.", (message, next) => next(message)), "only: "],
    ["what passes nowhere", () => only(7 as never), "only: takes a member, a contract or a pattern, not 7"],
    ["a drop without a reason", () => drop(""), 'drop() takes a reason, as drop("too_old")'],
  ])("refuse %s", (_, make, text) => {
    expect(make).toThrow(text);
    expect(make).toThrow(TypeError);
  });

  it("are for contracts, patterns, kinds and directions", async () => {
    const seen: string[] = [];
    const bus = connect(
      only(Conductor, watching(seen, "contract")),
      only("conductor.*", { kind: "event" }, watching(seen, "events")),
      only("**", { direction: "inbound" }, watching(seen, "inbound")),
      only("other.**", watching(seen, "other")),
    ) as Bus;
    await bus.call(Conductor.ping);
    await bus.emit(Conductor.cancelled, { id: "" });
    expect(seen.filter((line) => line.includes(">"))).toEqual([
      "contract > outbound call conductor.ping",
      "contract > outbound event conductor.cancelled",
      "events > outbound event conductor.cancelled",
    ]);
  });

  it("are one middleware, and can be composed again", async () => {
    const seen: string[] = [];
    const bus = connect(compose(watching(seen, "a"), compose(watching(seen, "b"))), watching(seen, "c"));
    await bus.call(Conductor.ping);
    expect(seen.map((line) => line.slice(0, 3))).toEqual(["a >", "b >", "c >", "c <", "b <", "a <"]);
  });
});

it("costs a bus without middleware nothing: it is the bus itself", async () => {
  const inside = broker.connect();
  expect(Object.getPrototypeOf(inside)).toBe(Object.prototype);
  const outside = connect();
  expect(outside.state).toBe("connecting");
  await outside.call(Conductor.ping);
  expect(outside.state).toBe("open");
});
