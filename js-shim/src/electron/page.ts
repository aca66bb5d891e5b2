/** A page's way to the broker of its Electron application: it asks the preload, which asks main. */

import type { Opened, Opener, Receiver } from "../channels/base.js";
import { type PortLike, portChannel } from "../channels/port.js";
import { openWebSocket } from "../channels/websocket.js";
import { ConnectionLost } from "../errors.js";
import { startTimer, stopTimer } from "../time.js";
import { ASK, type HandOver, isHandOver, PROBE } from "./messages.js";

/** How long main may take to answer, in milliseconds, before the page asks again. Main waits for a broker that is being restarted. */
const ANSWER_MS = 30_000;

/** Whether this page is one of an Electron window whose preload has ionbus in it. */
export function hasPreload(): boolean {
  const { document, dispatchEvent } = globalThis as Partial<typeof globalThis>;
  if (document === undefined || dispatchEvent === undefined) return false;
  return !dispatchEvent.call(globalThis, new Event(PROBE, { cancelable: true }));
}

/** Open channels to the broker of a name, by whichever transport main has chosen for this window. */
export function electronOpener(name: string): Opener {
  return async (receiver) => {
    const [{ token, url, problem, isFinal = false }, port] = await handOver(name);
    if (problem !== undefined) throw Object.assign(new ConnectionLost(problem), { isFinal });
    return { channel: await openOver(port, url, receiver), token };
  };
}

async function openOver(
  port: PortLike | undefined,
  url: string | undefined,
  receiver: Receiver,
): Promise<Opened["channel"]> {
  if (port !== undefined) return portChannel(port, receiver);
  if (url !== undefined) return openWebSocket(url, receiver);
  throw new ConnectionLost("Electron's main answered with neither a port nor an address");
}

function handOver(name: string): Promise<[HandOver, PortLike | undefined]> {
  return new Promise((resolve, reject) => {
    const timer = startTimer(() => {
      window.removeEventListener("message", answered);
      reject(new ConnectionLost(`Electron's main has not answered within ${ANSWER_MS} ms`));
    }, ANSWER_MS);
    function answered(event: MessageEvent<unknown>): void {
      const { source, data, ports } = event;
      // From this window itself: a frame in it, or who opened it, has no say in this.
      if (source !== window || !isHandOver(data) || data.name !== name) return;
      event.stopImmediatePropagation(); // another channel to the same broker, asked for later, gets the next
      stopTimer(timer);
      window.removeEventListener("message", answered);
      resolve([data, ports[0]]);
    }
    window.addEventListener("message", answered);
    window.dispatchEvent(new CustomEvent(ASK, { detail: name }));
  });
}
