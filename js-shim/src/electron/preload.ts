/**
 * `ionbus/electron-preload`: hands the page a port to the broker whenever it asks for one. Nothing is exposed to the page:
 * it asks by an event on its own window, and is answered by a message to its own window.
 */

import { ipcRenderer } from "electron";
import { ANSWER, ASK, isHandOver, isName, PROBE } from "./messages.js";

window.addEventListener(PROBE, (event) => event.preventDefault());

window.addEventListener(ASK, (event) => {
  const name: unknown = (event as CustomEvent).detail;
  if (isName(name)) ipcRenderer.send(ASK, name);
});

ipcRenderer.on(ANSWER, (event, answer: unknown) => {
  if (isHandOver(answer)) window.postMessage(answer, "/", [...event.ports]);
});
