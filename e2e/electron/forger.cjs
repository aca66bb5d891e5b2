/** A preload that lets its page say anything to Electron's main, as one with a mistake in it might. */
const { contextBridge, ipcRenderer } = require("electron");

const answers = [];
ipcRenderer.on("ionbus:answer", (event, told) => answers.push({ ...told, ports: event.ports.length }));

contextBridge.exposeInMainWorld("forger", {
  send: (channel, ...values) => ipcRenderer.send(channel, ...values),
  answers: () => answers,
});
