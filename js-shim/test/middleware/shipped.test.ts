/** The middleware that ships: what each does, in time that the tests make (docs/middleware.md). */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { call } from "../../src/contract.js";
import { CallTimeout, ConnectionLost, InvalidPayload, NotAllowed } from "../../src/errors.js";
import {
  CircuitOpen,
  cache,
  circuitBreaker,
  compose,
  Dropped,
  deduplicate,
  isTransient,
  type Kind,
  logging,
  type Middleware,
  MiddlewareError,
  type Passage,
  RateLimited,
  rateLimit,
  retry,
  timeout,
  validation,
} from "../../src/middleware/index.js";
import { createMessage, type End } from "../../src/middleware/message.js";
import { Conductor } from "../conductor.js";

const Idempotent = call<"conductor.look", string, { n: number }, "broker">({
  name: "conductor.look",
  contract: Conductor.__contract__,
  idempotent: true,
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Passing {
  readonly kind?: Kind;
  readonly payload?: unknown;
  readonly deadline?: number | null;
  readonly signal?: AbortSignal;
}

/** Let a message of an idempotent call, or of another kind, pass. */
function pass(middleware: Middleware, end: End, passing: Passing = {}): Promise<unknown> {
  const { kind = "call", payload = "x", deadline = null, signal } = passing;
  const context = { requestId: 0, deadline, trace: undefined, signal };
  const message = createMessage({
    kind,
    direction: "outbound",
    name: Idempotent.name,
    member: Idempotent,
    payload,
    context,
  });
  return compose(middleware)(message, end) as Promise<unknown>;
}

function failing(times: number, error: Error = new ConnectionLost("gone")): End & { readonly calls: number } {
  let calls = 0;
  const end: End = async () => {
    calls += 1;
    if (calls <= times) throw error;
    return { n: calls };
  };
  return Object.defineProperty(end, "calls", { get: () => calls }) as End & { readonly calls: number };
}

describe("retry", () => {
  const every = { attempts: 3, firstMs: 100, spread: () => 0 };

  it("tries again after pauses that double", async () => {
    const end = failing(2);
    const result = pass(retry(every), end);
    await vi.advanceTimersByTimeAsync(99);
    expect(end.calls).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(end.calls).toBe(2);
    await vi.advanceTimersByTimeAsync(200);
    expect(await result).toEqual({ n: 3 });
  });

  it.each([
    ["after so many attempts", failing(5), {}, 3],
    ["at once where the error will not pass", failing(5, new NotAllowed("no")), {}, 1],
    ["at once where the deadline would", failing(5), { deadline: 150 }, 2],
  ])("gives up %s", async (_, end, passing, calls) => {
    const result = pass(retry(every), end, { ...passing, ...deadlineFromNow(passing) });
    result.catch(() => {});
    await vi.advanceTimersByTimeAsync(10_000);
    await expect(result).rejects.toThrow();
    expect(end.calls).toBe(calls);
  });

  it("waits as long as the error says", async () => {
    const end = failing(1, new RateLimited("too much", 2_000));
    const result = pass(retry(every), end);
    await vi.advanceTimersByTimeAsync(1_999);
    expect(end.calls).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await result).toEqual({ n: 2 });
  });

  it("passes what is not idempotent once", async () => {
    const end = failing(1);
    const message = createMessage({
      ...{
        kind: "call",
        direction: "outbound",
        name: Conductor.ping.name,
        member: Conductor.ping,
        payload: null,
      },
      context: { requestId: 0, deadline: null, trace: undefined, signal: undefined },
    });
    await expect(compose(retry(every))(message, end)).rejects.toThrow(ConnectionLost);
    expect(end.calls).toBe(1);
  });

  it("stops when it is given up", async () => {
    const controller = new AbortController();
    const result = pass(retry(every), failing(5), { signal: controller.signal });
    result.catch(() => {});
    await vi.advanceTimersByTimeAsync(50);
    controller.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
  });
});

function deadlineFromNow({ deadline }: Passing): Passing {
  return typeof deadline === "number" ? { deadline: performance.now() + deadline } : {};
}

describe("timeout", () => {
  it("gives up what takes longer, and tells it so", async () => {
    let signal: AbortSignal | undefined;
    const result = pass(timeout(100), (message) => {
      signal = message.context.signal;
      return new Promise(() => {});
    });
    result.catch(() => {});
    await vi.advanceTimersByTimeAsync(100);
    await expect(result).rejects.toThrow(CallTimeout);
    expect(signal?.aborted).toBe(true);
  });

  it("passes on that its caller has given up already", async () => {
    let reason: unknown;
    const end: End = async ({ context }) => {
      reason = context.signal?.reason;
      return { n: 1 };
    };
    await pass(timeout(100), end, { signal: AbortSignal.abort("enough") });
    expect(reason).toBe("enough");
  });

  it("takes a time that is longer than a timer's for none", async () => {
    const result = pass(timeout(Number.POSITIVE_INFINITY), () => new Promise(() => {}));
    const ended = vi.fn();
    result.then(ended, ended);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ended).not.toHaveBeenCalled();
  });

  it("tells the other side of its deadline, if it is the earlier", async () => {
    const deadlines: unknown[] = [];
    const end: End = async ({ context }) => {
      deadlines.push(context.deadline);
      return { n: 1 };
    };
    const soon = performance.now() + 10;
    await pass(timeout(100), end, { deadline: soon });
    await pass(timeout(100), end);
    expect(deadlines).toEqual([soon, performance.now() + 100]);
  });

  it("counts for each item of a stream", async () => {
    const items = (await pass(
      timeout(100),
      async () =>
        (async function* () {
          yield 1;
          await new Promise(() => {});
        })(),
      { kind: "stream" },
    )) as AsyncIterator<unknown>;
    expect((await items.next()).value).toBe(1);
    const late = items.next();
    late.catch(() => {});
    await vi.advanceTimersByTimeAsync(100);
    await expect(late).rejects.toThrow("no item came within 100 ms");
  });
});

