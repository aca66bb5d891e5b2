/** The `trace` option: a W3C traceparent beside a call, a stream or an event, both ways (docs/protocol.md, section 5). */

import { afterEach, beforeEach, expect, it } from "vitest";
import type { Interposed } from "../../src/client/interposed.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker();
});
afterEach(() => broker.close());

it("goes with a call, and the handler is told", async () => {
  const traces: unknown[] = [];
  broker.handle(Conductor.execute, (_, { trace }) => {
    traces.push(trace);
    return { files: 0 };
  });
  await broker.bus.call(Conductor.execute, { flow: "a" }, { trace: TRACE });
  await broker.bus.call(Conductor.execute, { flow: "a" }, { timeoutMs: null, trace: TRACE });
  await broker.bus.call(Conductor.execute, { flow: "a" });
  expect(traces).toEqual([TRACE, TRACE, undefined]);
});

it("goes with a stream", async () => {
  const traces: unknown[] = [];
  broker.handle(Conductor.logs, async function* (_, { trace }) {
    traces.push(trace);
    yield { line: 1 };
  });
  for await (const _ of broker.bus.stream(Conductor.logs, { count: 1 }, { trace: TRACE }));
  expect(traces).toEqual([TRACE]);
});

it("comes with a call of the broker, as does its deadline", async () => {
  broker.handle(Conductor.ping, () => undefined);
  await broker.bus.call(Conductor.ping);
  const told: unknown[] = [];
  broker.bus.handle(Conductor.pickFile, (_, { trace, deadline }) => {
    told.push(trace, deadline < Number.POSITIVE_INFINITY);
    return { path: null };
  });
  await broker.call(Conductor.pickFile, { title: "t" }, { trace: TRACE });
  await broker.call(Conductor.pickFile, { title: "t" }, { timeoutMs: null });
  expect(told).toEqual([TRACE, true, undefined, false]);
});

it("goes with an event, and what stands before the listeners is told", async () => {
  const seen: unknown[] = [];
  const watching: Interposed = {
    interpose: ({ bus }) => ({
      bus,
      through(targets, options) {
        seen.push(options);
        return targets;
      },
    }),
  };
  const other = broker.connect({ middleware: watching });
  const heard = new Promise((resolve) => other.on(Conductor.cancelled, resolve));
  broker.handle(Conductor.ping, () => undefined);
  await other.call(Conductor.ping);
  await broker.bus.emit(Conductor.cancelled, { id: "1" }, { trace: TRACE });
  expect(await heard).toEqual({ id: "1" });
  expect(seen).toEqual([{ trace: TRACE }]);
});
