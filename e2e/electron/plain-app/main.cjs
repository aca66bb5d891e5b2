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

/** Whether the broker came up: null, or what `ready` was rejected with. */
const ready = broker.ready.then(
  () => null,
  ({ name, code, message }) => ({ name, code, message }),
);

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
  await window.loadFile(path.join(page, "index.html"));
  return window.id;
}

global.shell = { broker, ready, logs, states, open };

app.on("window-all-closed", () => app.quit());
app.whenReady().then(() => open());
