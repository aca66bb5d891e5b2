/** The preload of the page that traces: ionbus, and a way to have main ask. */
import "ionbus/electron-preload";
import { contextBridge, ipcRenderer } from "electron";

contextBridge.exposeInMainWorld("main", {
  ask: (...asked: unknown[]) => ipcRenderer.invoke("ask", ...asked),
});
