import { EventEmitter } from "node:events";
import { expect, it, vi } from "vitest";
import { CallCancelled } from "../../src/errors.js";
import { Emitter } from "../../src/events/emitter.js";
import type { ListenerFailure } from "../../src/events/failures.js";
import { nearest } from "../../src/events/names.js";
import { Conductor } from "../conductor.js";
import { collected } from "./garbage.js";

function heard(): { readonly files: number[]; readonly listener: (payload: { files: number }) => void } {
  const files: number[] = [];
  return { files, listener: (payload) => files.push(payload.files) };
}

it.each([{ maxDepth: 0 }, { listenerTimeoutMs: -1 }, { listenerTimeoutMs: Number.NaN }])(
  "refuses a bound that is none: %o",
  (options) => {
    expect(() => new Emitter(options)).toThrow(RangeError);
  },
);

it("closes with a window, of which it asks once to be told, however many subscriptions there are", () => {
  const window = new EventEmitter();
  const { files, listener } = heard();
  const emitter = new Emitter();
  const subscriptions = Array.from({ length: 50 }, () =>
    emitter.on(Conductor.finished, listener, { until: window }),
  );
  expect(window.listenerCount("closed")).toBe(1);
  window.emit("closed");
  emitter.emitNowait(Conductor.finished, { files: 1 });
  expect(files).toEqual([]);
  expect(subscriptions.some(({ isOpen }) => isOpen)).toBe(false);
});

it("never begins for a window that is gone", () => {
  const window = Object.assign(new EventEmitter(), { isDestroyed: () => true });
  const subscription = new Emitter().on(Conductor.finished, () => {}, { until: window });
  expect(subscription.isOpen).toBe(false);
});

it.each([
  ["settles", () => Promise.resolve()],
  ["fails", () => Promise.reject(new Error("boom"))],
])("closes with a promise that %s", async (_, make) => {
  const subscription = new Emitter().on(Conductor.finished, () => {}, { until: make() });
  expect(subscription.isOpen).toBe(true);
  await new Promise(setImmediate);
  expect(subscription.isOpen).toBe(false);
});

it("closes with a signal and with `until`, whichever is first", () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const options = { signal: one.signal, until: other.signal };
  const emitter = new Emitter();
  const [first, second] = [0, 1].map(() => emitter.on(Conductor.finished, () => {}, options));
  first?.close();
  one.abort();
  other.abort();
  expect(second?.isOpen).toBe(false);
  expect(emitter.on(Conductor.finished, () => {}, options).isOpen).toBe(false);
});

it("keeps nothing of a listener that one thing has closed before another is asked", async () => {
  const long = new AbortController();
  const emitter = new Emitter();
  const listen = (): WeakRef<object> => {
    const { listener } = heard();
    emitter.on(Conductor.finished, listener, { signal: AbortSignal.abort(), until: long.signal });
    return new WeakRef(listener);
  };
  expect(await collected(listen())).toBe(true);
  expect(long.signal.aborted).toBe(false);
});

it("takes a promise that throws when it is waited for as a listener's failure", async () => {
  const failures: ListenerFailure[] = [];
  const emitter = new Emitter({ onError: (failure) => failures.push(failure) });
  const broken = {
    // biome-ignore lint/suspicious/noThenProperty: that is what is tested
    then: () => {
      throw new Error("boom");
    },
  };
  const subscription = emitter.on(Conductor.finished, () => broken);
  await emitter.emit(Conductor.finished, { files: 1 });
  await emitter.idle();
  subscription.close();
  await subscription.closed;
  expect(failures.map(({ error }) => String(error))).toEqual(["Error: boom"]);
});

it("calls a weak listener with its object as `this`", () => {
  class Panel {
    files = 0;
    show(payload: { files: number }): void {
      this.files = payload.files;
    }
  }
  const panel = new Panel();
  const emitter = new Emitter();
  emitter.on(Conductor.finished, panel.show, { weak: panel });
  emitter.emitNowait(Conductor.finished, { files: 7 });
  expect(panel.files).toBe(7);
});

