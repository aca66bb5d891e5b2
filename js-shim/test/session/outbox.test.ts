/** What waits for its number, and what is taken back before it has one. */

import { expect, test } from "vitest";
import { Entry, EVENTS, Outbox } from "../../src/session/outbox.js";

const NOTHING = Uint8Array.of(0);

/** How many entries the two queues hold on to. */
function held(outbox: Outbox): number {
  const { events, messages } = outbox as unknown as Record<"events" | "messages", { length: number }>;
  return events.length + messages.length;
}

test("keys that come and go do not pile up while nothing leaves", () => {
  const outbox = new Outbox(10);
  for (let number = 0; number < 5_000; number++)
    outbox.push(new Entry(NOTHING, 1, "latest", String(number), EVENTS, undefined));
  expect(outbox.queuedEvents).toBe(10);
  expect(outbox.waiting().map(({ key }) => key)).toEqual(
    Array.from({ length: 10 }, (_, index) => String(4_990 + index)),
  );
  expect(held(outbox)).toBeLessThan(200);
});

test("calls that are given up do not pile up while nothing leaves", () => {
  const outbox = new Outbox(10);
  const kept = new Entry(NOTHING, -1, "session", undefined, 0, undefined);
  outbox.push(kept);
  for (let number = 1; number <= 5_000; number++) {
    const givenUp = new Entry(NOTHING, -1, "session", undefined, number, undefined);
    outbox.push(givenUp);
    outbox.withdraw(givenUp);
  }
  expect(outbox.queuedMessages).toBe(1);
  expect(held(outbox)).toBeLessThan(200);
  expect(outbox.take(false)).toBe(kept);
  expect(outbox.take(false)).toBeUndefined();
});
