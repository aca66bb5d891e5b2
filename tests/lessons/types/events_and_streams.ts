import { type Bus, membersOf } from "ionbus";
import { type Equal, expect } from "./equal.js";
import { type Settings, Shapes } from "./shapes.js";

export async function eventsAndStreams(bus: Bus): Promise<void> {
  bus.on(Shapes.configured, (settings) => expect<Equal<typeof settings, Settings>>());
  bus.on(Shapes.inner.pinged, (nothing) => expect<Equal<typeof nothing, null>>());
  bus.on(Shapes, (received) => {
    if (received.name === "shapes.counted") expect<Equal<typeof received.payload, bigint>>();
  });
  await bus.emit(Shapes.heard, "a text");
  for await (const settings of bus.stream(Shapes.history, 3)) expect<Equal<typeof settings, Settings>>();
  bus.handle(Shapes.upload, async function* (name) {
    expect<Equal<typeof name, string>>();
    yield new Uint8Array();
  });
  // @ts-expect-error: another payload
  await bus.emit(Shapes.heard, 3);
  // @ts-expect-error: the broker's event
  await bus.emit(Shapes.inner.pinged);
  // @ts-expect-error: a stream is no event
  bus.on(Shapes.history, () => {});
}

console.log(JSON.stringify(membersOf(Shapes).map(({ kind, name }) => `${kind} ${name}`)));
