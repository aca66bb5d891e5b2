/** One trace from a click in the window to Python, directly and by way of Electron's main, and back into the window. */
import { SpanKind } from "@opentelemetry/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App } from "../support/electron.js";
import { brokerCommand, builtTracingApp } from "../support/paths.js";
import { until } from "../support/until.js";
import type { ToldSpan } from "./tracing-app/told.js";

let app: App;

beforeAll(async () => {
  app = await App.start({
    launch: { ...brokerCommand, args: ["traced.py"] },
    appFolder: builtTracingApp,
  });
});
afterAll(() => app?.quit());

/** A span of the trace: where it was made, its name, and below which it stands. */
type Placed = readonly [where: string, name: string, kind: SpanKind, below: string | undefined];

test("a click, the calls that it makes, their handlers and what these call are one trace", async () => {
  await app.page.click("#ask");
  const answered = () => app.evaluate(() => globalThis.answered);
  expect(await until("the click is over", answered)).toEqual(["directly? Yes.", "by way of main? Yes."]);
  await until("its span has ended", () => app.evaluate(() => spans().some(({ name }) => name === "click")));

  const sides: Record<string, readonly ToldSpan[]> = {
    window: await app.evaluate(() => spans()),
    main: await app.electron.evaluate(() => (globalThis.shell as unknown as { spans(): ToldSpan[] }).spans()),
    Python: JSON.parse(await app.evaluate(() => lab.bus.call(lab.Probe.fate, "spans"))) as ToldSpan[],
  };
  const all = Object.entries(sides).flatMap(([where, spans]) => spans.map((span) => ({ where, ...span })));
  const click = all.find(({ name }) => name === "click");
  const ofTrace = all.filter(({ traceId }) => traceId === click?.traceId);
  const nameOf = (id: string | null): string | undefined => {
    const span = all.find(({ spanId }) => spanId === id);
    return span && `${span.where} ${span.name} ${SpanKind[span.kind]}`;
  };
  const placed = ofTrace.map(
    ({ where, name, kind, parentId }): Placed => [where, name, kind, nameOf(parentId)],
  );
  const { CLIENT, INTERNAL, SERVER } = SpanKind;
  expect(placed.sort(byText)).toEqual(
    (
      [
        ["window", "click", INTERNAL, undefined],
        ["window", "probe.ask", CLIENT, "window click INTERNAL"],
        ["Python", "probe.ask", SERVER, "window probe.ask CLIENT"],
        ["Python", "probe.question", CLIENT, "Python probe.ask SERVER"],
        ["window", "probe.question", SERVER, "Python probe.question CLIENT"],
        ["main", "relay", INTERNAL, "window click INTERNAL"],
        ["main", "probe.ask", CLIENT, "main relay INTERNAL"],
        ["Python", "probe.ask", SERVER, "main probe.ask CLIENT"],
        ["Python", "probe.question", CLIENT, "Python probe.ask SERVER"],
        ["window", "probe.question", SERVER, "Python probe.question CLIENT"],
      ] satisfies Placed[]
    ).sort(byText),
  );
  const parents = ofTrace.map(({ parentId }) => parentId);
  expect(new Set(parents).size).toBe(9); // the click is above two, nothing else above more than one
});

function byText(a: Placed, b: Placed): number {
  return JSON.stringify(a).localeCompare(JSON.stringify(b));
}
