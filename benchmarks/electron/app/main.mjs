/** Opens one window that reaches two brokers, one over each transport, and this process. Prints what the window measured. */

import { execFileSync } from "node:child_process";
import path from "node:path";
import { app, BrowserWindow, ipcMain } from "electron";
import { launchBroker } from "../../../js-shim/dist/esm/electron/main.js";

const { BENCH_PYTHON, BENCH_BROKER, BENCH_CALLS, BENCH_ROUNDS } = process.env;

ipcMain.handle("echo", (_event, reading) => reading);

async function measure() {
  const fingerprint = execFileSync(BENCH_PYTHON, [BENCH_BROKER, "fingerprint"], { encoding: "utf8" }).trim();
  const window = new BrowserWindow({
    webPreferences: {
      preload: path.join(__dirname, "preload.cjs"),
      contextIsolation: true,
      sandbox: true,
      backgroundThrottling: false,
    },
  });
  const brokers = ["port", "websocket"].map((transport) => {
    const broker = launchBroker({ command: BENCH_PYTHON, args: [BENCH_BROKER], name: transport });
    broker.attach(window, { transport });
    return broker;
  });
  await window.loadFile(path.join(__dirname, "index.html"));
  await Promise.all(brokers.map(({ ready }) => ready));
  const arguments_ = JSON.stringify([fingerprint, Number(BENCH_CALLS), Number(BENCH_ROUNDS)]);
  const figures = await window.webContents.executeJavaScript(`measure(...${arguments_})`);
  await Promise.all(brokers.map((broker) => broker.stop()));
  return figures;
}

app
  .whenReady()
  .then(measure)
  .then(
    (figures) => {
      console.log(JSON.stringify(figures));
      app.exit(0);
    },
    (error) => {
      console.error(error);
      app.exit(1);
    },
  );
