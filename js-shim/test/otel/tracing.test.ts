/** Spans of a client, in memory: their names, kinds, parents and ends. */

import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import type { Bus } from "../../src/client/bus.js";
import { compose } from "../../src/middleware/index.js";
import { tracing } from "../../src/otel/index.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = provider.getTracer("test");

let broker: FakeBroker;
let bus: Bus;

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});
afterAll(() => {
  context.disable();
});
beforeEach(async () => {
  broker = fakeBroker();
  bus = broker.connect({ middleware: compose(tracing({ provider })) });
  broker.handle(Conductor.ping, () => undefined);
  await bus.call(Conductor.ping);
  exporter.reset();
});
afterEach(() => broker.close());

function spans(): readonly ReadableSpan[] {
  return exporter.getFinishedSpans();
}

it("makes a call a span below the current one, and tells the other side", async () => {
  let told: string | undefined;
  broker.handle(Conductor.execute, (_, { trace }) => {
    told = trace;
    return { files: 1 };
  });
  await tracer.startActiveSpan("click", async (click) => {
    await bus.call(Conductor.execute, { flow: "a" });
    click.end();
  });
  const [call, click] = spans();
  expect(call).toMatchObject({
    name: "conductor.execute",
    kind: SpanKind.CLIENT,
    attributes: {
      "rpc.system": "ionbus",
      "rpc.service": "conductor",
      "rpc.method": "execute",
      "ionbus.kind": "call",
    },
  });
  expect(call?.parentSpanContext?.spanId).toBe(click?.spanContext().spanId);
  const { traceId, spanId } = call?.spanContext() ?? {};
  expect(told).toBe(`00-${traceId}-${spanId}-01`);
});

it("continues the trace that a call carries, and runs its handler in it", async () => {
  bus.handle(Conductor.pickFile, async (_, { trace: told }) => {
    await Promise.resolve();
    return { path: `${trace.getActiveSpan()?.spanContext().spanId} ${told?.split("-")[2]}` };
  });
  const { path } = await broker.call(Conductor.pickFile, { title: "" }, { trace: TRACE });
  const [span] = spans();
  const { traceId, spanId } = span?.spanContext() ?? {};
  expect(span?.kind).toBe(SpanKind.SERVER);
  expect(traceId).toBe(TRACE.split("-")[1]);
  expect(span?.parentSpanContext?.spanId).toBe(TRACE.split("-")[2]);
  expect(path).toBe(`${spanId} ${spanId}`);
});

it.each(["", "00-0-0-01", TRACE.replace(/b7ad.*-/, "0000000000000000-"), `ff${TRACE.slice(2)}`])(
  "begins a trace where %j is none",
  async (carried) => {
    bus.handle(Conductor.pickFile, () => ({ path: null }));
    await broker.call(Conductor.pickFile, { title: "" }, { trace: carried });
    expect(spans()[0]?.parentSpanContext).toBeUndefined();
  },
);

it("belongs to the trace that its caller gives, where there is no current one", async () => {
  await context.with(ROOT_CONTEXT, () => bus.call(Conductor.ping, null, { trace: TRACE }));
  expect(spans()[0]?.spanContext().traceId).toBe(TRACE.split("-")[1]);
});

it("lasts as long as a stream's items, and counts them", async () => {
  broker.handle(Conductor.logs, async function* ({ count }) {
    for (let line = 0; line < count; line++) yield { line };
  });
  for await (const _ of bus.stream(Conductor.logs, { count: 2 })) expect(spans()).toEqual([]);
  expect(spans()[0]?.attributes["ionbus.items"]).toBe(2);
});

it("has events too, both ways", async () => {
  const heard = new Promise((resolve) => bus.on(Conductor.finished, resolve));
  await bus.call(Conductor.ping);
  await broker.emit(Conductor.finished, { files: 1 });
  await heard;
  await bus.emit(Conductor.cancelled, { id: "1" });
  await vi.waitUntil(() => spans().length === 3);
  expect(spans().map(({ name, kind }) => [name, kind])).toEqual([
    ["conductor.ping", SpanKind.CLIENT],
    ["conductor.finished", SpanKind.CONSUMER],
    ["conductor.cancelled", SpanKind.PRODUCER],
  ]);
});

it("says how it failed, or that it was given up", async () => {
  await expect(bus.call(Conductor.execute, { flow: "" })).rejects.toThrow();
  expect(spans()[0]).toMatchObject({
    attributes: { "error.type": "not_found" },
    status: { code: SpanStatusCode.ERROR },
  });
  broker.handle(Conductor.execute, () => new Promise(() => {}));
  const controller = new AbortController();
  const call = bus.call(Conductor.execute, { flow: "" }, { signal: controller.signal });
  controller.abort();
  await expect(call).rejects.toThrow();
  await vi.waitUntil(() => spans().length === 2);
  expect(spans()[1]?.attributes["error.type"]).toBe("cancelled");
});

it("does nothing without an SDK", async () => {
  const other = broker.connect({ middleware: compose(tracing()) });
  let told: string | undefined;
  broker.handle(Conductor.execute, (_, { trace }) => {
    told = trace;
    return { files: 1 };
  });
  await other.call(Conductor.execute, { flow: "" }, { trace: TRACE });
  expect(told?.split("-")[1]).toBe(TRACE.split("-")[1]);
});
