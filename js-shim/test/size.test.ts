/** What a page loads of ionbus, as its bundler leaves it: minified by esbuild, compressed by gzip -9, in bytes. */

import path from "node:path";
import { gzipSync } from "node:zlib";
import { build, type OutputFile } from "esbuild";
import { expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");
const CONNECTING =
  'export { connect } from "ionbus"; export { connectElectron } from "ionbus/electron-renderer";';

/** At most so many. Whoever needs more raises the bound here, and says for what in docs/decisions/005-a-codec-of-our-own-in-the-shim.md. */
const PAGES: readonly (readonly [what: string, page: string, bound: number])[] = [
  ["to connect, call, emit and listen", CONNECTING, 25_000],
  ["all that a page may import", 'export * from "ionbus"; export * from "ionbus/electron-renderer";', 34_000],
];

async function bundle(page: string): Promise<OutputFile[]> {
  const { outputFiles } = await build({
    stdin: { contents: page, resolveDir: root },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "chrome108",
    write: false,
  });
  return outputFiles;
}

test.each(PAGES)("%s", async (what, page, bound) => {
  const outputFiles = await bundle(page);
  const size = gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
  console.info(`bundle: ${what}: ${size} bytes`);
  expect(size).toBeLessThanOrEqual(bound);
});

test("the emitter is in the bundle of a page that uses it, and of no other", async () => {
  const text = new TextDecoder().decode((await bundle(CONNECTING))[0]?.contents);
  expect(text).not.toContain("which nobody runs");
});
