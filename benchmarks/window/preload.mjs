import { contextBridge, ipcRenderer } from "electron";
import "../../js-shim/dist/electron-preload.cjs";

contextBridge.exposeInMainWorld("ipc", {
  invoke: (payload) => ipcRenderer.invoke("invoke", payload),
  send: (payload) => ipcRenderer.send("send", payload),
  onSent: (listener) => void ipcRenderer.on("sent", (_event, payload) => listener(payload)),
});
ipcRenderer.on("lend", (event, name) => window.postMessage({ lent: name }, "*", [...event.ports]));
