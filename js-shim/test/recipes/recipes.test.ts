// @vitest-environment happy-dom
/** What docs/react.md gives for Vue and Svelte and docs/aggregation.md for RxJS, with the real ones, is what is tested here. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { call, event } from "ionbus";
import { type FakeBroker, fakeBroker } from "ionbus/testing";
import { map, pairwise } from "rxjs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApp, h } from "vue";
import { observe } from "./rxjs.js";
import { latest } from "./svelte.js";
import { useLatest } from "./vue.js";

const contract = { name: "conductor", version: "1.0", fingerprint: "0".repeat(32) };
const Conductor = {
  finished: event<"conductor.finished", { files: number }, { files: number }, "broker">({
    name: "conductor.finished",
    contract,
  }),
  ping: call<"conductor.ping", null, null, "broker">({ name: "conductor.ping", contract }),
};

let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker();
  broker.handle(Conductor.ping, () => null);
});
afterEach(() => broker.close());

it.each([
  ["vue", "react"],
  ["svelte", "react"],
  ["rxjs", "aggregation"],
])("the page has the recipe for %s as it is", async (name, where) => {
  const page = await readFile(path.join(import.meta.dirname, `../../../docs/${where}.md`), "utf8");
  const recipe = await readFile(path.join(import.meta.dirname, `${name}.ts`), "utf8");
  expect(page).toContain(`\`\`\`ts\n${recipe}\`\`\``);
  expect(recipe.trim().split("\n").length).toBeLessThanOrEqual(13);
});

describe("RxJS", () => {
  it("observes an event until it is unsubscribed from", async () => {
    const seen: number[][] = [];
    const observed = observe(broker.bus, Conductor.finished, { where: ["files", ">", 1] });
    const subscription = observed
      .pipe(
        map(({ files }) => files),
        pairwise(),
      )
      .subscribe((pair) => seen.push(pair));
    await broker.bus.call(Conductor.ping);
    for (const files of [1, 2, 3]) await broker.emit(Conductor.finished, { files });
    await vi.waitFor(() => expect(seen).toEqual([[2, 3]]));
    subscription.unsubscribe();
    await broker.emit(Conductor.finished, { files: 4 });
    await broker.bus.call(Conductor.ping);
    expect(seen).toHaveLength(1);
  });
});

describe("Vue", () => {
  it("shows the newest, until the component goes", async () => {
    const element = document.createElement("main");
    const app = createApp({
      setup() {
        const newest = useLatest(broker.bus, Conductor.finished);
        return () => h("p", String(newest.value?.files));
      },
    });
    app.mount(element);
    await broker.bus.call(Conductor.ping);
    await broker.emit(Conductor.finished, { files: 3 });
    await vi.waitFor(() => expect(element.textContent).toBe("3"));
    const last = element.textContent;
    app.unmount();
    await broker.emit(Conductor.finished, { files: 4 });
    await broker.bus.call(Conductor.ping);
    expect(last).toBe("3");
  });
});

describe("Svelte", () => {
  it("is a store that listens while somebody looks at it", async () => {
    const newest = latest(broker.bus, Conductor.finished);
    const seen: unknown[] = [];
    const stop = newest.subscribe((payload) => seen.push(payload?.files));
    await broker.bus.call(Conductor.ping);
    await broker.emit(Conductor.finished, { files: 3 });
    await vi.waitFor(() => expect(seen).toEqual([undefined, 3]));
    stop();
    await broker.emit(Conductor.finished, { files: 4 });
    await broker.bus.call(Conductor.ping);
    expect(seen).toEqual([undefined, 3]);
  });
});