it("is left by `using`, and `await using` waits for what runs", async () => {
  const emitter = new Emitter();
  const { files, listener } = heard();
  let go = (): void => {};
  const done: string[] = [];
  {
    using _ = emitter.on(Conductor.finished, listener);
    emitter.emitNowait(Conductor.finished, { files: 1 });
  }
  const subscription = emitter.on(Conductor.finished, async () => {
    await new Promise<void>((resolve) => {
      go = resolve;
    });
    done.push("ran");
  });
  emitter.emitNowait(Conductor.finished, { files: 2 });
  queueMicrotask(() => go());
  {
    await using _ = subscription;
  }
  done.push("left");
  expect(files).toEqual([1]);
  expect(done).toEqual(["ran", "left"]);
  await subscription.closed;
});

it("does not recurse for ever through async listeners", async () => {
  const failures: ListenerFailure[] = [];
  const emitter = new Emitter({ onError: (failure) => failures.push(failure) });
  let calls = 0;
  emitter.on(Conductor.finished, async (payload) => {
    calls += 1;
    await undefined;
    await emitter.emit(Conductor.finished, payload);
  });
  await emitter.emit(Conductor.finished, { files: 1 });
  expect(calls).toBe(10_000);
  expect(String(failures[0]?.error)).toMatch(
    /RangeError: conductor.finished: 10000 emits of it are under way/,
  );
  expect(failures.length).toBe(1);
});

