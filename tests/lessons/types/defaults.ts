import type { Bus } from "ionbus";
import { type Equal, expect } from "./equal.js";
import { Shapes } from "./shapes.js";

export async function defaults(bus: Bus): Promise<void> {
  bus.on(Shapes.configured, (settings) => {
    expect<Equal<typeof settings.retries, number>>();
    expect<Equal<typeof settings.tags, string[]>>();
  });
  const settings = await bus.call(Shapes.configure, { name: "may leave out what has a default" });
  expect<Equal<typeof settings.retries, number>>();
  for await (const older of bus.stream(Shapes.history, 3)) expect<Equal<typeof older.retries, number>>();
  // @ts-expect-error: the name has no default
  await bus.call(Shapes.configure, { retries: 3 });
}
