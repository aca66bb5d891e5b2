// Right and wrong uses of a generated contract. Each line that tsc must flag ends in `// error`; no other may be.

import type { Bus } from "ionbus";
import { Probe } from "./generated/probe.js";

declare const bus: Bus;

export async function emitting(): Promise<void> {
  await bus.emit(Probe.said, { who: "me", text: "hello" });
  await bus.emit(Probe.said, { who: "me", text: 3 }); // error
  await bus.emit(Probe.said, { who: "me" }); // error
  await bus.emit(Probe.said, { who: "me", text: "hello", tone: "loud" }); // error
  await bus.emit(Probe.said); // error
  await bus.emit(Probe.tick, { run: "a", number: 1 }); // error
  await bus.emit(Probe.add, { a: 1, b: 2 }); // error
}

export async function calling(): Promise<void> {
  const sum: number = await bus.call(Probe.add, { a: 1, b: 2 });
  const wrong: string = await bus.call(Probe.add, { a: 1, b: 2 }); // error
  await bus.call(Probe.add, { a: 1, b: "2" }); // error
  await bus.call(Probe.add, { a: 1 }); // error
  await bus.call(Probe.add); // error
  await bus.call(Probe.question, { text: "why" }); // error
  await bus.call(Probe.tick, { run: "a", number: 1 }); // error
  await bus.call(Probe.emitTicks, { count: 3 });
  await bus.call(Probe.emitTicks, { count: 3, interval: "soon" }); // error
  console.log(sum, wrong);
}

export function listening(): void {
  bus.on(Probe.tick, (tick) => tick.number.toFixed());
  bus.on(Probe.tick, (tick) => tick.count); // error
  bus.on(Probe.tick, (level: { name: string }) => level.name); // error
  bus.on(Probe.add, () => undefined); // error
}

export async function streaming(): Promise<void> {
  for await (const number of bus.stream(Probe.count, { name: "a", upto: 3 })) number.toFixed();
  for await (const number of bus.stream(Probe.count, { name: "a", upto: 3 })) number.length; // error
  bus.stream(Probe.count, { name: "a", upto: "3" }); // error
  bus.stream(Probe.count); // error
  bus.stream(Probe.add, { a: 1, b: 2 }); // error
}

export function handling(): void {
  bus.handle(Probe.question, async ({ text }) => ({ text, data: new Uint8Array() }));
  bus.handle(Probe.question, async ({ text }) => ({ text })); // error
  bus.handle(Probe.question, ({ words }) => ({ text: words, data: new Uint8Array() })); // error
  bus.handle(Probe.question, (request: { a: number }) => ({ text: `${request.a}`, data: new Uint8Array() })); // error
  bus.handle(Probe.add, ({ a, b }) => a + b); // error
  bus.handle(Probe.said, () => null); // error
}
