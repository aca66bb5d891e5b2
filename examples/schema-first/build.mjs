/** Bundles the client into build/client.mjs, for Node.js. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

await build({
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  bundle: true,
  charset: "utf8",
  entryPoints: ["client.ts"],
  external: ["ws"],
  format: "esm",
  logLevel: "warning",
  outfile: "build/client.mjs",
  platform: "node",
  target: "node20",
});
