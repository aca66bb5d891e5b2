/**
 * One window's access to a broker: who may ask, and what becomes of its channels.
 *
 * Only the window's main frame gets a channel, and only while it shows the window's own content. A session belongs to
 * one document: when that is gone, by navigation, reload or crash, its channels are closed and its sessions are over. Those of other
 * windows, and of the document that follows, are not concerned.
 */

import { type BrowserWindow, type IpcMainEvent, MessageChannelMain, type WebFrameMain } from "electron";
import { now } from "../alarm.js";
import { BUILT_IN } from "../builtin.js";
import type { Channel, PeerIdentity, Receiver } from "../channels/base.js";
import { CLOSED, listenToPort, ownBuffer, type PortLike } from "../channels/port.js";
import { call } from "../contract.js";
import { createSubscription, type Subscription } from "../dispatch/subscription.js";
import { DEFAULT_LIMITS } from "../generated/protocol.js";
import type { Supervisor } from "../node/supervisor.js";
import { ANSWER, ASK, type HandOver } from "./messages.js";

export interface AttachOptions {
  /**
   * "port": frames are relayed between the page's MessagePort and the broker's pipe, without being decoded.
   * "websocket": the page connects to the broker itself, on the loopback interface, with a token that is good once.
   * Default: "port".
   */
  readonly transport?: "port" | "websocket" | undefined;
  /**
   * Origins whose pages may connect, as "https://app.example" or "file://". Default: the origin of what this window
   * shows when it is attached, or else of the first page that it is told to load. An empty page (about:blank) is neither.
   */
  readonly origins?: readonly string[] | undefined;
  /** What its pages may use of the events, calls and streams that ask for a role. Default: none of them. */
  readonly roles?: readonly string[] | undefined;
}

/** What every broker serves to its parent: a loopback WebSocket, for pages of this origin, and a token that is good once. */
const endpoint = call<
  "ionbus.endpoint",
  { origin: string; roles: readonly string[] },
  { url: string; token: string },
  "broker"
>({
  name: "ionbus.endpoint",
  contract: BUILT_IN,
});

/** What every broker does for its parent: end the sessions that these tokens have opened. */
const release = call<"ionbus.release", readonly string[], null, "broker">({
  name: "ionbus.release",
  contract: BUILT_IN,
});

/** One channel of one document, or its way to one. */
interface Lent {
  /** The document is gone. */
  end(): void;
  /** The document has asked for so many more that this one is not looked after any longer. */
  forget(): void;
}

/** How many channels of one document are looked after, and how often it may ask in `ASKS_MS`: one bus needs one, and one more each time it reconnects. */
const MAX_LENT = 64;
const MAX_ASKS = 100;
const ASKS_MS = 10_000;

