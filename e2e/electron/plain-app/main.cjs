/**
 * An Electron application without a bundler. E2E_SETTINGS says, as JSON, what to launch, which transport its windows use,
 * and which page they show. The tests find the rest in the global `shell`.
 */
const path = require("node:path");
const { app, BrowserWindow } = require("electron");
const { launchBroker, preloadPath } = require("ionbus/electron-main");

const { launch, transport, page } = JSON.parse(process.env.E2E_SETTINGS);

const broker = launchBroker(launch);
const logs = [];
const states = [];
broker.onLog((line) => logs.push(line));
broker.onState(({ from, to }) => states.push(`${from} > ${to}`));

/** What would have ended main, in a dialog. */
const uncaught = [];
process.on("uncaughtException", (error) => uncaught.push(String(error)));
process.on("unhandledRejection", (error) => uncaught.push(String(error)));

/** Whether the broker came up: null, or what `ready` was rejected with. */
const ready = broker.ready.then(
  () => null,
  ({ name, code, message }) => ({ name, code, message }),
);

let lastOpened = 0;

async function open({ isAttached = true, hasPreloadInFrames = false } = {}) {
  const window = new BrowserWindow({
    width: 400,
    height: 300,
    webPreferences: {
      preload: preloadPath,
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
      nodeIntegrationInSubFrames: hasPreloadInFrames,
    },
  });
  if (isAttached) broker.attach(window, { transport });
  lastOpened = window.id;
  await window.loadFile(path.join(page, "index.html"));
}

/** The window that was opened last. */
function window() {
  return BrowserWindow.fromId(lastOpened);
}

/** Attach it. */
function attach() {
  broker.attach(window(), { transport });
}

/** Kill the process of its page, and wait until it is noticed. */
function crash() {
  const { webContents } = BrowserWindow.fromId(lastOpened);
  const gone = new Promise((resolve) => webContents.once("render-process-gone", () => resolve()));
  webContents.forcefullyCrashRenderer();
  return gone;
}

/** Load its page anew, and let it call Python: what it said. Playwright is blind to a page that has crashed. */
async function recover() {
  const window = BrowserWindow.fromId(lastOpened);
  await window.loadFile(path.join(page, "index.html"));
  const sum = await window.webContents.executeJavaScript("lab.bus.call(lab.Probe.add, { a: 3, b: 2 })");
  window.destroy();
  return sum;
}

global.shell = {
  broker,
  ready,
  logs,
  states,
  uncaught,
  open,
  window,
  attach,
  crash,
  recover,
  launchBroker,
  preloadPath,
};

app.on("window-all-closed", () => app.quit());
app.whenReady().then(() => open());
