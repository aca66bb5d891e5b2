/**
 * Makes page/built before all tests: what a page without a bundler is made of. The modules of page/ and app/generated
 * lose their types, each on its own, and `ionbus` becomes the file that the package ships for such pages.
 */
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { type BuildOptions, build, transform } from "esbuild";
import { builtPage, builtReactPage, builtTracingApp, inRepository } from "./paths.js";

export default async function buildPage(): Promise<void> {
  await rm(builtPage, { recursive: true, force: true });
  await mkdir(builtPage, { recursive: true });
  const page = inRepository("e2e", "page");
  const generated = inRepository("e2e", "app", "generated");
  await Promise.all([
    ...["index.html", "frames.html"].map((name) =>
      copyFile(path.join(page, name), path.join(builtPage, name)),
    ),
    copyFile(inRepository("js-shim", "dist", "standalone", "ionbus.js"), path.join(builtPage, "ionbus.js")),
    bundleReact(),
    bundleTracing(),
    ...["page", "lab"].map((name) => stripTypes(page, name)),
    ...["probe", "probe.members", "probe.errors", "probe.schema"].map((name) => stripTypes(generated, name)),
  ]);
}

/** The page with React is bundled: React is not made for pages without a bundler. */
async function bundleReact(): Promise<void> {
  const html = await readFile(inRepository("e2e", "page", "index.html"), "utf8");
  await mkdir(builtReactPage);
  await writeFile(path.join(builtReactPage, "index.html"), html.replace("page.js", "react_page.js"));
  await build({
    entryPoints: [inRepository("e2e", "page", "react_page.ts")],
    outfile: path.join(builtReactPage, "react_page.js"),
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "chrome108",
    define: { "process.env.NODE_ENV": '"development"' }, // with StrictMode's checks
  });
}

/** The application that traces is bundled with OpenTelemetry. */
async function bundleTracing(): Promise<void> {
  const html = await readFile(inRepository("e2e", "page", "index.html"), "utf8");
  const app = { name: "ionbus-e2e-tracing-app", main: "main.cjs" };
  await mkdir(builtTracingApp);
  await writeFile(path.join(builtTracingApp, "index.html"), html);
  await writeFile(path.join(builtTracingApp, "package.json"), JSON.stringify(app));
  const bundle = (name: string, options: BuildOptions) =>
    build({
      entryPoints: [inRepository("e2e", "electron", "tracing-app", name)],
      outdir: builtTracingApp,
      bundle: true,
      external: ["electron"],
      ...options,
    });
  const required = { format: "cjs", outExtension: { ".js": ".cjs" } } as const;
  await bundle("page.ts", { platform: "browser", target: "chrome108", format: "esm" });
  await bundle("preload.ts", { platform: "browser", target: "chrome108", ...required });
  const logOverride = { "empty-import-meta": "silent" } as const; // of `preloadPath`, which a bundle has no use for
  await bundle("main.ts", { platform: "node", target: "node16.17", ...required, logOverride });
}

async function stripTypes(folder: string, name: string): Promise<void> {
  const source = await readFile(path.join(folder, `${name}.ts`), "utf8");
  const { code } = await transform(source, { loader: "ts", target: "chrome108" });
  const placed = code
    .replaceAll(/from "ionbus(\/electron-renderer)?"/g, 'from "./ionbus.js"')
    .replaceAll('from "../app/generated/', 'from "./');
  await writeFile(path.join(builtPage, `${name}.js`), placed);
}
