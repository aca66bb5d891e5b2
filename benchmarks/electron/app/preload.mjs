import { contextBridge, ipcRenderer } from "electron";
import "../../../js-shim/dist/electron-preload.cjs";

contextBridge.exposeInMainWorld("echo", (reading) => ipcRenderer.invoke("echo", reading));
