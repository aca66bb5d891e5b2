/** What a client counts: the same names as in Python, whose table is docs/observability.md. */

import { readFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Bus } from "../../src/index.js";
import { metrics } from "../../src/observe/metrics.js";
import { type Pair, pair } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

const page = readFileSync(
  path.resolve(import.meta.dirname, "..", "..", "..", "docs", "observability.md"),
  "utf8",
);

let joined: Pair;

beforeEach(async () => {
  joined = await pair();
  joined.broker.handle(Conductor.execute, () => ({ files: 0 }));
});
afterEach(() => joined.close());

function value(bus: Bus, name: string, labels: Record<string, string> = {}): number | undefined {
  const found = metrics(bus).numbers.filter((number) =>
    Object.entries(labels).every(([label, text]) => number.labels[label] === text),
  );
  return found.find((number) => number.name === `ionbus_bus_${name}`)?.value;
}

it("tells how the bus stands", async () => {
  const { bus } = joined;
  const answered = bus.call(Conductor.execute, { flow: "a" });
  expect(value(bus, "requests_pending")).toBe(1);
  await answered;
  expect(value(bus, "requests_pending")).toBe(0);
  expect(value(bus, "connected")).toBe(1);
  expect(value(bus, "elements_total", { direction: "sent" })).toBeGreaterThan(0);
  expect(value(bus, "elements_total", { direction: "received" })).toBeGreaterThan(0);
  expect(value(bus, "reconnects_total")).toBe(0);
});

it("counts what waits while there is no connection, and each reconnection", async () => {
  const { bus } = joined;
  expect(value(bus, "reconnects_total")).toBe(0);
  joined.cut();
  void bus.emit(Conductor.cancelled, { id: "a" });
  expect(value(bus, "connected")).toBe(0);
  expect(value(bus, "queued_events")).toBe(1);
  expect(value(bus, "queued_bytes")).toBeGreaterThan(0);
  await joined.reconnected();
  expect(value(bus, "reconnects_total")).toBe(1);
  expect(value(bus, "resumes_total")).toBe(1);
  expect(value(bus, "queued_events")).toBe(0);
});

it("counts nothing that the documentation does not name", () => {
  for (const { name, labels } of metrics(joined.bus).numbers) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
    for (const label of Object.keys(labels)) expect(row).toContain(`\`${label}\``);
    expect(row).toBeDefined();
  }
});

it("refuses what is no bus", () => {
  expect(() => metrics({} as Bus)).toThrow("metrics takes the bus that connect() gives");
});
