import path from "node:path";
import { build } from "esbuild";
import { expect, it } from "vitest";

it("runs in a page too: nothing of Node.js is needed to load it", async () => {
  const { metafile } = await build({
    entryPoints: [path.join(import.meta.dirname, "..", "..", "src", "testing", "index.ts")],
    bundle: true,
    platform: "browser",
    format: "esm",
    write: false,
    outdir: "unused",
    metafile: true,
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  expect(imports).toEqual([]);
});
