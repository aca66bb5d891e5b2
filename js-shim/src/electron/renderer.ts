/** `ionbus/electron-renderer`: the bus of a page in an Electron window. */

import { type Bus, type BusOptions, createBus } from "../client/bus.js";
import { ConnectionLost } from "../errors.js";
import { electronOpener, hasPreload } from "./page.js";

export interface ConnectElectronOptions extends BusOptions {
  /** Which broker, where main has launched several. Default: "main". */
  readonly name?: string | undefined;
}

const buses = new Map<string, Bus>();

/**
 * Connect this page to the broker that Electron's main has attached its window to. A second call in one page gives the
 * same bus, unless that was closed.
 *
 * @throws ConnectionLost the window's preload has no ionbus in it.
 */
export function connectElectron(options: ConnectElectronOptions = {}): Bus {
  const { name = "main", ...busOptions } = options;
  const known = buses.get(name);
  if (known !== undefined && known.state !== "closed") return known;
  if (!hasPreload()) {
    throw new ConnectionLost(
      'connectElectron: the window\'s preload has no ionbus in it; import "ionbus/electron-preload" there, or name `preloadPath` as the preload',
    );
  }
  const bus = createBus({ open: electronOpener(name), mayRenewToken: true }, busOptions);
  buses.set(name, bus);
  // Over a port main sees the page go; over a WebSocket the broker would wait for it to come back.
  window.addEventListener("pagehide", ({ persisted }) => {
    if (!persisted) void bus.close();
  });
  return bus;
}
