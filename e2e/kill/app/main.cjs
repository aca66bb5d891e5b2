/**
 * An Electron application that is killed, or whose Python is (tests/trials/kill.py). It keeps the bus of its window busy, tells
 * on its standard output, as lines of JSON, which Python answers there, and ends when its standard input does.
 */
const path = require("node:path");
const { app, BrowserWindow } = require("electron");
const { launchBroker, preloadPath } = require("ionbus/electron-main");

const { launch, hang, page } = JSON.parse(process.env.KILL_SETTINGS);
// The delay after a first death, each time: that many in a row are no accident here.
const broker = launchBroker({ ...launch, restart: { limit: 1e6, delayMs: () => 100 } });
const uncaught = [];
process.on("uncaughtException", (error) => uncaught.push(String(error)));
process.on("unhandledRejection", (error) => uncaught.push(String(error)));

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

app.whenReady().then(async () => {
  const window = new BrowserWindow({ webPreferences: { preload: preloadPath, sandbox: true } });
  const { webContents } = window;
  broker.attach(window);
  webContents.on("console-message", (_event, _level, message) => {
    if (message.startsWith("{")) process.stdout.write(`${message}\n`);
  });
  await window.loadFile(path.join(page, "index.html"));
  await webContents.executeJavaScript(`lab.load(); ${hang ? `lab.hang("${hang}")` : ""}`);
  if (hang) say({ pid: broker.pid });
  else
    void webContents.executeJavaScript(
      "lab.tellPython((pid) => console.log(JSON.stringify({ pid, at: Date.now() })))",
    );
  process.stdin.resume();
  process.stdin.on("end", async () => {
    say({ health: broker.health, uncaught, loaded: await webContents.executeJavaScript("lab.loaded") });
    app.quit();
  });
});
app.on("window-all-closed", () => app.quit());