describe("rateLimit", () => {
  it("refuses what is too much, and says when it would pass", async () => {
    const limited = rateLimit({ rate: 2 });
    await pass(limited, failing(0));
    await pass(limited, failing(0));
    await expect(pass(limited, failing(0))).rejects.toMatchObject({
      code: "rate_limited",
      retryAfterMs: 500,
    });
    await vi.advanceTimersByTimeAsync(500);
    await pass(limited, failing(0));
  });

  it("drops events", async () => {
    const limited = rateLimit({ rate: 1 });
    const end: End = async () => undefined;
    expect(await pass(limited, end, { kind: "event" })).toBeUndefined();
    expect(await pass(limited, end, { kind: "event" })).toEqual(new Dropped("rate_limited"));
  });

  it("delays instead, unless the deadline would pass", async () => {
    const limited = rateLimit({ rate: 10, burst: 1, excess: "wait" });
    await pass(limited, failing(0));
    const deadline = performance.now() + 50;
    await expect(pass(limited, failing(0), { deadline })).rejects.toThrow(RateLimited);
    const second = failing(0);
    const third = failing(0);
    const both = Promise.all([pass(limited, second), pass(limited, third)]);
    await vi.advanceTimersByTimeAsync(100);
    expect([second.calls, third.calls]).toEqual([1, 0]);
    await vi.advanceTimersByTimeAsync(100);
    await both;
  });

  it("gives each key a rate of its own", async () => {
    const limited = rateLimit({ rate: 1, per: ({ payload }) => String(payload) });
    await pass(limited, failing(0), { payload: "a" });
    await pass(limited, failing(0), { payload: "b" });
    await expect(pass(limited, failing(0), { payload: "a" })).rejects.toThrow(RateLimited);
  });
});

