/** Electron's main process: it starts Python, opens the window, and lends Python its native dialogs. */
import path from "node:path";
import { app, BrowserWindow, dialog, shell } from "electron";
import { launchBroker } from "ionbus/electron-main";
import { Conductor } from "./generated/conductor.js";

const broker = launchBroker({
  command: process.env["IONBUS_PYTHON"] ?? "python3",
  args: ["-m", "app"],
  cwd: path.join(__dirname, ".."), // where app.py is, seen from build/
});
broker.onLog((line) => console.error(line));
broker.ready.catch(async (error: Error) => {
  console.error(error);
  await app.whenReady();
  await dialog.showMessageBox({ type: "error", message: "Python did not start", detail: error.message });
});

const bus = broker.connect();
bus.handle(Conductor.shell.pickFolder, async () => {
  const { filePaths } = await dialog.showOpenDialog({ properties: ["openDirectory"] });
  return { folder: filePaths[0] ?? null };
});
bus.handle(Conductor.shell.reveal, ({ path: file }) => shell.showItemInFolder(file));
bus.onState(({ to }) => {
  if (to === "open") bus.call(Conductor.shell.ready).catch((error: unknown) => console.error(error));
});

function openWindow(): void {
  const window = new BrowserWindow({
    width: 1280,
    height: 880,
    minWidth: 960,
    minHeight: 620,
    title: "Conductor",
    autoHideMenuBar: true,
    webPreferences: {
      preload: path.join(__dirname, "preload.cjs"),
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
    },
  });
  window.webContents.setWindowOpenHandler(() => ({ action: "deny" }));
  window.webContents.on("will-navigate", (event) => event.preventDefault());
  broker.attach(window, { roles: ["admin"] }); // for the pane of dead letters; an application gives that to its operators
  void window.loadFile(path.join(__dirname, "index.html"));
}

app.on("window-all-closed", () => app.quit());
app.on("will-quit", () => void broker.stop());
void app.whenReady().then(openWindow);
