/**
 * A call that nobody waits for any more stops its handler, and a stream whose reader left closes its generator: in both
 * directions, and across a channel that is lost before, or with, the news of it.
 */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MemoryListener } from "../../src/channels/memory.js";
import { type Bus, createBus } from "../../src/client/bus.js";
import { serve } from "../../src/dispatch/answer.js";
import type { Handler, HandlerContext } from "../../src/dispatch/answers.js";
import { CallCancelled, CallTimeout } from "../../src/errors.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { type Acceptor, createAcceptor } from "../../src/testing/acceptor.js";
import { decode, encode } from "../../src/wire/values.js";
import { Conductor } from "../conductor.js";

let acceptor: Acceptor;
let listener: MemoryListener;
let bus: Bus;
let started: number;
let ended: number;

/** Waits until nobody waits for it. */
function hold({ signal }: HandlerContext): Promise<never> {
  started += 1;
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => {
      ended += 1;
      reject(new Error("stopped"));
    });
  });
}

async function* tick() {
  started += 1;
  try {
    for (let line = 0; ; line++) yield { line };
  } finally {
    ended += 1;
  }
}

beforeEach(async () => {
  started = 0;
  ended = 0;
  acceptor = createAcceptor({ ...DEFAULT_LIMITS }, () => ({
    findHandler: (name, kind): Handler => ({
      kind,
      name,
      raises: [],
      serve,
      decodeRequest: decode,
      encodeAnswer: encode,
      run: (_request: unknown, context: HandlerContext) => {
        if (kind === "stream") return tick();
        return name === "conductor.ping" ? null : hold(context);
      },
    }),
    event() {},
    other: () => true,
    refused() {},
  }));
  listener = new MemoryListener(acceptor.accept);
  bus = createBus(
    { open: listener.open, mayRenewToken: false },
    { limits: { retryBaseMs: 1, retryCapMs: 5 } },
  );
  await vi.waitFor(() => expect(bus.state).toBe("open"));
});
afterEach(() => bus.close());

const CUTS = {
  "no cut": { before() {}, after() {} },
  "cut before": {
    before() {
      listener.isRefusing = true;
      listener.wire?.cut();
    },
    after() {
      listener.isRefusing = false;
    },
  },
  "cut with the news": {
    before: () => listener.wire?.halfOpen(),
    after: () => listener.wire?.cut(),
  },
};

/** The handler has ended, once, and the session goes on. */
async function check(): Promise<void> {
  await vi.waitFor(() => expect(ended).toBe(1));
  await bus.call(Conductor.ping, undefined, { timeoutMs: 5000 });
  expect([started, ended]).toEqual([1, 1]);
}

describe.each(Object.entries(CUTS))("%s", (_, cut) => {
  test("an aborted signal stops the handler", async () => {
    const giver = new AbortController();
    const call = bus.call(Conductor.execute, { flow: "a" }, { signal: giver.signal });
    await vi.waitFor(() => expect(started).toBe(1));
    cut.before();
    giver.abort();
    await expect(call).rejects.toBeInstanceOf(CallCancelled);
    await new Promise(setImmediate);
    cut.after();
    await check();
  });

  test("a call that times out stops its handler", async () => {
    const call = bus.call(Conductor.execute, { flow: "a" }, { timeoutMs: 80 });
    await vi.waitFor(() => expect(started).toBe(1));
    cut.before();
    await expect(call).rejects.toBeInstanceOf(CallTimeout);
    await new Promise(setImmediate);
    cut.after();
    await check();
  });

  test("leaving a stream closes its generator", async () => {
    for await (const { line } of bus.stream(Conductor.logs, { count: 1 })) {
      if (line < 2) continue;
      cut.before();
      break;
    }
    await new Promise(setImmediate);
    cut.after();
    await check();
  });

  test("a broker that gives up stops the client's handler", async () => {
    bus.handle(Conductor.pickFile, (_request, context) => hold(context));
    const [session] = acceptor.sessions;
    const giver = new AbortController();
    const call = session?.peer.requests.call(
      {
        name: "conductor.pick_file",
        payload: encode({ title: "" }),
        timeoutMs: null,
        signal: giver.signal,
        raises: [],
        isIdempotent: false,
      },
      decode,
    );
    await vi.waitFor(() => expect(started).toBe(1));
    cut.before();
    giver.abort();
    await expect(call).rejects.toBeInstanceOf(CallCancelled);
    await new Promise(setImmediate);
    cut.after();
    await check();
  });
});

test("a session that is lost stops the client's handlers", async () => {
  bus.handle(Conductor.pickFile, (_request, context) => hold(context));
  const [session] = acceptor.sessions;
  const options = { timeoutMs: null, signal: undefined, raises: [], isIdempotent: false };
  const call = session?.peer.requests.call(
    { name: "conductor.pick_file", payload: encode({ title: "" }), ...options },
    decode,
  );
  const failed = expect(call).rejects.toThrow("the broker was restarted");
  await vi.waitFor(() => expect(started).toBe(1));
  acceptor.restart();
  listener.wire?.cut();
  await vi.waitFor(() => expect(ended).toBe(1));
  await failed;
});
