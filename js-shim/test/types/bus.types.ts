// Right uses of a bus, and wrong ones under @ts-expect-error; `make lint` runs tsc over it.

import type { Bus } from "../../src/client/bus.js";
import type { CallDescriptor, EventDescriptor, StreamDescriptor } from "../../src/contract.js";
import type { DateTime } from "../../src/wire/times.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;

interface Progress {
  percent: number;
  message: string | null;
}
interface NoteInput {
  text?: string;
}
interface Note {
  text: string;
}

declare const bus: Bus;
declare const Conductor: {
  readonly __contract__: { readonly name: string; readonly version: string; readonly fingerprint: string };
  readonly progress: EventDescriptor<"conductor.progress", Progress>;
  readonly tick: EventDescriptor<"conductor.tick", null>;
  readonly noted: EventDescriptor<"conductor.noted", Note, NoteInput, "any">;
  readonly stop: EventDescriptor<"conductor.stop", null, null, "client">;
  readonly execute: CallDescriptor<"conductor.execute", NoteInput, Progress>;
  readonly ping: CallDescriptor<"conductor.ping", null, null>;
  readonly pick: CallDescriptor<"conductor.pick", Note, NoteInput, "client">;
  readonly logs: StreamDescriptor<"conductor.logs", NoteInput, Note>;
  readonly ticks: StreamDescriptor<"conductor.ticks", null, number>;
  readonly upload: StreamDescriptor<"conductor.upload", null, Uint8Array, "client">;
};

export function listening(): void {
  bus.on(Conductor.progress, (payload) => payload.percent.toFixed());
  bus.on(Conductor.noted, async ({ text }) => text.length);
  bus.on(Conductor.tick, () => "anything");
  bus.on(Conductor, (received) => {
    if (received.name === "conductor.noted") expect<Equal<typeof received.payload, Note>>();
  });
  bus.on("conductor.*", (received) => expect<Equal<typeof received.payload, unknown>>());
  // @ts-expect-error: another payload
  bus.on(Conductor.progress, (payload: Note) => payload);
  // @ts-expect-error: a call is no event
  bus.on(Conductor.ping, () => undefined);
}

class Panel {
  show(this: Panel, { percent }: Progress): number {
    return percent;
  }
}

export async function lasting(panel: Panel, signal: AbortSignal, gone: Promise<void>): Promise<void> {
  const window = { once: (_: "closed", listener: () => void) => listener() };
  const subscription = bus.once(Conductor.progress, ({ percent }) => percent, { signal, until: window });
  await subscription.confirmed();
  bus.on(Conductor.progress, panel.show, { weak: panel });
  bus.on("conductor.*", ({ name }) => name, { until: gone });
  expect<Equal<ReturnType<typeof bus.off>, number>>();
  bus.off(Conductor.progress, panel.show);
  bus.off(Conductor);
  const progress = await bus.waitFor(Conductor.progress, {
    where: ({ percent }) => percent > 1,
    timeoutMs: 5,
  });
  expect<Equal<typeof progress, Progress>>();
  // @ts-expect-error: another payload
  bus.once(Conductor.progress, (payload: Note) => payload);
  // @ts-expect-error: a method whose object is not told
  bus.on(Conductor.progress, panel.show);
  // @ts-expect-error: the method of another object
  bus.on(Conductor.progress, panel.show, { weak: window });
  // @ts-expect-error: nothing that ends
  bus.on(Conductor.progress, () => undefined, { until: "tomorrow" });
  // @ts-expect-error: no such field
  await bus.waitFor(Conductor.progress, { where: ({ text }) => text === "" });
  // @ts-expect-error: one event, not what a pattern matches
  await bus.waitFor("conductor.*");
}

export async function publishing(): Promise<void> {
  await bus.emit(Conductor.noted, {});
  await bus.emit(Conductor.stop);
  // @ts-expect-error: the broker's event
  await bus.emit(Conductor.progress, { percent: 1, message: null });
  // @ts-expect-error: another payload
  await bus.emit(Conductor.noted, { text: 3 });
  // @ts-expect-error: no payload
  await bus.emit(Conductor.noted);
}

