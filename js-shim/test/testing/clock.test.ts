import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createAlarm, now } from "../../src/alarm.js";
import type { Bus, StateChange } from "../../src/client/bus.js";
import { CallTimeout } from "../../src/errors.js";
import { type FakeBroker, FakeClock, fakeBroker, NotInTime } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

let broker: FakeBroker;
let clock: FakeClock;

beforeEach(() => {
  broker = fakeBroker();
  clock = new FakeClock();
});
afterEach(async () => {
  clock.uninstall();
  vi.useRealTimers();
  await broker.close();
});

/** What a promise rejects with, once it has. */
function failureOf(promise: Promise<unknown>): { error?: unknown } {
  const failure: { error?: unknown } = {};
  promise.catch((error: unknown) => {
    failure.error = error;
  });
  return failure;
}

function statesOf(bus: Bus): string[] {
  const states: string[] = [];
  bus.onState(({ to, outcome }: StateChange) => states.push(outcome === undefined ? to : `${to} ${outcome}`));
  return states;
}

describe("a fake clock", () => {
  it("lets a call time out at its time and not before", async () => {
    clock.install();
    broker.handle(Conductor.ping, () => new Promise<null>(() => {}));
    const call = failureOf(broker.bus.call(Conductor.ping, null, { timeoutMs: 30_000 }));
    await clock.advance(29_999);
    expect(call.error).toBeUndefined();
    await clock.advance(1);
    expect(call.error).toBeInstanceOf(CallTimeout);
  });

  it("drives back-off: it tries again when it is due", async () => {
    clock.install();
    broker.isRefusing = true;
    const states = statesOf(broker.bus);
    await clock.settle();
    expect(broker.attempts).toBe(1);
    await clock.advance(60_000);
    expect(broker.attempts).toBeGreaterThan(5);
    broker.isRefusing = false;
    await clock.advance(10_000);
    expect(states).toEqual(["open fresh"]);
  });

  it("drives heartbeats of both sides: a connection on which nothing is said stays open", async () => {
    clock.install();
    const states = statesOf(broker.bus);
    await clock.advance(60_000);
    expect(states).toEqual(["open fresh"]);
  });

  it("lets things happen in the order in which they are due, and what follows from one before the next", async () => {
    clock.install();
    const heard: string[] = [];
    const began = now();
    const alarm = (name: string, then?: () => void) =>
      createAlarm(() => {
        heard.push(`${name} at ${now() - began}`);
        void Promise.resolve().then(then);
      });
    alarm("second").wantBy(began + 200);
    alarm("first", () => alarm("between").wantBy(began + 150)).wantBy(began + 100);
    alarm("never").wantBy(began + 301);
    await clock.advance(300);
    expect(heard).toEqual(["first at 100", "between at 150", "second at 200"]);
    expect(clock.elapsed).toBe(300);
    expect(clock.nextDue).toBe(began + 301);
  });

  it("takes over what was begun before it, and gives back what is left", async () => {
    const rung: string[] = [];
    const alarm = (name: string) => createAlarm(() => rung.push(name));
    alarm("begun before").wantBy(now() + 60_000);
    clock.install();
    await clock.advance(60_000);
    expect(rung).toEqual(["begun before"]);

    const rest = new Promise<void>((resolve) => {
      createAlarm(() => {
        rung.push("left over");
        resolve();
      }).wantBy(now() + 10);
    });
    const until = now();
    clock.uninstall();
    await rest;
    expect(rung).toEqual(["begun before", "left over"]);
    expect(now()).toBeGreaterThan(until + 8); // time never goes back, nor does it jump; a timer may be early by a hair
    expect(now()).toBeLessThan(until + 30_000);
  });

  it("drives whatever is waited for, and gives it or what it failed with", async () => {
    clock.install();
    broker.handle(Conductor.ping, () => new Promise<null>(() => {}));
    await expect(clock.drive(broker.bus.call(Conductor.ping))).rejects.toBeInstanceOf(CallTimeout);
    expect(clock.elapsed).toBe(30_000);
    await expect(clock.drive(Promise.resolve(5))).resolves.toBe(5);
    const forever = broker.bus.call(Conductor.ping, null, { timeoutMs: null });
    forever.catch(() => {}); // the bus closes after the test
    await expect(clock.drive(forever, 1_000)).rejects.toBeInstanceOf(NotInTime);
    expect(clock.elapsed).toBe(31_000);
  });

  it("may be moved by several at once", async () => {
    clock.install();
    const rung: number[] = [];
    const began = now();
    for (const ms of [10, 20, 30, 40]) createAlarm(() => rung.push(now() - began)).wantBy(began + ms);
    await Promise.all([clock.advance(25), clock.advance(40), clock.drive(Promise.resolve())]);
    expect(rung).toEqual([10, 20, 30, 40]);
    expect(clock.elapsed).toBe(40);
  });

  it("says what is wrong with its use", async () => {
    await expect(clock.advance(1)).rejects.toThrow("not installed");
    clock.install();
    expect(FakeClock.current).toBe(clock);
    expect(() => new FakeClock().install()).toThrow("there is a fake clock already");
    await expect(clock.advance(-1)).rejects.toThrow("ms is at least 0, not -1");
    clock.uninstall();
    clock.uninstall();
    expect(FakeClock.current).toBeUndefined();
    {
      using other = new FakeClock().install();
      expect(other.isInstalled).toBe(true);
    }
    expect(FakeClock.current).toBeUndefined();
  });

  it("does not wait for ever for what never settles", async () => {
    clock = new FakeClock({ patienceMs: 50 }).install();
    let goesOn = true;
    const again = (): void => {
      if (goesOn) setImmediate(again);
      now();
    };
    again();
    await expect(clock.settle()).rejects.toThrow("not settled within 50 ms");
    goesOn = false;
  });

  it("waits for what is on its way between two ends, where it is told to be patient", async () => {
    clock = new FakeClock({ graceMs: 100 }).install();
    const heard = vi.fn();
    setTimeout(() => {
      now(); // what arrives makes ionbus ask for the time
      setTimeout(() => {
        now();
        heard();
      }, 20);
    }, 20);
    await clock.settle();
    expect(heard).toHaveBeenCalledOnce();
    expect(clock.elapsed).toBe(0);
  });
});

