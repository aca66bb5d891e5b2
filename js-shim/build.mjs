/**
 * Builds the package into dist/:
 *
 *   esm/                   what `import` finds, file for file as in src/, with types          (tsc)
 *   cjs/                   the same as CommonJS, for `require`, with the same types           (esbuild)
 *   electron-preload.cjs   one self-contained file: a sandboxed preload can load nothing else (esbuild)
 *   standalone/ionbus.js   `ionbus` and `ionbus/electron-renderer` with all that they need in one
 *                          module, for a page without a bundler under `script-src 'self'`     (esbuild)
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { builtinModules, createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = path.dirname(fileURLToPath(import.meta.url));
process.chdir(root);

/** Everything is built here first and then takes the place of dist/, so that dist/ is never half a build. */
const out = `.dist-${process.pid}`;

const shared = { charset: "utf8", logLevel: "warning", sourcemap: true };

/** What runs in Electron's main process or in Node.js. */
const node = { ...shared, platform: "node", target: "node16.17" };

/** What runs in a renderer or a browser. */
const browser = { ...shared, platform: "browser", target: "chrome108", bundle: true, metafile: true };

try {
  await emitModules();
  await emitCommonJs();
  await bundlePreload();
  await bundleStandalone();
  await rm("dist", { recursive: true, force: true });
  await rename(out, "dist");
} finally {
  await rm(out, { recursive: true, force: true });
}

async function emitModules() {
  const tsc = createRequire(import.meta.url).resolve("typescript/package.json");
  const compiler = path.join(path.dirname(tsc), "bin", "tsc");
  execFileSync(process.execPath, [compiler, "--project", "tsconfig.build.json", "--outDir", `${out}/esm`], {
    stdio: "inherit",
  });
}

/** `{"type": "commonjs"}` beside them makes the same .js and .d.ts names mean CommonJS to Node.js and to TypeScript. */
async function emitCommonJs() {
  const commonJs = { ...node, outbase: "src", outdir: `${out}/cjs`, format: "cjs" };
  const sources = (await filesBelow("src")).filter(
    (file) => /(?<!\.d)\.ts$/.test(file) && !isModuleOnly(file),
  );
  const located = await asyncFilter(sources, async (file) =>
    (await readFile(file, "utf8")).includes("import.meta.url"),
  );
  await build({ ...commonJs, entryPoints: sources.filter((file) => !located.includes(file)) });
  await build({
    ...commonJs,
    entryPoints: located,
    define: { "import.meta.url": "importMetaUrl" },
    banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
  });
  await writeFile(`${out}/cjs/package.json`, '{ "type": "commonjs" }\n');
  await cp(`${out}/esm`, `${out}/cjs`, {
    recursive: true,
    filter: (file) => !/\.js(\.map)?$/.test(file) && !isModuleOnly(file),
  });
}

/** vitest cannot be required. */
function isModuleOnly(file) {
  return /testing.vitest\.(d\.)?ts/.test(file);
}

async function bundlePreload() {
  const { metafile } = await build({
    ...browser,
    entryPoints: ["src/electron/preload.ts"],
    outfile: `${out}/electron-preload.cjs`,
    format: "cjs",
    external: ["electron"],
  });
  requireOnly(metafile, ["electron"]);
  await writeFile(`${out}/electron-preload.d.cts`, "export {};\n");
}

async function bundleStandalone() {
  await mkdir(`${out}/standalone`, { recursive: true });
  const { metafile } = await build({
    ...browser,
    stdin: {
      contents: 'export * from "./index.js";\nexport * from "./electron/renderer.js";\n',
      resolveDir: "src",
      sourcefile: "standalone.ts",
      loader: "ts",
    },
    outfile: `${out}/standalone/ionbus.js`,
    format: "esm",
  });
  requireOnly(metafile, []);
  await writeFile(
    `${out}/standalone/ionbus.d.ts`,
    'export * from "../esm/index.js";\nexport * from "../esm/electron/renderer.js";\n',
  );
}

/** Fails where a bundle would load something at run time that is not in `allowed`. */
function requireOnly(metafile, allowed) {
  for (const [file, output] of Object.entries(metafile.outputs)) {
    for (const { path: name, external } of output.imports) {
      if (!external || allowed.includes(name)) continue;
      const kind = builtinModules.includes(name.replace(/^node:/, "")) ? "Node.js's " : "";
      throw new Error(`${path.basename(file)} would load ${kind}${name}, which is not there where it runs`);
    }
  }
}

async function filesBelow(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

async function asyncFilter(values, claim) {
  const kept = await Promise.all(values.map(claim));
  return values.filter((_, index) => kept[index]);
}