export async function calling(signal: AbortSignal): Promise<void> {
  const progress = await bus.call(Conductor.execute, { text: "a" }, { timeoutMs: 5000, signal });
  expect<Equal<typeof progress, Progress>>();
  await bus.call(Conductor.ping);
  await bus.call(Conductor.ping, null, { timeoutMs: undefined, signal: undefined });
  for await (const note of bus.stream(Conductor.logs, {})) expect<Equal<typeof note, Note>>();
  for await (const tick of bus.stream(Conductor.ticks)) expect<Equal<typeof tick, number>>();
  // @ts-expect-error: another request
  await bus.call(Conductor.execute, { text: 3 });
  // @ts-expect-error: no request
  await bus.call(Conductor.execute);
  // @ts-expect-error: served by clients
  await bus.call(Conductor.pick, { text: "a" });
  // @ts-expect-error: a stream is no call
  await bus.call(Conductor.ticks, null);
  // @ts-expect-error: a call is no stream
  bus.stream(Conductor.ping, null);
  // @ts-expect-error: another request
  bus.stream(Conductor.logs, { text: 3 });
  // @ts-expect-error: no request
  bus.stream(Conductor.logs);
  // @ts-expect-error: served by clients
  bus.stream(Conductor.upload);
}

export function handling(): void {
  bus.handle(Conductor.pick, async (request) => {
    expect<Equal<typeof request, Note>>();
    return {};
  });
  bus.handle(Conductor.upload, async function* () {
    yield new Uint8Array();
  });
  // @ts-expect-error: served by the broker
  bus.handle(Conductor.execute, () => ({ percent: 1, message: null }));
  // @ts-expect-error: another answer
  bus.handle(Conductor.pick, () => ({ text: 3 }));
  // @ts-expect-error: served by the broker
  bus.handle(Conductor.ticks, async function* () {
    yield 1;
  });
  // @ts-expect-error: another request
  bus.handle(Conductor.pick, (request: Progress) => ({ text: request.message ?? "" }));
  // @ts-expect-error: other items
  bus.handle(Conductor.upload, async function* () {
    yield "text";
  });
  // @ts-expect-error: an event has no handler
  bus.handle(Conductor.stop, () => null);
}

interface Report {
  percent: number;
  state: "running" | "done";
  at: DateTime;
  place?: { host: string; port: number | null };
  tags: string[];
  labels: Record<string, number>;
  tree: Tree;
}
interface Tree {
  size: number;
  left: Tree | null;
}
declare const reported: EventDescriptor<"conductor.reported", Report>;
declare const counted: EventDescriptor<"conductor.counted", number>;

export function asking(): void {
  bus.on(reported, (report) => report.percent, {
    everyMs: 100,
    latestBy: ["state", "place.host"],
    distinct: true,
  });
  bus.on(reported, (reports) => reports.map(({ percent }) => percent), { batch: [100, 50] });
  bus.on(Conductor, (received) => received.map(({ name }) => name), { batch: [1, 1] });
  bus.on("conductor.*", (received) => received.length, { batch: [1, 1], where: ["anything", ">", 3] });
  bus.on(reported, () => {}, { where: ["percent", ">=", 50] });
  bus.on(reported, () => {}, {
    where: { all: [["state", "==", "done"], { not: ["place.port", "==", null] }] },
  });
  bus.on(reported, () => {}, {
    where: {
      any: [
        ["state", "in", ["done", "running"]],
        ["at", ">", "2026-01-01"],
      ],
    },
  });
  bus.on(reported, () => {}, { where: ["labels.anything", "<", 3] });
  bus.on(reported, () => {}, { where: ["tree.left.left.size", "<", 3] });
  bus.on(counted, (count) => count.toFixed(), { where: ["", ">", 3], latestBy: undefined });
  bus.once(reported, (report) => report.percent, { where: ["percent", "==", 100] });
  // @ts-expect-error: no such field
  bus.on(reported, () => {}, { where: ["percnt", ">=", 50] });
  // @ts-expect-error: no such field of a place
  bus.on(reported, () => {}, { where: ["place.name", "==", "a"] });
  // @ts-expect-error: a number
  bus.on(reported, () => {}, { where: ["percent", ">=", "50"] });
  // @ts-expect-error: none of its values
  bus.on(reported, () => {}, { where: ["state", "==", "failed"] });
  // @ts-expect-error: none of its values, deeper
  bus.on(reported, () => {}, { where: { all: [{ not: ["state", "in", ["done", "failed"]] }] } });
  // @ts-expect-error: no operator
  bus.on(reported, () => {}, { where: ["percent", "=>", 50] });
  // @ts-expect-error: null is neither less nor greater
  bus.on(reported, () => {}, { where: ["place.port", ">", null] });
  // @ts-expect-error: a list is no value
  bus.on(reported, () => {}, { where: ["tags", "==", "a"] });
  // @ts-expect-error: no such field
  bus.on(reported, () => {}, { everyMs: 100, latestBy: "stat" });
  // @ts-expect-error: a list is handed
  bus.on(reported, (report: Report) => report, { batch: [100, 50] });
  // @ts-expect-error: a count and a time
  bus.on(reported, () => {}, { batch: [100] });
}