/** Let a window connect to a broker. */
export function attachWindow(
  broker: Supervisor,
  name: string,
  window: BrowserWindow,
  options: AttachOptions = {},
): Subscription {
  const { webContents } = window;
  const { transport = "port", roles = [] } = options;
  /** Of the document that the window shows. */
  const lent = new Set<Lent>();
  const refused = new Set<string>();
  let origins = options.origins;
  let asks = 0;
  let asksBegan = 0;

  firstPage(webContents.getURL());

  /** The first page that is one says whose pages may connect, unless that was said before. */
  function firstPage(url: string): void {
    if (!isEmptyPage(url)) origins ??= [originOf(url)];
  }

  function refusal(frame: WebFrameMain): string | undefined {
    if (frameKey(frame) !== frameKey(webContents.mainFrame))
      return "only the window's main frame may connect";
    const origin = originOf(frame.url);
    if (origins?.includes(origin) && isItsOwn(frame)) return undefined;
    return `a page of ${origin} may not connect: this window was attached for ${origins?.join(", ") ?? "none yet"}`;
  }

  function asksTooOften(): boolean {
    const time = now();
    if (time - asksBegan > ASKS_MS) [asks, asksBegan] = [0, time];
    asks += 1;
    return asks > MAX_ASKS;
  }

  /** Once for each reason and document: a page that asks again and again does not fill the log. */
  function refuse(frame: WebFrameMain, problem: string, isFinal: boolean): void {
    if (!refused.has(problem)) broker.log(`ionbus: refused: ${problem}`);
    refused.add(problem);
    answer(frame, { problem, isFinal });
  }

  function lend(one: Lent): void {
    lent.add(one);
    const [oldest] = lent;
    if (lent.size > MAX_LENT) oldest?.forget();
  }

  function asked(event: IpcMainEvent, askedName: unknown): void {
    // Newer versions of Electron give null for a frame that has gone meanwhile.
    const { senderFrame } = event as { readonly senderFrame: WebFrameMain | null };
    if (askedName !== name || senderFrame === null) return;
    const problem = refusal(senderFrame);
    if (problem !== undefined) {
      refuse(senderFrame, problem, true);
    } else if (asksTooOften()) {
      refuse(senderFrame, `more than ${MAX_ASKS} channels were asked for in ${ASKS_MS / 1000} s`, false);
    } else if (transport === "port") {
      lendPort(senderFrame);
    } else {
      lendAddress(senderFrame);
    }
  }

  function answer(
    frame: WebFrameMain,
    told: Omit<HandOver, "ionbus" | "name">,
    port?: Electron.MessagePortMain,
  ): void {
    const handOver: HandOver = { ionbus: 1, name, ...told };
    try {
      frame.postMessage(ANSWER, handOver, port === undefined ? [] : [port]);
    } catch {
      port?.close(); // the frame went while the answer was made
    }
  }

  /** Give the page an address and a token; when its document is gone, so is the session that the token has opened. */
  function lendAddress(frame: WebFrameMain): void {
    let given: string | undefined;
    let isOver = false;
    const one: Lent = {
      end() {
        isOver = true;
        lent.delete(one);
        if (given !== undefined) takeBack(given);
      },
      // A page that reconnects resumes its session with a token after the other: the newest is enough to end it.
      forget: () => lent.delete(one),
    };
    lend(one);
    broker.bus
      .call(endpoint, { origin: originOf(frame.url), roles })
      .then(({ url, token }) => {
        given = token;
        if (isOver || refusal(frame) !== undefined) takeBack(token);
        else answer(frame, { url, token });
      })
      .catch((error: Error) => {
        lent.delete(one);
        answer(frame, problemOf(error));
      });
  }

  function takeBack(token: string): void {
    // Where this fails the broker has gone, and its sessions with it.
    broker.bus.call(release, [token]).catch(() => undefined);
  }

  function lendPort(frame: WebFrameMain): void {
    const { port1, port2 } = new MessageChannelMain();
    const identity: PeerIdentity = {
      role: "window",
      origin: originOf(frame.url),
      roles,
      details: { web_contents: webContents.id, frame: frame.routingId },
    };
    let isOver = false;
    const one: Lent = {
      end() {
        isOver = true;
        lent.delete(one);
        relay.end();
      },
      forget: () => one.end(),
    };
    const relay = createRelay(port1, () => lent.delete(one));
    lend(one);
    broker
      .open(identity, relay.receiver)
      .then((channel) => {
        if (isOver || refusal(frame) !== undefined) {
          one.end();
          channel.close(true, "closed", "the page is gone");
          return;
        }
        relay.begin(channel);
        answer(frame, { token: broker.token }, port2);
      })
      .catch((error: Error) => {
        lent.delete(one);
        port1.close();
        answer(frame, problemOf(error));
      });
  }

  function endAll(): void {
    for (const one of [...lent]) one.end();
  }

  function navigationStarted(_: unknown, url: string, isInPlace: boolean, isMainFrame: boolean): void {
    if (!isInPlace && isMainFrame) firstPage(url);
  }

  /**
   * Another document is there, and has not asked for anything yet: what was lent was lent to the one before, also what
   * that one asked for while it was being left. A navigation that became a download, or was stopped, never comes here.
   */
  function navigated(): void {
    endAll();
    refused.clear();
  }

  webContents.ipc.on(ASK, asked);
  // A page that has asked before, when nobody listened, waits for an answer: it shall ask again.
  if (webContents.getURL() !== "") {
    answer(webContents.mainFrame, { problem: "the window was attached just now" });
  }
  webContents.on("did-start-navigation", navigationStarted);
  webContents.on("did-navigate", navigated);
  webContents.on("render-process-gone", endAll);
  webContents.on("destroyed", endAll);
  return createSubscription(() => {
    endAll();
    if (webContents.isDestroyed()) return;
    webContents.ipc.removeListener(ASK, asked);
    webContents.removeListener("did-start-navigation", navigationStarted);
    webContents.removeListener("did-navigate", navigated);
    webContents.removeListener("render-process-gone", endAll);
    webContents.removeListener("destroyed", endAll);
  });
}

interface Relay {
  readonly receiver: Receiver;
  begin(channel: Channel): void;
  /** The page is gone: its session is over. */
  end(): void;
}

/** Carry frames between a port and a channel, as they are. */
function createRelay(port: PortLike, gone: () => void): Relay {
  let channel: Channel | undefined;
  let isOver = false;

  function finish(): boolean {
    if (isOver) return false;
    isOver = true;
    gone();
    port.close();
    return true;
  }

  function closeChannel(over: boolean, code: string, message: string): void {
    if (finish()) channel?.close(over, code, message);
  }

  return {
    receiver: {
      frameReceived: (frame) => port.postMessage(ownBuffer(frame)),
      writable() {},
      closed() {
        if (isOver) return;
        port.postMessage(CLOSED);
        finish();
      },
    },
    begin(opened) {
      channel = opened;
      channel.maxFrameBytes = DEFAULT_LIMITS.maxFrameBytes; // the page bounds what it takes, before WELCOME and after
      listenToPort(
        port,
        (message) => {
          if (isOver) return;
          if (message === CLOSED) closeChannel(false, "closed", "the page closed its port");
          else if (!(message instanceof Uint8Array))
            closeChannel(false, "protocol_error", "a port's message is bytes");
          else if (message.length <= DEFAULT_LIMITS.maxFrameBytes) opened.send(message);
          else closeChannel(false, "too_large", `a frame of ${message.length} bytes`);
        },
        () => closeChannel(true, "closed", "the page is gone"),
      );
    },
    end: () => closeChannel(true, "closed", "the page is gone"),
  };
}

function problemOf(error: Error): Pick<HandOver, "problem" | "isFinal"> {
  return { problem: error.message, isFinal: Reflect.get(error, "isFinal") === true };
}

/** Whether a page is what its address says: one in a sandbox of its own has another origin, or none (Electron 22 knows `origin`). */
function isItsOwn({ url, origin }: WebFrameMain): boolean {
  return typeof origin !== "string" || !/^https?:/.test(url) || origin === originOf(url);
}

/** A page without content, which says nothing about whose window this is. */
function isEmptyPage(url: string): boolean {
  return url === "" || /^about:/i.test(url);
}

/** Electron frees routing ids within a process for reuse, and process ids; together they name one frame. */
function frameKey({ processId, routingId }: WebFrameMain): string {
  return `${processId}:${routingId}`;
}

/** Scheme and host: `origin` is "null" for file: and for schemes of an application's own. */
function originOf(url: string): string {
  const { protocol, host } = new URL(url || "about:blank"); // a frame that has loaded nothing yet has no address
  return `${protocol}//${host}`;
}
