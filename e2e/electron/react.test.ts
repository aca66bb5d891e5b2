/** ionbus/react in the real window, under StrictMode and the page's policy, against Python. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { App } from "../support/electron.js";
import { brokerCommand, builtReactPage } from "../support/paths.js";
import { until } from "../support/until.js";

declare global {
  /** In Electron's main process: what was published of the window. */
  var published: { name: string; payload: Record<string, unknown> }[];
}

let app: App;

beforeAll(async () => {
  app = await App.start({ launch: { ...brokerCommand, args: ["packs.py"] }, page: builtReactPage });
  await app.main(() => {
    globalThis.published = [];
    shell.broker.connect().on("ui.**", ({ name, payload }) => {
      globalThis.published.push({ name, payload: payload as Record<string, unknown> });
    });
  });
});
afterAll(() => app?.quit());

const text = (id: string) => app.page.locator(`#${id}`).innerText();

/** What was published of components, as "mounted Sketch 0". */
async function components(): Promise<string[]> {
  const published = await app.main(() => globalThis.published);
  return published
    .filter(({ name }) => name.startsWith("ui.component."))
    .map(({ name, payload }) => `${name.replace("ui.component.", "")} ${payload["name"]}`);
}

const has = (told: string) => async () => (await components()).includes(told);

test("a component that is mounted sets Python going, and what Python tells is rendered", async () => {
  await until("the window is connected", async () => (await text("state")) === "open");
  await app.page.click("#add");
  await until("the run has finished", async () => (await text("runs")) === "one picture");
  await app.page.click("#add");
  await until("so has another", async () => (await text("runs")) === "one picture, one picture");
});

test("each component is told as mounted once, though StrictMode mounts it twice", async () => {
  const mounted = (await components()).filter((told) => told.startsWith("mounted"));
  expect(mounted).toEqual(["mounted Sketch 0", "mounted Sketch 1"]);
});

test("what can be seen is told as shown, and as hidden once it was scrolled away", async () => {
  await until("it is shown", has("shown Sketch 0"));
  await app.evaluate(() => {
    const space = document.createElement("div");
    space.style.height = "5000px";
    document.body.append(space);
    scrollTo(0, 4000);
  });
  await until("it is hidden", has("hidden Sketch 0"));
  await app.evaluate(() => scrollTo(0, 0));
});

test("the window's visibility is told", async () => {
  const published = await app.main(() => globalThis.published);
  const visibility = published.filter(({ name }) => name === "ui.window.visibility");
  expect(visibility.at(-1)?.payload["is_visible"]).toBe(true);
});

test("what it renders, it renders on another Python as well", async () => {
  process.kill(await app.python(), "SIGKILL");
  await until("it reconnects", async () => (await text("state")) !== "open");
  await until("it is connected again", async () => (await text("state")) === "open");
  await app.page.click("#add");
  await until("a run of the new one is told", async () => /(one picture(, )?){3}/.test(await text("runs")));
});

test("an error is told, and the rest of the window stays", async () => {
  await app.page.click("#break");
  await until("it is told", has("errored Sketch 0"));
  expect(await app.page.locator("#sketch-0").innerText()).toBe("broken");
  expect(await text("state")).toBe("open");
});

test("what goes is told as unmounted", async () => {
  await app.page.click("#remove");
  await until("all three are told", has("unmounted Sketch 2"));
  expect(await app.page.locator("h1").count()).toBe(0);
});
