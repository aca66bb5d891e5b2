/**
 * What Electron's own default_app.asar does for `electron [switches] APPDIR [arguments]`, and no more: the runtime that
 * tools/electron_runtime.py prepares comes without it.
 */
const { app } = require("electron");
const Module = require("node:module");
const path = require("node:path");

const given = process.argv.slice(1).find((argument) => !argument.startsWith("-"));
if (given === undefined) {
  console.error("usage: electron [switches] APPDIR [arguments]");
  process.exit(2);
}

try {
  const folder = path.resolve(given);
  const { name, productName, version } = require(path.join(folder, "package.json"));
  process.defaultApp = true;
  if (productName ?? name) app.setName(productName ?? name);
  if (version) app.setVersion(version);
  app.setAppPath(folder);
  Module._load(Module._resolveFilename(folder, null, true), null, true);
} catch (error) {
  // Without this, Electron shows the error in a dialogue and waits for a click.
  console.error(error);
  process.exit(1);
}
