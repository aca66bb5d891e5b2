import type { Bus } from "ionbus";
import { Digits } from "./digits.js";
import { type Equal, expect } from "./equal.js";
import { Shapes } from "./shapes.js";

export function integers(bus: Bus): void {
  bus.on(Shapes.counted, (count) => expect<Equal<typeof count, bigint>>());
  bus.handle(Digits.wide, (value) => value + 1n);
  // @ts-expect-error: a number would lose digits
  bus.handle(Digits.wide, () => 3);
  bus.handle(Digits.plain, (value) => value + 1);
}
