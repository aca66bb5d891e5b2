/** Launches the small broker of child.ts, and stops after each test what it has launched. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { ConnectionLost } from "../../src/errors.js";
import {
  type BrokerExited,
  type LaunchedBroker,
  type LaunchOptions,
  launchBroker,
} from "../../src/node/index.js";

export interface Launcher {
  /** A folder of the tests' own; child.mjs in it is the broker. */
  readonly folder: string;
  /** Launch it, or what the options say. */
  launch(options?: Partial<LaunchOptions>): LaunchedBroker;
}

/** Set up a file's tests. */
export function useLauncher(): Launcher {
  const launched: LaunchedBroker[] = [];
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "ionbus-"));
    await build({
      entryPoints: [fileURLToPath(new URL("./child.ts", import.meta.url))],
      outfile: path.join(folder, "child.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      logLevel: "error",
    });
  });
  afterAll(() => rm(folder, { recursive: true }));
  afterEach(async () => {
    await Promise.all(launched.splice(0).map((broker) => broker.stop()));
  });
  return {
    get folder() {
      return folder;
    },
    launch(options = {}) {
      const broker = launchBroker({
        command: process.execPath,
        args: [path.join(folder, "child.mjs")],
        ...options,
      });
      broker.onLog(() => {});
      launched.push(broker);
      return broker;
    },
  };
}

/** Arguments that make Node.js run this code. */
export function script(code: string): readonly string[] {
  return ["-e", code];
}

/** What `ready` was rejected with. */
export async function failure(broker: LaunchedBroker): Promise<BrokerExited> {
  const error = await broker.ready.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConnectionLost);
  return error as BrokerExited;
}

/** Whether a process lives. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
