/** A broker that is replaced by another one, as at an update: what runs finishes, what comes meanwhile goes to the next. */

import { type Bus, connect, type Discontinuity, Ionbus } from "ionbus";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Probe, type Tick } from "../app/generated/probe.js";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { until } from "../support/until.js";

let old: ServedBroker;
let next: ServedBroker;
let bus: Bus;

beforeAll(async () => {
  const token = "0123456789abcdef0123456789abcdef";
  [old, next] = await Promise.all([startBroker({ token }), startBroker({ token })]);
  bus = connect({ url: old.url, token });
});
afterAll(async () => {
  await bus?.close();
  await Promise.all([old?.stop(), next?.stop()]);
});

test("a client goes to the broker that takes over, and no call is lost on the way", async () => {
  const told: Discontinuity[] = [];
  const ticks: Tick[] = [];
  bus.on(Ionbus.discontinuity, (gap) => told.push(gap));
  bus.on(Probe.tick, (tick) => ticks.push(tick));
  const oldPid = await bus.call(Probe.pid);
  const running = bus.call(Probe.slow, { name: "before", seconds: 0.5 });
  await bus.call(Probe.stop, { drain: 20, elsewhere: next.url });
  const meanwhile = Array.from({ length: 20 }, (_, number) => bus.call(Probe.add, { a: number, b: 1 }));
  await expect(running).resolves.toBe("before");
  await expect(Promise.all(meanwhile)).resolves.toEqual(
    Array.from({ length: 20 }, (_, number) => number + 1),
  );
  expect(await bus.call(Probe.pid)).not.toBe(oldPid);
  expect(told).toEqual([{ reason: "new_epoch", missed: null, lost_events: 0, lost_calls: 0 }]);
  await bus.call(Probe.emitTicks, { count: 3, interval: 0, run: "after" });
  await until("the subscription, made again", () => ticks.length === 3);
  await until("the old broker's end", () => old.process.exitCode === 0);
});
