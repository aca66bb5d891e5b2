/** What a page loads of ionbus, as its bundler leaves it: minified by esbuild, compressed by gzip -9, in bytes. */

import { readFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { type BuildResult, build, type Plugin } from "esbuild";
import { expect, test } from "vitest";

const root = path.resolve(import.meta.dirname, "..", "..");
const CONNECTING =
  'export { connect } from "ionbus"; export { connectElectron } from "ionbus/electron-renderer";';

/** At most so many. Whoever needs more raises the bound here, and says for what in docs/decisions/005-a-codec-of-our-own-in-the-shim.md. */
const PAGES: readonly (readonly [what: string, page: string, bound: number])[] = [
  ["to connect, call, emit and listen", CONNECTING, 25_800],
  ["all that a page may import", 'export * from "ionbus"; export * from "ionbus/electron-renderer";', 34_000],
];

test.each(PAGES)("%s", async (what, page, bound) => {
  const size = sizeOf(await bundle(page));
  console.info(`bundle: ${what}: ${size} bytes`);
  expect(size).toBeLessThanOrEqual(bound);
});

test("the emitter is in the bundle of a page that uses it, and of no other", async () => {
  const { outputFiles } = await bundle(CONNECTING);
  expect(new TextDecoder().decode(outputFiles[0]?.contents)).not.toContain("which nobody runs");
});

test("a page without middleware has none of its code, and little room for it", async () => {
  const page = await bundle(CONNECTING);
  expect(Object.keys(page.metafile.inputs).filter((file) => /middleware|otel|validate/.test(file))).toEqual(
    [],
  );
  const cost = sizeOf(page) - sizeOf(await bundle(CONNECTING, [withoutMiddleware]));
  console.info(`bundle: the room for middleware: ${cost} bytes`);
  expect(cost).toBeLessThan(150);
});

type Bundle = BuildResult<{ readonly metafile: true; readonly write: false }>;

function bundle(page: string, plugins: Plugin[] = []): Promise<Bundle> {
  return build({
    stdin: { contents: page, resolveDir: root },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "chrome108",
    metafile: true,
    write: false,
    plugins,
  });
}

function sizeOf({ outputFiles }: Bundle): number {
  return gzipSync(outputFiles[0]?.contents ?? "", { level: 9 }).length;
}

/** A bus as it would be if there were no middleware. */
const withoutMiddleware: Plugin = {
  name: "without middleware",
  setup({ onLoad }) {
    onLoad({ filter: /client.bus\.js$/ }, async ({ path: file }) => {
      let contents = await readFile(file, "utf8");
      for (const [room, without] of [
        ["{ validators = {}, middleware }", "{ validators = {} }"],
        ["let through = (targets) => targets;", ""],
        ["through(targets, eventOptions)", "targets"],
        ["through(targets)", "targets"],
        [/const interposed = .*?return interposed\.bus;/s, "return bus;"],
      ] as const) {
        const stripped = contents.replace(room, without);
        expect(stripped, `client/bus.js has ${room}`).not.toBe(contents);
        contents = stripped;
      }
      return { contents };
    });
  },
};