describe("circuitBreaker", () => {
  it("opens after failures on end, and lets one decide after a while", async () => {
    const guarded = circuitBreaker({ failures: 2, resetMs: 1_000 });
    const end = failing(3);
    await expect(pass(guarded, end)).rejects.toThrow(ConnectionLost);
    await expect(pass(guarded, end)).rejects.toThrow(ConnectionLost);
    await expect(pass(guarded, end)).rejects.toMatchObject({ code: "circuit_open", retryAfterMs: 1_000 });
    expect(await pass(guarded, async () => undefined, { kind: "event" })).toEqual(
      new Dropped("circuit_open"),
    );
    await vi.advanceTimersByTimeAsync(1_000);
    await expect(pass(guarded, end)).rejects.toThrow(ConnectionLost); // the trial
    await expect(pass(guarded, end)).rejects.toThrow(CircuitOpen);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await pass(guarded, end)).toEqual({ n: 4 });
    expect(await pass(guarded, end)).toEqual({ n: 5 });
  });

  it("opens after streams that fail at their first item", async () => {
    const guarded = circuitBreaker({ failures: 2, resetMs: 1_000 });
    async function* items(count: number, isBroken: boolean) {
      for (let index = 0; index < count; index++) yield index;
      if (isBroken) throw new Error("down");
    }
    const open = async (count: number, isBroken = false) =>
      (await pass(guarded, async () => items(count, isBroken), { kind: "stream" })) as AsyncGenerator<number>;
    const read = async (stream: AsyncGenerator<number>) => {
      const read: number[] = [];
      for await (const item of stream) read.push(item);
      return read;
    };
    for (let round = 0; round < 2; round++) await expect(read(await open(0, true))).rejects.toThrow("down");
    await expect(open(2)).rejects.toThrow(CircuitOpen);
    await vi.advanceTimersByTimeAsync(1_000);
    const trial = await open(2);
    await expect(open(2)).rejects.toThrow(CircuitOpen); // how the trial goes is not known yet
    expect(await trial.next()).toEqual({ done: false, value: 0 });
    expect(await read(await open(2))).toEqual([0, 1]);
    await trial.return(undefined);
    await expect(read(await open(0, true))).rejects.toThrow("down");
    expect(await read(await open(2))).toEqual([0, 1]); // one failure of two
  });

  it("does not count what is an answer, if only by an error", async () => {
    const guarded = circuitBreaker({ failures: 1 });
    await expect(pass(guarded, failing(1, new NotAllowed("no")))).rejects.toThrow(NotAllowed);
    expect(await pass(guarded, failing(0))).toEqual({ n: 1 });
  });
});

describe("deduplicate", () => {
  it("gives a call the answer of the first, and drops an event", async () => {
    const once = deduplicate({ key: (payload: string) => payload });
    const end = failing(0);
    expect(await Promise.all([pass(once as Middleware, end), pass(once as Middleware, end)])).toEqual([
      { n: 1 },
      { n: 1 },
    ]);
    expect(await pass(once as Middleware, end, { payload: "y" })).toEqual({ n: 2 });
    const events = deduplicate({ key: (payload: string) => payload, windowMs: 1_000 }) as Middleware;
    const nothing: End = async () => undefined;
    expect(await pass(events, nothing, { kind: "event" })).toBeUndefined();
    expect(await pass(events, nothing, { kind: "event" })).toEqual(new Dropped("duplicate"));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await pass(events, nothing, { kind: "event" })).toBeUndefined();
  });

  it("lets what failed come again", async () => {
    const once = deduplicate({ key: (payload: string) => payload }) as Middleware;
    const end = failing(1);
    const [first, second] = await Promise.allSettled([pass(once, end), pass(once, end)]);
    expect([first.status, second.status]).toEqual(["rejected", "fulfilled"]);
  });
});

