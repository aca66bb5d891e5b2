/** The window of docs/testing.md's tutorial: its files are written, built and tested as the page says. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inRepository, python } from "../support/paths.js";
import { allGone, killAll, newMark } from "../support/processes.js";

const run = promisify(execFile);
const { mark, env } = newMark();
let project: string;

beforeEach(async () => {
  await mkdir(inRepository("build"), { recursive: true });
  project = await mkdtemp(inRepository("build", "docs-"));
});
afterEach(async () => {
  killAll(mark);
  await allGone(mark);
  await rm(project, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

/** The fenced code of the tutorial, by language, in order. */
async function blocks(): Promise<(language: string, index: number) => string> {
  const page = await readFile(inRepository("docs", "testing.md"), "utf8");
  const tutorial = page.slice(page.indexOf("\n## Test your Electron"));
  const found = [...tutorial.matchAll(/^```(\w*)\n(.*?)^```$/gms)];
  return (language, index) => {
    const code = found.filter(([, named]) => named === language).at(index)?.[2];
    if (code === undefined) throw new Error(`the tutorial has no block ${index} of ${language}`);
    return code;
  };
}

test("the tutorial's window says that Python has died, and recovers by itself", async () => {
  const block = await blocks();
  const files: Record<string, string> = {
    "contracts.py": block("python", 0),
    "app.py": block("python", 1),
    "src/view.ts": block("ts", 0),
    "src/renderer.ts": block("ts", -2),
    "window.test.ts": block("ts", -1),
    "main.cjs": block("js", 0),
    "index.html": block("html", 0),
    "package.json": '{ "main": "main.cjs" }',
    // The Playwright that knows Electron 22 is here under a name of its own.
    "vitest.config.mjs": `export default { resolve: { alias: { playwright: "playwright-core-electron22" } } };`,
  };
  await mkdir(path.join(project, "src"));
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(path.join(project, name), text)));
  await run(python, ["-m", "ionbus.cli", "codegen", "contracts", "--typescript", "src/generated"], {
    cwd: project,
  });
  await build({
    entryPoints: [path.join(project, "src", "renderer.ts")],
    bundle: true,
    format: "esm",
    outfile: path.join(project, "renderer.js"),
  });

  const vitest = inRepository("node_modules", "vitest", "vitest.mjs");
  const { stdout } = await run(process.execPath, [vitest, "run", "--root", project, "window.test.ts"], {
    cwd: project,
    env: {
      ...env,
      ELECTRON: process.env["IONBUS_ELECTRON"],
      PYTHON: python,
      XDG_CONFIG_HOME: path.join(project, "profile"),
      NO_COLOR: "1",
    },
  });
  expect(stdout).toMatch(/Tests\s+1 passed/);
});