it("needs nothing but messages to let things happen: a page has no setImmediate", async () => {
  vi.stubGlobal("setImmediate", undefined);
  vi.resetModules();
  const { turn } = await import("../../src/testing/timers.js");
  let isOver = false;
  setTimeout(() => {
    isOver = true;
  }, 1);
  await vi.waitFor(async () => {
    await turn();
    expect(isOver).toBe(true);
  });
});

describe("beside the fake timers of a test runner", () => {
  it("leaves those alone unless it is told of them", async () => {
    vi.useFakeTimers();
    clock.install();
    const spinner = vi.fn();
    setTimeout(spinner, 1_000);
    broker.handle(Conductor.ping, () => new Promise<null>(() => {}));
    const call = failureOf(broker.bus.call(Conductor.ping, null, { timeoutMs: 5_000 }));
    await clock.advance(5_000);
    expect(call.error).toBeInstanceOf(CallTimeout);
    expect(spinner).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1_000);
    expect(spinner).toHaveBeenCalledOnce();
    expect(clock.elapsed).toBe(5_000);
  });

  it("is one clock with them where it is told of them", async () => {
    const heard: string[] = [];
    createAlarm(() => heard.push("begun before")).wantBy(now() + 1_500);
    vi.useFakeTimers();
    clock = new FakeClock({ beside: vi }).install();
    const began = now();
    setTimeout(() => heard.push("application at 1000"), 1_000);
    setTimeout(() => heard.push("application at 3000"), 3_000);
    createAlarm(() => heard.push(`ionbus at ${now() - began}`)).wantBy(began + 2_000);
    await clock.advance(2_500);
    expect(heard).toEqual(["application at 1000", "begun before", "ionbus at 2000"]);
    expect(clock.elapsed).toBe(2_500);
    broker.handle(Conductor.ping, () => new Promise<null>(() => {}));
    await expect(clock.drive(broker.bus.call(Conductor.ping))).rejects.toBeInstanceOf(CallTimeout);
    expect(clock.elapsed).toBe(32_500);
    expect(heard).toHaveLength(4);
    await expect(clock.drive(new Promise(() => {}), 500)).rejects.toBeInstanceOf(NotInTime);
    expect(clock.elapsed).toBe(33_000);
  });

  it("refuses to stand beside real ones", () => {
    expect(() => new FakeClock({ beside: vi }).install()).toThrow("call vi.useFakeTimers() first");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    expect(() => new FakeClock({ beside: vi }).install()).toThrow("they have to fake it too");
  });

  it("is not needed by whoever moves those by hand: they are the time of ionbus too", async () => {
    broker.handle(Conductor.ping, () => new Promise<null>(() => {}));
    await broker.bus.call(Conductor.echo, new Uint8Array()).catch(() => {});
    const before = now();
    vi.useFakeTimers(); // whose time begins at 0
    expect(now()).toBeGreaterThanOrEqual(before);
    const call = failureOf(broker.bus.call(Conductor.ping, null, { timeoutMs: 5_000 }));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(call.error).toBeInstanceOf(CallTimeout);
    vi.useRealTimers();
    expect(now()).toBeGreaterThanOrEqual(before + 5_000);
    expect(now()).toBeLessThan(before + 15_000);
  });
});