describe("cache", () => {
  it("answers as before for a while, with a value of its own", async () => {
    const cached = cache({ ttlMs: 1_000 });
    const end = failing(0);
    const first = (await pass(cached, end)) as { n: number };
    first.n = 99;
    expect(await pass(cached, end)).toEqual({ n: 1 });
    expect(await pass(cached, end, { payload: "y" })).toEqual({ n: 2 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await pass(cached, end)).toEqual({ n: 3 });
  });

  it("keeps no errors, and so many answers", async () => {
    const cached = cache({ ttlMs: 1_000, limit: 1 });
    const end = failing(1);
    await expect(pass(cached, end)).rejects.toThrow();
    expect(await pass(cached, end)).toEqual({ n: 2 });
    await pass(cached, end, { payload: "y" });
    expect(await pass(cached, end)).toEqual({ n: 4 });
  });
});

describe("validation", () => {
  const check = (payload: string) => (payload === "x" ? [["", "is x"] as const] : []);

  it("refuses, warns or is off", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    await expect(pass(validation(check) as Middleware, failing(0))).rejects.toThrow(InvalidPayload);
    await pass(validation(check, { level: "warn" }) as Middleware, failing(0));
    expect(warn).toHaveBeenCalledWith("ionbus: outbound call conductor.look: is x");
    await pass(validation(check, { level: "off" }) as Middleware, failing(0));
    await pass(validation(check) as Middleware, failing(0), { payload: "y" });
  });
});

describe("logging", () => {
  it("tells of each passage when it is over", async () => {
    const passages: Passage[] = [];
    const logged = logging({ log: (passage) => passages.push(passage), payloads: true });
    await pass(logged, failing(0));
    await expect(pass(logged, failing(1, new TypeError("oops")))).rejects.toThrow();
    await pass(logged, async () => undefined, { kind: "event" });
    const items = (await pass(
      logged,
      async () =>
        (async function* () {
          yield 1;
          yield 2;
        })(),
      { kind: "stream" },
    )) as AsyncIterable<unknown>;
    for await (const _ of items);
    expect(passages.map(({ kind, outcome, items, payload }) => [kind, outcome, items, payload])).toEqual([
      ["call", "answered", undefined, "x"],
      ["call", "TypeError", undefined, "x"],
      ["event", "passed", undefined, "x"],
      ["stream", "ended", 2, "x"],
    ]);
  });

  it("writes a line on the console, without payloads", async () => {
    const debug = vi.spyOn(console, "debug").mockImplementation(() => {});
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    await pass(logging(), failing(0));
    expect(debug).toHaveBeenCalledWith("ionbus: outbound call conductor.look: answered in 0.0 ms");
    const error = new ConnectionLost("gone");
    await expect(pass(logging(), failing(1, error))).rejects.toThrow();
    expect(warn).toHaveBeenCalledWith(
      "ionbus: outbound call conductor.look: connection_lost in 0.0 ms:",
      error,
    );
  });
});

it.each([
  ["timeout", () => timeout(0)],
  ["retry", () => retry({ attempts: 0 })],
  ["rateLimit", () => rateLimit({ rate: Number.NaN })],
  ["circuitBreaker", () => circuitBreaker({ failures: 0 })],
  ["deduplicate", () => deduplicate({ key: String, windowMs: -1 })],
  ["cache", () => cache({ ttlMs: 0 })],
])("%s refuses what is no number", (name, make) => {
  expect(make).toThrow(TypeError);
  expect(make).toThrow(new RegExp(`^${name}: .* is not more than 0`));
});

it("takes for failures that may pass what docs/middleware.md says", () => {
  expect([new CallTimeout(), new Error("any"), new CircuitOpen("")].map(isTransient)).toEqual([
    true,
    true,
    true,
  ]);
  expect([new NotAllowed(), new InvalidPayload(), new MiddlewareError()].map(isTransient)).toEqual([
    false,
    false,
    false,
  ]);
});
