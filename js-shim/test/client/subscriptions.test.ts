/** What a bus listens to, for how long, and what the broker knows of it. */

import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MemoryListener } from "../../src/channels/memory.js";
import { type Bus, createBus } from "../../src/client/bus.js";
import type { EventSubscription } from "../../src/dispatch/subscription.js";
import { CallCancelled, ConnectionLost, NotFound } from "../../src/errors.js";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { type Accepted, createAcceptor } from "../../src/testing/acceptor.js";
import { type FakeBroker, FakeClock, fakeBroker } from "../../src/testing/index.js";
import { Conductor, type Progress } from "../conductor.js";
import { collected } from "../events/garbage.js";

let broker: FakeBroker;
let bus: Bus;

beforeEach(() => {
  broker = fakeBroker();
  bus = broker.bus;
});
afterEach(() => broker.close());

function progress(node: string, percent: number): Progress {
  return { node, percent };
}

/** Listen, and note what is heard. */
function noting(seen: unknown[]): (value: unknown) => void {
  return (value) => seen.push(value);
}

async function finish(files: number): Promise<void> {
  await broker.emit(Conductor.finished, { files });
  await new Promise(setImmediate);
}

describe("listening", () => {
  it("once hears one event, and may listen again while it does", async () => {
    const seen: unknown[] = [];
    const subscription = bus.once(Conductor.finished, (payload) => {
      seen.push(payload.files);
      bus.once(Conductor.finished, ({ files }) => seen.push(-files));
    });
    await subscription.confirmed();
    for (const files of [1, 2, 3]) await finish(files);
    expect(seen).toEqual([1, -2]);
  });

  it("runs listeners in the order in which they were added, whatever they listen to", async () => {
    const seen: string[] = [];
    bus.on("conductor.*", () => seen.push("pattern"));
    bus.on(Conductor.finished, () => seen.push("event"));
    bus.on(Conductor, () => seen.push("contract"));
    await bus.on(Conductor.finished, () => seen.push("last")).confirmed();
    await finish(1);
    expect(seen).toEqual(["pattern", "event", "contract", "last"]);
  });

  it("off closes what was added for exactly this, or one listener's", async () => {
    const seen: unknown[] = [];
    const listener = noting(seen);
    bus.on(Conductor.finished, listener);
    bus.on(Conductor.finished, listener);
    bus.on(Conductor.finished, () => seen.push("other"));
    const pattern = bus.on("conductor.finished", ({ payload }) => seen.push(payload));
    await pattern.confirmed();
    expect(bus.off(Conductor.finished, listener)).toBe(2);
    await finish(1);
    expect(seen.splice(0)).toEqual(["other", { files: 1 }]);
    expect(bus.off(Conductor.finished)).toBe(1);
    expect(bus.off("conductor.finished", listener)).toBe(0);
    await finish(2);
    expect(seen).toEqual([{ files: 2 }]);
  });

  it("refuses what it could not call", () => {
    expect(() => bus.on(Conductor.finished, 5 as never)).toThrow("bus.on: 5 is no function");
    expect(() => bus.on(Conductor.finished, function* show() {})).toThrow(
      "bus.on: show is a generator function",
    );
    expect(() => bus.once(Conductor.finished, async function* show() {})).toThrow(TypeError);
    expect(() => bus.on("conductor..x", () => {})).toThrow(TypeError);
    expect(() => bus.off(5 as never)).toThrow(TypeError);
  });
});

describe("a lifetime", () => {
  it("ends with a signal, a promise, or a window", async () => {
    const controller = new AbortController();
    const window = new EventEmitter();
    let settle = (): void => {};
    const promise = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const seen: string[] = [];
    bus.on(Conductor.finished, () => seen.push("signal"), { signal: controller.signal });
    bus.on(Conductor.finished, () => seen.push("window"), { until: window });
    bus.on(Conductor.finished, () => seen.push("promise"), { until: promise });
    await bus.on(Conductor.finished, () => seen.push("-")).confirmed();
    const left: string[][] = [];
    for (const end of [() => {}, () => controller.abort(), () => window.emit("closed"), settle]) {
      end();
      await finish(1);
      left.push(seen.splice(0));
    }
    expect(left).toEqual([
      ["signal", "window", "promise", "-"],
      ["window", "promise", "-"],
      ["promise", "-"],
      ["-"],
    ]);
  });

  it("never begins with a signal that is aborted", async () => {
    const seen: unknown[] = [];
    const subscription = bus.on(Conductor.finished, noting(seen), { signal: AbortSignal.abort() });
    await expect(subscription.confirmed()).rejects.toBeInstanceOf(CallCancelled);
    await finish(1);
    expect(seen).toEqual([]);
  });

  it("is over when the listener's object is gone", async () => {
    const seen: number[] = [];
    class Panel {
      show(this: Panel, { files }: { files: number }): void {
        seen.push(files);
      }
    }
    let panel: Panel | undefined = new Panel();
    const gone = new WeakRef(panel);
    await bus.on(Conductor.finished, panel.show, { weak: panel }).confirmed();
    await finish(1);
    panel = undefined;
    expect(await collected(gone)).toBe(true);
    await finish(2);
    expect(seen).toEqual([1]);
  });
});

