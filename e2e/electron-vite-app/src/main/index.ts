import path from "node:path";
import { app, BrowserWindow } from "electron";
import { launchBroker } from "ionbus/electron-main";

// The test says where Python and its program are; an application would write it here.
const broker = launchBroker(JSON.parse(process.env["E2E_SETTINGS"] ?? "{}").launch);

function openWindow(): void {
  const window = new BrowserWindow({
    webPreferences: {
      preload: path.join(__dirname, "../preload/index.js"),
      contextIsolation: true,
      sandbox: true,
    },
  });
  broker.attach(window);
  void window.loadFile(path.join(__dirname, "../renderer/index.html"));
}

app.on("window-all-closed", () => app.quit());
void app.whenReady().then(openWindow);
