// Right uses of an emitter, and wrong ones under @ts-expect-error; `make lint` runs tsc over it.

import type { EventDescriptor, Received } from "../../src/contract.js";
import { Emitter } from "../../src/events/emitter.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;

interface Progress {
  percent: number;
}
declare const Conductor: {
  readonly __contract__: { readonly name: string; readonly version: string; readonly fingerprint: string };
  readonly progress: EventDescriptor<"conductor.progress", Progress>;
  readonly tick: EventDescriptor<"conductor.tick", null>;
  readonly nodes: {
    readonly __contract__: { readonly name: string; readonly version: string; readonly fingerprint: string };
    readonly added: EventDescriptor<"conductor.nodes.added", string>;
  };
};
declare const window: { once(event: "closed", listener: () => void): unknown };

class Panel {
  shown = 0;
  show(this: Panel, progress: Progress): void {
    this.shown = progress.percent;
  }
}

export function listening(emitter: Emitter, signal: AbortSignal, panel: Panel): void {
  emitter.on(Conductor.progress, ({ percent }) => percent.toFixed(), { signal });
  emitter.once(Conductor.progress, async ({ percent }) => percent.toFixed(), { until: window });
  emitter.on(Conductor.tick, () => "anything", { until: Promise.resolve() });
  emitter.on(Conductor, (received) => {
    if (received.name === "conductor.nodes.added") expect<Equal<typeof received.payload, string>>();
  });
  emitter.on("conductor.*", (received) => expect<Equal<typeof received, Received>>());
  emitter.on(Conductor.progress, panel.show, { weak: panel });
  emitter.off(Conductor.progress, panel.show);
  // @ts-expect-error: another payload
  emitter.on(Conductor.progress, (payload: string) => payload);
  // @ts-expect-error: another payload
  emitter.once(Conductor.progress, (payload: string) => payload);
  // @ts-expect-error: the payload of a pattern is not known
  emitter.on("conductor.*", (received) => received.payload.percent);
  // @ts-expect-error: the object is another
  emitter.on(Conductor.progress, panel.show, { weak: {} });
  // @ts-expect-error: nothing that ends
  emitter.on(Conductor.progress, () => undefined, { until: 5 });
  // @ts-expect-error: a number is no pattern
  emitter.on(5, () => undefined);
}

export async function publishing(emitter: Emitter): Promise<void> {
  await emitter.emit(Conductor.progress, { percent: 1 });
  await emitter.emit(Conductor.tick);
  emitter.emitNowait(Conductor.tick, null);
  // @ts-expect-error: another payload
  await emitter.emit(Conductor.progress, { percent: "1" });
  // @ts-expect-error: another payload
  emitter.emitNowait(Conductor.progress, "1");
  // @ts-expect-error: no payload
  await emitter.emit(Conductor.progress);
  // @ts-expect-error: no event
  await emitter.emit("conductor.progress", { percent: 1 });
}

export async function reading(emitter: Emitter): Promise<void> {
  for await (const progress of emitter.events(Conductor.progress, { limit: 10, overflow: "oldest" }))
    expect<Equal<typeof progress, Progress>>();
  for await (const received of emitter.events(Conductor.nodes))
    expect<Equal<typeof received.payload, string>>();
  for await (const received of emitter.events("**")) expect<Equal<typeof received, Received>>();
  const progress = await emitter.waitFor(Conductor.progress, { where: ({ percent }) => percent > 50 });
  expect<Equal<typeof progress, Progress>>();
  // @ts-expect-error: no such policy
  emitter.events(Conductor.progress, { overflow: "some" });
  // @ts-expect-error: another payload
  await emitter.waitFor(Conductor.progress, { where: (text: string) => text === "" });
  // @ts-expect-error: no such field
  await emitter.waitFor(Conductor.progress, { where: ({ state }) => state });
}

export const made = [
  new Emitter(),
  new Emitter({ contracts: [Conductor], maxDepth: 8, onError: ({ event }) => event.length }),
  // @ts-expect-error: no contract
  new Emitter({ contracts: [5] }),
];