it("tells of a failure the listener, its pattern and its payload in short", () => {
  const failures: ListenerFailure[] = [];
  const emitter = new Emitter({ onError: (failure) => failures.push(failure) });
  emitter.on("conductor.*", function show() {
    throw new Error("boom");
  });
  emitter.emitNowait(Conductor.cancelled, { id: "x".repeat(300) });
  expect(failures).toMatchObject([
    { event: "conductor.cancelled", listener: "show", pattern: "conductor.*", error: { message: "boom" } },
  ]);
  expect(failures[0]?.payload).toMatch(/^\{"id":"x{192}…$/);
});

it.each([
  [{ some: 2n }, '{"some":"2n"}'],
  [new Uint8Array(3), '"3 bytes"'],
  [{ password: { toJSON: () => "***" } }, '{"password":"***"}'],
  [undefined, "null"],
])("tells of %o as %s", (payload, told) => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  const emitter = new Emitter();
  emitter.on(Conductor.finished, () => {
    throw new Error("boom");
  });
  emitter.emitNowait(Conductor.finished, payload as never);
  expect(log.mock.calls[0]?.[0]).toContain(`given ${told}:`);
});

it("tells of an `onError` whose promise rejects", async () => {
  const told = vi.spyOn(console, "error").mockImplementation(() => {});
  const error = new Error("no log");
  const emitter = new Emitter({ onError: () => Promise.reject(error) });
  emitter.on(Conductor.finished, () => {
    throw new Error("boom");
  });
  await emitter.emit(Conductor.finished, { files: 1 });
  await Promise.resolve();
  expect(told.mock.calls).toEqual([[expect.stringContaining("onError failed"), error]]);
  told.mockRestore();
});

it("waits for ever for a listener where the time-out is longer than a timer's", async () => {
  vi.useFakeTimers();
  const failed = vi.fn();
  const emitter = new Emitter({ onError: failed, listenerTimeoutMs: Number.POSITIVE_INFINITY });
  emitter.on(Conductor.finished, () => new Promise(() => {}));
  emitter.emitNowait(Conductor.finished, { files: 1 });
  await vi.advanceTimersByTimeAsync(1_000);
  vi.useRealTimers();
  expect(failed).not.toHaveBeenCalled();
});

it("tells of a payload that holds itself that it cannot be shown", () => {
  const failures: ListenerFailure[] = [];
  const emitter = new Emitter({ onError: (failure) => failures.push(failure) });
  emitter.on(Conductor.finished, () => {
    throw new Error("boom");
  });
  const round: Record<string, unknown> = {};
  round["self"] = round;
  emitter.emitNowait(Conductor.finished, round as never);
  expect(failures[0]?.payload).toBe("<object, which cannot be shown>");
});

it("says where leaking listeners were added, and how many at each place", () => {
  const log = vi.spyOn(console, "warn").mockImplementation(() => {});
  const emitter = new Emitter({ maxListeners: 3 });
  function mount(): void {
    emitter.on(Conductor.finished, () => {});
  }
  for (let times = 0; times < 3; times++) mount();
  emitter.on(Conductor.finished, () => {});
  expect(log.mock.calls[0]?.[0]).toMatch(
    /conductor.finished has 4 listeners: .*: 3 at mount \(.*emitter\.test\.ts.*, 1 at .*emitter\.test\.ts/,
  );
  expect(emitter.subscriptions()[0]?.addedAt).toMatch(/^mount \(.*emitter\.test\.ts/);
});

it("gives up waiting when its signal is aborted, with the reason", async () => {
  const emitter = new Emitter();
  const controller = new AbortController();
  const waits = emitter.waitFor(Conductor.finished, { signal: controller.signal });
  controller.abort("enough");
  const error = await waits.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CallCancelled);
  expect(error).toMatchObject({ cause: "enough" });
  await expect(emitter.waitFor(Conductor.finished, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(
    CallCancelled,
  );
  expect(emitter.subscriptions()).toEqual([]);
});

it("ends a loop over events with its signal, and when it is left", async () => {
  const emitter = new Emitter();
  const controller = new AbortController();
  const read: number[] = [];
  const reading = (async () => {
    for await (const { files } of emitter.events(Conductor.finished, { signal: controller.signal }))
      read.push(files);
  })();
  await emitter.emit(Conductor.finished, { files: 1 });
  await new Promise(setImmediate);
  controller.abort();
  await reading;
  const events = emitter.events(Conductor.finished);
  emitter.emitNowait(Conductor.finished, { files: 2 });
  for await (const { files } of events) {
    read.push(files);
    break;
  }
  expect(read).toEqual([1, 2]);
  expect(emitter.subscriptions()).toEqual([]);
});

it("leaves nothing of 100,000 subscriptions that were opened and closed", async () => {
  const emitter = new Emitter({ maxListeners: 1 });
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const { signal } = new AbortController();
  const window = new EventEmitter();
  let sample: WeakRef<object> | undefined;
  for (let round = 0; round < 10; round++) {
    const subscriptions = Array.from({ length: 10_000 }, (_, index) => {
      const listener = () => index;
      if (index === 5_000) sample = new WeakRef(listener);
      const what = index % 2 === 0 ? `room${index}.*` : "conductor.finished";
      return emitter.on(what, listener, { signal, until: window });
    });
    emitter.emitNowait(Conductor.finished, { files: 1 });
    for (const { close } of subscriptions) close();
  }
  expect(emitter.subscriptions()).toEqual([]);
  emitter.emitNowait(Conductor.finished, { files: 1 });
  expect(window.listenerCount("closed")).toBe(1);
  expect(await collected(sample as WeakRef<object>)).toBe(true);
}, 60_000); // a machine that is busy takes its time to collect

it.each([
  ["flow.finishd", "flow.finished"],
  ["flwo.finished", "flow.finished"],
  ["FLOW.FINISHED", "flow.finished"],
  ["flow.node.*", "flow.nodes.*"],
  ["flwo.**", "flow.**"],
  ["something.else", undefined],
  ["x".repeat(200), undefined],
])("suggests for %s %s", (name, suggested) => {
  expect(nearest(name, ["flow.finished", "flow.nodes.added", "flow.nodes.removed"])).toBe(suggested);
});