describe("waitFor", () => {
  it("gives the next event that is wanted", async () => {
    const waits = bus.waitFor(Conductor.finished, { where: ({ files }) => files > 1 });
    await bus.on(Conductor.finished, () => {}).confirmed();
    await finish(1);
    await finish(2);
    await expect(waits).resolves.toEqual({ files: 2 });
  });

  it("is over in time", async () => {
    const clock = new FakeClock().install();
    try {
      const waits = bus.waitFor(Conductor.finished, { timeoutMs: 500 });
      const error = waits.catch((reason: unknown) => reason);
      await clock.advance(501);
      expect(await error).toMatchObject({
        name: "TimeoutError",
        message: "conductor.finished: not there within 500 ms",
      });
    } finally {
      clock.uninstall();
    }
  });

  it("is given up with its signal, with the bus, and by `off`", async () => {
    const controller = new AbortController();
    const reasons = [
      bus.waitFor(Conductor.finished, { signal: controller.signal }),
      bus.waitFor(Conductor.progress),
      bus.waitFor(Conductor.finished, {
        where() {
          throw new Error("boom");
        },
      }),
    ].map((each) => each.catch((error: unknown) => error));
    controller.abort("enough");
    expect(await reasons[0]).toMatchObject({ code: "call_cancelled", cause: "enough" });
    await bus.on(Conductor.finished, () => {}).confirmed();
    await finish(1);
    expect(await reasons[2]).toMatchObject({ message: "boom" });
    bus.off(Conductor.progress);
    expect(await reasons[1]).toBeInstanceOf(CallCancelled);
    const last = bus.waitFor(Conductor.finished);
    last.catch(() => {});
    await bus.close();
    await expect(last).rejects.toBeInstanceOf(ConnectionLost);
  });
});

describe("the newest of a latest event", () => {
  it("is given to each further listener, and to no other again", async () => {
    const [first, second, pattern]: unknown[][] = [[], [], []];
    await broker.emit(Conductor.progress, progress("a", 10));
    await bus.on(Conductor.progress, noting(first as unknown[])).confirmed();
    await finish(0);
    await broker.emit(Conductor.progress, progress("a", 20));
    await broker.emit(Conductor.progress, progress("b", 5));
    await finish(0);
    const later = bus.on(Conductor.progress, noting(second as unknown[]));
    await later.confirmed();
    await finish(0);
    expect(second).toEqual([progress("a", 20), progress("b", 5)]);
    expect(first).toEqual([progress("a", 10), progress("a", 20), progress("b", 5)]);
    later.close();
    await bus.on(Conductor.progress, noting(pattern as unknown[])).confirmed();
    await finish(0);
    await broker.emit(Conductor.progress, progress("b", 6));
    await finish(0);
    expect(pattern).toEqual([progress("a", 20), progress("b", 5), progress("b", 6)]);
    expect(second).toHaveLength(2);
  });

  it("comes to all of them from a new broker", async () => {
    const seen: unknown[] = [];
    const listeners = [0, 1].map(() => bus.on(Conductor.progress, noting(seen)));
    await Promise.all(listeners.map((each) => each.confirmed()));
    broker.restart();
    await broker.emit(Conductor.progress, progress("a", 1));
    await vi.waitFor(() => expect(seen).toEqual([progress("a", 1), progress("a", 1)]));
  });
});

describe("on the wire", () => {
  const messages: (readonly unknown[])[] = [];
  const acceptor = createAcceptor(DEFAULT_LIMITS, (session: Accepted) => ({
    findHandler: (name) => new NotFound(name),
    event() {},
    other(_seq, message) {
      messages.push(message);
      if (message[0] === Message.Subscribe && message.length === 3)
        session.subscriptions.set(message[1] as number, "");
      if (message[0] === Message.Unsubscribe) session.subscriptions.delete(message[1] as number);
      return true;
    },
    refused() {},
  }));
  let raw: Bus;

  beforeEach(async () => {
    messages.length = 0;
    raw = createBus({ open: new MemoryListener(acceptor.accept).open, mayRenewToken: false });
    await vi.waitFor(() => expect(raw.state).toBe("open"));
  });
  afterEach(() => raw.close());

  async function sent(count: number): Promise<(readonly unknown[])[]> {
    await vi.waitFor(() => {
      const subscribing = messages.filter(
        ([kind]) => kind === Message.Subscribe || kind === Message.Unsubscribe,
      );
      expect(subscribing).toHaveLength(count);
    });
    return messages.filter(([kind]) => kind !== Message.Announce);
  }

  it("a subscription is there once however many share it, and goes with the last", async () => {
    const listeners = [0, 1, 2].map(() => raw.on(Conductor.finished, () => {}));
    const pattern = raw.on("conductor.finished", () => {});
    const close = (each: EventSubscription | undefined): void => each?.close();
    close(listeners[0]);
    close(listeners[2]);
    close(pattern);
    close(listeners[1]);
    raw.on(Conductor.finished, () => {});
    expect(await sent(6)).toEqual([
      [Message.Subscribe, 1, "conductor.finished"],
      [Message.Subscribe, 2, "conductor.finished", { snapshot: true }],
      [Message.Subscribe, 3, "conductor.finished", { snapshot: true }],
      [Message.Subscribe, 4, "conductor.finished", { snapshot: true }],
      [Message.Unsubscribe, 1],
      [Message.Subscribe, 5, "conductor.finished"],
    ]);
  });

  it("100,000 that were opened and closed leave nothing", async () => {
    const { signal } = new AbortController();
    let sample: WeakRef<object> | undefined;
    for (let round = 0; round < 100; round++) {
      const open = Array.from({ length: 1_000 }, (_, index) => {
        const listener = (): number => index;
        if (index === 500) sample = new WeakRef(listener);
        return raw.on(index % 2 === 0 ? `room${index}.*` : "conductor.finished", listener, { signal });
      });
      for (const { close } of open) close();
      await new Promise(setImmediate);
    }
    await vi.waitFor(() =>
      expect(acceptor.sessions.map(({ subscriptions }) => subscriptions.size)).toEqual([0]),
    );
    messages.length = 0;
    expect(await collected(sample as WeakRef<object>)).toBe(true);
  }, 60_000); // a machine that is busy takes its time to collect
});
