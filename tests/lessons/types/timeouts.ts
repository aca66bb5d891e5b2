import { type Bus, CallTimeout } from "ionbus";
import { type Equal, expect } from "./equal.js";
import { type Settings, Shapes } from "./shapes.js";

export async function timeouts(bus: Bus, signal: AbortSignal): Promise<void> {
  const request = { name: "a" };
  const plain = await bus.call(Shapes.configure, request);
  const timed = await bus.call(Shapes.configure, request, { timeoutMs: 5_000, signal });
  expect<Equal<typeof timed, typeof plain>>();
  expect<Equal<typeof timed, Settings>>();
  try {
    for await (const each of bus.stream(Shapes.history, 3, { timeoutMs: 5_000 }))
      expect<Equal<typeof each, Settings>>();
  } catch (error) {
    if (error instanceof CallTimeout) expect<Equal<typeof error.code, "call_timeout">>();
  }
  // @ts-expect-error: the options do not loosen what is asked of the request
  await bus.call(Shapes.configure, { retries: 3 }, { timeoutMs: 5_000 });
}
