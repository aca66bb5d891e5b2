/** Bundles the application into build/, where package.json's `main` finds it. */
import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = fileURLToPath(new URL(".", import.meta.url));
process.chdir(folder);

const shared = {
  absWorkingDir: folder,
  bundle: true,
  charset: "utf8",
  logLevel: "warning",
  // ionbus/electron-main looks for its preload beside itself, and knows that in a bundle there is none.
  logOverride: { "empty-import-meta": "silent" },
  sourcemap: true,
};
const outside = { ...shared, platform: "node", target: "node16", format: "cjs", external: ["electron"] };

await mkdir("build", { recursive: true });
await Promise.all([
  build({ ...outside, entryPoints: ["src/main.ts"], outfile: "build/main.cjs" }),
  build({ ...outside, entryPoints: ["src/preload.ts"], outfile: "build/preload.cjs" }),
  // One classic script: a page that was loaded from a file may not load modules in every Electron.
  build({
    ...shared,
    platform: "browser",
    target: "chrome108",
    format: "iife",
    entryPoints: ["src/renderer.tsx"],
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' }, // which React it is
    outfile: "build/renderer.js",
  }),
  copyFile("src/index.html", "build/index.html"),
  copyFile("src/style.css", "build/style.css"),
]);
