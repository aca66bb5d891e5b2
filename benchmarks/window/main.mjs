/**
 * Electron's main process: one window, and everything that it calls.
 *
 * Its environment names what starts the servers. Each line of standard input is one run for the window; its figures are one
 * line of standard output.
 */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { app, BrowserWindow, ipcMain, MessageChannelMain, protocol } from "electron";
import { launchBroker } from "../../js-shim/dist/esm/electron/main.js";
import { recordOf, recordReader } from "./records.mjs";

const { fingerprint, ionbus, rawStdio, rawWebsocket } = JSON.parse(process.env.BENCH_WINDOW);

// The page's own origin, with headers that isolate it: else its clock ticks every 100 µs.
const ORIGIN = "bench://page";
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
protocol.registerSchemesAsPrivileged([{ scheme: "bench", privileges: { standard: true, secure: true } }]);

app
  .whenReady()
  .then(serve)
  .catch((error) => {
    tell({ error: String(error?.stack ?? error) });
    app.exit(1);
  });

async function serve() {
  protocol.registerBufferProtocol("bench", ({ url }, answer) => {
    const name = new URL(url).pathname.slice(1);
    const mimeType = name.endsWith(".js") ? "text/javascript" : "text/html";
    answer({ data: readFileSync(path.join(__dirname, name)), mimeType, headers: HEADERS });
  });
  ipcMain.handle("invoke", (_event, payload) => payload);
  ipcMain.on("send", (event, payload) => event.reply("sent", payload));
  const window = new BrowserWindow({
    webPreferences: {
      preload: path.join(__dirname, "preload.cjs"),
      contextIsolation: true,
      sandbox: true,
      backgroundThrottling: false,
    },
  });
  const brokers = ["port", "websocket"].map((transport) => {
    const broker = launchBroker({ ...commandOf(ionbus), name: transport, restart: false });
    broker.onLog((line) => console.error(line));
    broker.attach(window, { transport, origins: [ORIGIN] });
    return broker;
  });
  const pipe = start(rawStdio);
  const server = start(rawWebsocket);
  const { url } = JSON.parse(await new Promise((resolve) => server.stdout.once("data", resolve)));
  await Promise.all([window.loadURL(`${ORIGIN}/index.html`), ...brokers.map(({ ready }) => ready)]);
  lend(window, "echo", (port) => port.on("message", ({ data }) => port.postMessage(data)));
  lend(window, "pipe", (port) => relay(port, pipe));
  await inPage(window, "prepare", { fingerprint, url });
  tell({ pid: brokers[0].health.pid });
  for await (const line of createInterface({ input: process.stdin })) {
    const result = await inPage(window, "run", JSON.parse(line)).catch((error) => ({
      error: String(error?.stack ?? error),
    }));
    tell(result);
  }
  await Promise.all(brokers.map((broker) => broker.stop()));
  for (const child of [pipe, server]) child.stdin.end();
  app.exit(0);
}

function commandOf([command, ...args]) {
  return { command, args };
}

function start([command, ...args]) {
  return spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
}

/** Give the page a port under this name. */
function lend(window, name, use) {
  const { port1, port2 } = new MessageChannelMain();
  use(port1);
  port1.start();
  window.webContents.postMessage("lend", name, [port2]);
}

/** What ionbus's own relay does, and nothing else: bytes from the port into the pipe as records, and back. */
function relay(port, child) {
  port.on("message", ({ data }) => child.stdin.write(recordOf(data)));
  const read = recordReader((content) => port.postMessage(content));
  child.stdout.on("data", read);
}

function inPage(window, name, argument) {
  return window.webContents.executeJavaScript(`${name}(${JSON.stringify(argument)})`);
}

function tell(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
