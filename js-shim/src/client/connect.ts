/** `connect`: finds a channel wherever it runs, and makes a bus over it. */

import type { Opener } from "../channels/base.js";
import { openWebSocket, urlProblem } from "../channels/websocket.js";
import { electronOpener, hasPreload } from "../electron/page.js";
import { ConnectionLost } from "../errors.js";
import { routeFromEnvironment } from "../platform.js";
import { type Bus, type BusOptions, createBus, type Route } from "./bus.js";

/** A value, or what gives it, asked at each attempt. */
export type Source<Value> = Value | (() => Value | Promise<Value>);

export interface ConnectOptions extends BusOptions {
  /** The broker's address, as "ws://127.0.0.1:8765". Default: whatever this platform has, see `connect`. */
  readonly url?: Source<string> | undefined;
  /** Who we are. Default: `IONBUS_TOKEN` in Node.js, else none. It never becomes part of the address. */
  readonly token?: Source<string | undefined> | undefined;
  /** Opens a channel of another kind, once an attempt. */
  readonly open?: Opener | undefined;
  /** Puts something between the bus and what opens its channels, as `(open) => faulty(open, faults)` in a test. */
  readonly through?: ((open: Opener) => Opener) | undefined;
}

/**
 * Connect to a broker. Returns at once: what is sent before the connection is open waits for it.
 *
 * Without `url` and `open` it looks, in this order, for the preload of an Electron window, for the origin of a page that a broker
 * served, and for `IONBUS_URL` in the environment, or else `IONBUS_ENDPOINT_FILE`, a file that a broker has written.
 *
 * @throws ConnectionLost it finds none of them.
 */
export function connect(options: ConnectOptions = {}): Bus {
  const { url, token, open, through, ...busOptions } = options;
  const route = routeOf(url, token, open);
  return createBus(through === undefined ? route : { ...route, open: through(route.open) }, busOptions);
}

function routeOf(
  url: ConnectOptions["url"],
  token: ConnectOptions["token"],
  open: Opener | undefined,
): Route {
  if (open !== undefined) return { open, mayRenewToken: false };
  if (url !== undefined) return webSocketRoute(url, token);
  if (hasPreload()) return { open: electronOpener("main"), mayRenewToken: true };
  const { location } = globalThis as { location?: { readonly protocol: string; readonly host: string } };
  if (location !== undefined && /^https?:$/.test(location.protocol)) {
    return webSocketRoute(`${location.protocol.replace("http", "ws")}//${location.host}`, token);
  }
  const found = routeFromEnvironment(token);
  if (found !== undefined) return found;
  throw new ConnectionLost(
    "connect: no broker found; looked for an Electron preload with ionbus in it, for a page that was loaded over http, " +
      "and in Node.js for IONBUS_URL and IONBUS_ENDPOINT_FILE in the environment. Pass `url`.",
  );
}

/** The way to a broker at an address. */
export function webSocketRoute(url: Source<string>, token: Source<string | undefined> | undefined): Route {
  const problem = typeof url === "string" ? urlProblem(url) : undefined;
  if (problem !== undefined) throw new TypeError(problem);
  let elsewhere: string | undefined;
  let isSecure = true; // until a channel without TLS was open: then there is nothing to give away
  return {
    mayRenewToken: typeof token === "function",
    redirect(next) {
      if (isSafe(next, isSecure)) elsewhere = next;
      else console.warn(`ionbus: the broker says to go to ${next}, which is not followed: it is not safe`);
    },
    async open(receiver) {
      const address = elsewhere ?? (typeof url === "function" ? await url() : url);
      const secret = typeof token === "function" ? await token() : token;
      try {
        const channel = await openWebSocket(address, receiver);
        isSecure = address.startsWith("wss:");
        return { channel, token: secret };
      } catch (error) {
        elsewhere = undefined; // back to the old address
        throw error;
      }
    },
  };
}

/** Whether the token may be shown there: without TLS only to this machine, and never after TLS. */
function isSafe(url: string, wasSecure: boolean): boolean {
  if (/^wss:/i.test(url)) return true;
  return !wasSecure && /^ws:\/\/(localhost|127(\.\d+){3}|\[::1\])(:\d+)?(\/|$)/i.test(url);
}
