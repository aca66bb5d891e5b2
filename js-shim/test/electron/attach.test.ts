/** What main remembers of a window; what happens in real windows is in e2e/. */

import { EventEmitter } from "node:events";
import type { BrowserWindow } from "electron";
import { expect, it, vi } from "vitest";
import { attachWindow } from "../../src/electron/attach.js";
import { ANSWER, ASK } from "../../src/electron/messages.js";
import type { Supervisor } from "../../src/node/supervisor.js";

vi.mock("electron", () => ({ MessageChannelMain: class {} }));

/** A window that shows a page of file://, and what it was handed over. */
function fakeWindow() {
  const handedOver: { token: string }[] = [];
  const mainFrame = {
    processId: 1,
    routingId: 1,
    url: "file:///index.html",
    postMessage: (channel: string, answer: { token: string }) => {
      if (channel === ANSWER) handedOver.push(answer);
    },
  };
  const webContents = Object.assign(new EventEmitter(), {
    id: 1,
    mainFrame,
    ipc: new EventEmitter(),
    getURL: () => "",
    isDestroyed: () => false,
  });
  return { window: { webContents } as unknown as BrowserWindow, webContents, mainFrame, handedOver };
}

/** A broker that gives addresses, and what was taken back. */
function fakeSupervisor() {
  const released: string[] = [];
  let tokens = 0;
  const call = async ({ name }: { name: string }, request: readonly string[]) => {
    if (name === "ionbus.release") released.push(...request);
    else tokens += 1;
    return { url: "ws://127.0.0.1:1", token: `token ${tokens}` };
  };
  return { supervisor: { bus: { call }, log() {} } as unknown as Supervisor, released };
}

it("a page that reconnects for ever costs no more than a few addresses, and its newest are taken back", async () => {
  const { window, webContents, mainFrame, handedOver } = fakeWindow();
  const { supervisor, released } = fakeSupervisor();
  attachWindow(supervisor, "main", window, { transport: "websocket", origins: ["file://"] });
  for (let count = 1; count <= 200; count++) {
    webContents.ipc.emit(ASK, { senderFrame: mainFrame }, "main");
    await vi.waitUntil(() => handedOver.length === count, { interval: 0 });
  }
  webContents.emit("destroyed");
  await vi.waitUntil(() => released.includes("token 200"));
  expect(released).toHaveLength(64);
});
