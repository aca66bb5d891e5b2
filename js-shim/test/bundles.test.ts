/** Members of a generated contract that a page does not use are not in its bundle, whichever bundler makes it. */

import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import * as esbuild from "esbuild";
import { rollup } from "rollup";
import { build as vite } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import webpack from "webpack";

const root = path.resolve(import.meta.dirname, "..", "..");
const generated = path.join(root, "tests", "codegen", "generated");

/** What a page may use, and which names of members, errors and contracts are then in its bundle. */
const PAGES: Record<string, { readonly uses: string; readonly has: readonly string[] }> = {
  "one event": { uses: "Showcase.scalars", has: ["showcase.scalars"] },
  "a call with its errors": { uses: "Showcase.branch", has: ["showcase.branch", "gone", "busy"] },
  "a member whose name is a keyword": { uses: "Showcase.delete", has: ["showcase.delete"] },
  "a member of a contract inside": {
    uses: "Showcase.subPart.deeper.ping",
    has: ["showcase.sub_part.deeper.ping"],
  },
};
/** esbuild keeps all of a namespace that a file exports again: with it, members come from their own file (docs/types.md). */
const OWN_FILES: readonly (readonly [start: string, own: string, from: string])[] = [
  ["Showcase.subPart.deeper.", "Deeper.", 'import * as Deeper from "./showcase.sub_part.deeper.members.js"'],
  ["Showcase.", "Showcase.", 'import * as Showcase from "./showcase.members.js"'],
];

function pageOf(uses: string, isFromOwnFile: boolean): string {
  const found = OWN_FILES.find(([start]) => uses.startsWith(start));
  const [start, own, from] =
    isFromOwnFile && found !== undefined ? found : ["", "", 'import { Showcase } from "./showcase.js"'];
  const member = uses.replace(start, own);
  return `${from};\nglobalThis.used = ${member};\nconsole.log(${member}.name);\n`;
}

const NAMES = [
  ...["scalars", "parts", "optionals", "derived", "tree", "number", "numbers", "branch", "adopt", "page_of"],
  ...["names", "point", "delete", "call", "sub_part.event", "sub_part.deeper.ping"],
].map((name) => `showcase.${name}`);

/** Make the bundle of `entry`, minified, and give the code that runs at once. */
type Bundler = (entry: string, out: string) => Promise<string>;

const BUNDLERS: Record<string, Bundler> = {
  async esbuild(entry, out) {
    await esbuild.build({
      entryPoints: { main: entry },
      outdir: out,
      bundle: true,
      minify: true,
      format: "esm",
      splitting: true,
    });
    return readFile(path.join(out, "main.js"), "utf8");
  },
  async vite(entry, out) {
    await vite({
      root: path.dirname(entry),
      configFile: false,
      logLevel: "error",
      build: {
        outDir: out,
        rolldownOptions: { input: entry, output: { entryFileNames: "main.js" } },
        modulePreload: { polyfill: false },
      },
    });
    return readFile(path.join(out, "main.js"), "utf8");
  },
  async rollup(entry, out) {
    const bundle = await rollup({
      input: entry,
      plugins: [nodeResolve({ browser: true })],
      onwarn(warning, warn) {
        if (warning.code !== "THIS_IS_UNDEFINED") warn(warning); // TypeScript's helpers ask whether there is one
      },
    });
    await bundle.write({ dir: out, entryFileNames: "main.js", format: "esm" });
    await bundle.close();
    return readFile(path.join(out, "main.js"), "utf8");
  },
  async webpack(entry, out) {
    const compiler = webpack({
      mode: "production",
      target: "web",
      context: path.dirname(entry),
      entry,
      output: { path: out, filename: "main.js" },
      performance: false,
    });
    await new Promise<void>((resolve, reject) => {
      compiler.run((error, stats) => {
        if (error !== null) reject(error);
        else if (stats?.hasErrors()) reject(new Error(stats.toString("errors-only")));
        else resolve();
      });
    });
    return readFile(path.join(out, "main.js"), "utf8");
  },
};

let folder: string;

beforeAll(async () => {
  await mkdir(path.join(root, "build"), { recursive: true });
  folder = await mkdtemp(path.join(root, "build", "bundles-"));
  // What takes types out, in every setup, keeps `/*#__PURE__*/`: so does this.
  for (const name of await readdir(generated)) {
    if (!name.startsWith("showcase") || !name.endsWith(".ts")) continue;
    const { code } = await esbuild.transform(await readFile(path.join(generated, name), "utf8"), {
      loader: "ts",
    });
    await writeFile(path.join(folder, name.replace(/\.ts$/, ".js")), code);
    await copyFile(path.join(generated, name), path.join(folder, name));
  }
});

afterAll(() => rm(folder, { recursive: true }));

describe.each(Object.entries(BUNDLERS))(
  "%s",
  (bundler, bundle) => {
    it.each(Object.entries(PAGES))("%s", async (title, { uses, has }) => {
      const name = `${bundler} ${title}`.replace(/\W+/g, "-");
      const entry = path.join(folder, `${name}.js`);
      await writeFile(entry, pageOf(uses, bundler === "esbuild"));
      const code = await bundle(entry, path.join(folder, name));
      const found = [...NAMES, "gone", "busy"].filter((text) => hasLiteral(code, text));
      expect(found.sort()).toEqual([...has].sort());
      expect(code).not.toContain("WebSocket"); // nor is the bus there, which nothing uses
    });
  },
  60_000,
);

/** Whether the code has the text as a literal of its own. */
function hasLiteral(code: string, text: string): boolean {
  return ['"', "'", "`"].some((quote) => code.includes(`${quote}${text}${quote}`));
}
