// @vitest-environment happy-dom
import { createElement, type ReactNode } from "react";
import { beforeEach, expect, it, vi } from "vitest";
import { Ui } from "../../src/packs/ui.js";
import { PublishUi, usePublishUi } from "../../src/react/index.js";
import { type Stage, stage } from "./stage.js";

/** Stands for the platform's: what is in view, the test says. */
class Sight {
  static readonly all: Sight[] = [];
  readonly elements: Element[] = [];
  constructor(readonly tell: (entries: { isIntersecting: boolean }[]) => void) {
    Sight.all.push(this);
  }
  observe(element: Element): void {
    this.elements.push(element);
  }
  disconnect(): void {
    this.elements.length = 0;
  }
  static inView(isIntersecting: boolean): void {
    for (const sight of Sight.all) if (sight.elements.length > 0) sight.tell([{ isIntersecting }]);
  }
}

beforeEach(() => {
  Sight.all.length = 0;
  vi.stubGlobal("IntersectionObserver", Sight);
});

/** What was published, as it arrives at the broker. */
function publications(at: Stage): { name: string; payload: Record<string, unknown> }[] {
  const told: { name: string; payload: Record<string, unknown> }[] = [];
  for (const event of [...Object.values(Ui.component), ...Object.values(Ui.window)]) {
    if (!("kind" in event)) continue;
    at.broker.on(event as typeof Ui.component.shown, (payload) => {
      told.push({ name: event.name.replace(/^ui\./, ""), payload: { ...payload } });
    });
  }
  return told;
}

async function until(check: () => void, at: Stage): Promise<void> {
  await vi.waitFor(async () => {
    await at.shows(at.text);
    check();
  });
}

const Graph = (): ReactNode => createElement("b", null, "graph");
const published = (name: string, inside: ReactNode) =>
  createElement(PublishUi, { name, className: "x" }, inside);

it.each([true, false])("tells of a component's life once (StrictMode: %s)", async (isStrict) => {
  const at = stage(isStrict);
  const told = publications(at);
  const names = () => told.map(({ name }) => name).filter((name) => name.startsWith("component"));
  await at.render(published("graph", createElement(Graph)));
  expect(at.element.innerHTML).toBe('<div class="x"><b>graph</b></div>');
  await until(() => expect(names()).toEqual(["component.mounted"]), at);
  Sight.inView(true);
  Sight.inView(true);
  await until(() => expect(names()).toEqual(["component.mounted", "component.shown"]), at);
  await at.render(published("graph", "something else"));
  await until(() => expect(names()).toContain("component.updated"), at);
  await at.render(null);
  await until(
    () =>
      expect(names()).toEqual([
        "component.mounted",
        "component.shown",
        "component.updated",
        "component.hidden",
        "component.unmounted",
      ]),
    at,
  );
  const components = told.filter(({ name }) => name.startsWith("component"));
  expect(new Set(components.map(({ payload }) => payload["component_id"])).size).toBe(1);
  expect(new Set(told.map(({ payload }) => payload["window_id"])).size).toBe(1);
});

it("names the published component around it", async () => {
  const at = stage();
  const told = publications(at);
  await at.render(published("page", published("graph", "x")));
  const mounted = () => told.filter(({ name }) => name === "component.mounted").map(({ payload }) => payload);
  await until(() => expect(mounted()).toHaveLength(2), at);
  const of = (name: string) => mounted().find((payload) => payload["name"] === name);
  expect(of("page")?.["parent_id"]).toBeNull();
  expect(of("graph")?.["parent_id"]).toBe(of("page")?.["component_id"]);
});

it("tells of the window's focus and visibility", async () => {
  const at = stage();
  const told = publications(at);
  await at.render(published("page", "x"));
  const newest = (name: string) => told.filter((each) => each.name === name).at(-1)?.payload;
  await until(() => expect(newest("window.visibility")?.["is_visible"]).toBe(true), at);
  vi.spyOn(document, "hasFocus").mockReturnValue(!newest("window.focus")?.["is_focused"]);
  const expected = document.hasFocus();
  window.dispatchEvent(new Event(expected ? "focus" : "blur"));
  await until(() => expect(newest("window.focus")?.["is_focused"]).toBe(expected), at);
});

it("a hidden page hides what is in it", async () => {
  const at = stage();
  const told = publications(at);
  await at.render(published("page", "x"));
  Sight.inView(true);
  await until(() => expect(told.at(-1)?.name).toBe("component.shown"), at);
  vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  document.dispatchEvent(new Event("visibilitychange"));
  await until(() => expect(told.map(({ name }) => name)).toContain("component.hidden"), at);
});

it.each([
  ["with a fallback, which may try again", true],
  ["without one, on the way to the next boundary", false],
])("tells of an error %s", async (_, hasFallback) => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  const at = stage();
  const told = publications(at);
  let isBroken = true;
  const Breaks = (): ReactNode => {
    if (isBroken) throw new Error("boom");
    return "mended";
  };
  let again: () => void = () => undefined;
  const fallback = (error: unknown, retry: () => void): ReactNode => {
    again = retry;
    return `broken: ${(error as Error).message}`;
  };
  const props = { name: "graph", ...(hasFallback ? { fallback } : {}) };
  const inner = createElement(PublishUi, props, createElement(Breaks));
  await at.render(createElement(PublishUi, { name: "page", fallback: "page is broken" }, inner));
  const errored = () => told.filter(({ name }) => name === "component.errored").map(({ payload }) => payload);
  await until(() => expect(errored()).not.toHaveLength(0), at);
  expect(errored()[0]).toMatchObject({ name: "graph", message: "boom" });
  expect(errored()[0]?.["stack"]).toMatch(/Breaks/);
  expect(at.text).toBe(hasFallback ? "broken: boom" : "page is broken");
  expect(errored()).toHaveLength(hasFallback ? 1 : 2);
  if (!hasFallback) return;
  isBroken = false;
  await at.shows("mended", () => again());
});

it("what could not be published is told, unless the bus is closed", async () => {
  const at = stage();
  const refused = vi.fn();
  const Section = () => createElement("section", { ref: usePublishUi("page", { onRefused: refused }) }, "x");
  vi.spyOn(at.bus, "emit").mockRejectedValue(new Error("no right to it"));
  await at.render(createElement(Section));
  await until(() => expect(refused).toHaveBeenCalledWith(new Error("no right to it")), at);
  refused.mockClear();
  await at.bus.close();
  await at.render(null);
  expect(refused).not.toHaveBeenCalled();
});
