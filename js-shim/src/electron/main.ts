/** `ionbus/electron-main`: Electron's main process starts the broker, and lends each attached window a channel to it. */

import path from "node:path";
import { fileURLToPath } from "node:url";
import { app, type BrowserWindow } from "electron";
import type { Subscription } from "../dispatch/subscription.js";
import {
  type LaunchedBroker as CommonBroker,
  type LaunchOptions as CommonOptions,
  supervise,
} from "../node/supervisor.js";
import { type AttachOptions, attachWindow } from "./attach.js";
import { isName } from "./messages.js";

export type { BrokerExit } from "../node/child_process.js";
export type { BrokerHealth, BrokerState, BrokerStateChange, RestartPolicy } from "../node/supervisor.js";
export { BrokerExited } from "../node/supervisor.js";
export type { AttachOptions } from "./attach.js";

export interface LaunchOptions extends Omit<CommonOptions, "command"> {
  /** The program to run; where a packaged application has another, `packaged` is relative to `process.resourcesPath`. */
  readonly command: string | { readonly dev: string; readonly packaged: string };
  /** Tells several brokers apart: `connectElectron({ name })`. Default: "main". */
  readonly name?: string | undefined;
}

export interface LaunchedBroker extends CommonBroker {
  /** Let this window, and no other, connect. Closing what is given back takes that back, and ends its sessions. */
  attach(window: BrowserWindow, options?: AttachOptions): Subscription;
}

/** The preload for those who use no bundler: `webPreferences: { preload: preloadPath }`. */
export const preloadPath: string = locatePreload();

/**
 * Start a broker and look after it. Returns at once; `ready` tells when it has answered.
 *
 * ```ts
 * const broker = launchBroker({ command: "python", args: ["-m", "myapp"] });
 * broker.attach(window);
 * ```
 */
export function launchBroker(options: LaunchOptions): LaunchedBroker {
  const { name = "main", command, watch, ...rest } = options;
  if (!isName(name))
    throw new TypeError(`launchBroker: a name is 1 to 64 of A-Z a-z 0-9 _ . -, not ${String(name)}`);
  const supervisor = supervise({
    ...rest,
    command: programOf(command),
    watch: app.isPackaged ? [] : watch,
  });
  return Object.assign(supervisor.broker, {
    attach: (window: BrowserWindow, how?: AttachOptions) => attachWindow(supervisor, name, window, how),
  });
}

function programOf(command: LaunchOptions["command"]): string {
  if (typeof command === "string") return command;
  return app.isPackaged ? path.join(process.resourcesPath, command.packaged) : command.dev;
}

/** dist/electron-preload.cjs, from dist/esm/electron/ or dist/cjs/electron/; "" in a bundle, which has its own. */
function locatePreload(): string {
  const here: string | undefined = import.meta.url;
  return here === undefined ? "" : fileURLToPath(new URL("../../electron-preload.cjs", here));
}
