// What a recorder gives, by what it was asked for, and wrong uses under @ts-expect-error; `make lint` runs tsc over it.

import type { Bus, StateChange } from "../../src/client/bus.js";
import type { Received } from "../../src/contract.js";
import { type Recorder, wanted } from "../../src/testing/index.js";
import { Conductor, type Progress } from "../conductor.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;
declare const recorder: Recorder;
declare const bus: Bus;

export async function waiting(): Promise<void> {
  recorder.record(bus, Conductor.progress, Conductor, "conductor.*");
  const progress = await recorder.waitFor(Conductor.progress, { where: ({ percent }) => percent > 5, bus });
  expect<Equal<typeof progress, Progress>>();
  const change = await recorder.waitFor("open", { where: ({ resumed }) => resumed });
  expect<Equal<typeof change, StateChange>>();
  const received = await recorder.waitFor("conductor.*", { where: ({ name }) => name.length > 3 });
  expect<Equal<typeof received, Received>>();
  const any = await recorder.waitFor(Conductor);
  if (any.name === "conductor.finished") expect<Equal<typeof any.payload, { files: number }>>();
  const [one, other, state] = await recorder.waitForAll(
    [Conductor.progress, wanted(Conductor.finished, { where: ({ files }) => files > 1 }), "reconnecting"],
    { inOrder: true },
  );
  expect<Equal<typeof one, Progress>>();
  expect<Equal<typeof other, { files: number }>>();
  expect<Equal<typeof state, StateChange>>();
  await recorder.waitForNone(Conductor.progress, { until: Conductor.finished, where: ({ node }) => node });
  await recorder.waitForNone("reconnecting", { until: 500, where: ({ code }) => code === "evicted" });
  // @ts-expect-error: another payload
  await recorder.waitFor(Conductor.progress, { where: ({ files }) => files });
  // @ts-expect-error: a call does not happen on a bus
  await recorder.waitFor(Conductor.ping);
  // @ts-expect-error: another payload
  wanted(Conductor.finished, { where: ({ percent }) => percent });
  // @ts-expect-error: it has to end with something
  await recorder.waitForNone(Conductor.progress);
  // @ts-expect-error: a call is no event
  recorder.record(bus, Conductor.ping);
}
