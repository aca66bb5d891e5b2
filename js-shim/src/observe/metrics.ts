/** What a client knows, as metrics (docs/observability.md): nothing is counted for it that would not be kept anyway. */

import { type Bus, FACTS, type Known } from "../client/bus.js";

/** The value of a counter or gauge. */
export interface MetricNumber {
  /** Of the metric. */
  readonly name: string;
  /** What tells it from others of that name. */
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What was counted until now; the same names as in Python. */
export interface Metrics {
  readonly numbers: readonly MetricNumber[];
}

/** How often a bus was open again, since it was first asked about. */
interface Reopened {
  resumed: number;
  lost: number;
}

const reopened = new WeakMap<Bus, Reopened>();

function watched(bus: Bus): Reopened {
  const known = reopened.get(bus);
  if (known !== undefined) return known;
  const counts: Reopened = { resumed: 0, lost: 0 };
  reopened.set(bus, counts);
  bus.onState(({ outcome }) => {
    if (outcome === "resumed" || outcome === "lost") counts[outcome] += 1;
  });
  return counts;
}

/**
 * Tell how a bus stands, as plain data. Reconnections are counted from the first time on that it is asked about.
 *
 * @throws TypeError it is no bus of ionbus.
 */
export function metrics(bus: Bus): Metrics {
  const facts = (bus as Bus & Partial<Known>)[FACTS]?.(); // every bus has it; what else is given is told below
  if (facts === undefined) throw new TypeError("metrics takes the bus that connect() gives");
  const [session, requests] = facts;
  const outcomes = watched(bus);
  const numbers: MetricNumber[] = [];
  const add = (name: string, value: number, labels: Readonly<Record<string, string>> = {}): void => {
    numbers.push({ name: `ionbus_bus_${name}`, labels, value });
  };
  add("connected", bus.state === "open" ? 1 : 0);
  add("reconnects_total", outcomes.resumed + outcomes.lost);
  add("resumes_total", outcomes.resumed);
  for (const [event, reasons] of Object.entries(bus.dropped))
    for (const [reason, times] of Object.entries(reasons))
      add("events_dropped_total", times, { event, reason });
  add("queued_events", session.queuedEvents);
  add("queued_bytes", session.queuedBytes);
  add("requests_pending", requests.pending);
  add("elements_total", session.sent, { direction: "sent" });
  add("elements_total", session.received, { direction: "received" });
  add("unacknowledged_elements", session.sent - session.acked);
  return { numbers };
}
