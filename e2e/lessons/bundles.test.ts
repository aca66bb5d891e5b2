/** Each test is named after what happened to others (docs/lessons.md). */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App } from "../support/electron.js";
import { inRepository } from "../support/paths.js";

/** The application that electron-vite builds with the lines that the documentation gives. */
const folder = inRepository("e2e", "electron-vite-app");
let app: App;

beforeAll(async () => {
  const electronVite = inRepository("node_modules", "electron-vite", "bin", "electron-vite.js");
  await promisify(execFile)(process.execPath, [electronVite, "build"], { cwd: folder });
  app = await App.start({ appFolder: folder });
});
afterAll(() => app?.quit());

test("the sandboxed preload says `module not found` or refuses .mjs, and the main process says ERR_REQUIRE_ESM", async () => {
  const main = await readFile(path.join(folder, "out", "main", "index.js"), "utf8");
  expect(main).toMatch(/require\("ionbus\/electron-main"\)/);
  expect(await readdir(path.join(folder, "out", "preload"))).toEqual(["index.js"]);
  const preload = await readFile(path.join(folder, "out", "preload", "index.js"), "utf8");
  const required = [...preload.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name);
  expect([...new Set(required)]).toEqual(["electron"]);

  expect(await app.page.title()).toBe("built by electron-vite");
  expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 40, b: 2 }))).toBe(42);
  await app.evaluate(() => lab.bus.call(lab.Probe.emitTicks, { count: 3, run: "vite" }));
  expect(await app.evaluate(() => lab.ticksOf("vite"))).toEqual([0, 1, 2]);
  const error = await app.evaluate(() =>
    lab.failure(lab.bus.call(lab.Probe.fail, { reason: "no", allowed: [] })),
  );
  expect(error).toMatchObject({ name: "Refused", details: { reason: "no", allowed: [] } });
  expect(await app.evaluate(() => ({ state: lab.bus.state, changes: lab.changes }))).toMatchObject({
    state: "open",
    changes: [{ from: "connecting", to: "open" }],
  });
});
