/** The broker of app/ on a WebSocket port of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { brokerCommand } from "./paths.js";
import { killAll, newMark } from "./processes.js";

export interface ServedBroker {
  readonly url: string;
  readonly token: string;
  readonly process: ChildProcess;
  /** What it has written to its standard error. */
  readonly logs: string[];
  stop(): Promise<void>;
}

export interface ServeOptions {
  /** Whose pages may connect. */
  readonly origins?: string[];
  /** The names besides its own by which clients reach it, as "127.0.0.1:8080". */
  readonly hosts?: string[];
  /** What lets clients in; a random one, unless it is given. */
  readonly token?: string;
  /** What the token gives. */
  readonly roles?: string[];
  /** The file of a certificate and its key, for wss://. */
  readonly certificate?: string;
  /** Where to write URL and token. */
  readonly endpointFile?: string;
}

/** Start it, and wait until it listens. */
export async function startBroker(options: ServeOptions = {}): Promise<ServedBroker> {
  const { origins = [], hosts = [], token, roles, certificate, endpointFile } = options;
  const { mark, env } = newMark();
  const { command, args, cwd } = brokerCommand;
  const served = { origins, hosts, token, roles, certificate, endpoint_file: endpointFile };
  const child = spawn(command, [...args, JSON.stringify(served)], {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const logs: string[] = [];
  createInterface(child.stderr).on("line", (line) => logs.push(line));
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const endpoint = await new Promise<{ url: string; token: string }>((resolve, reject) => {
    createInterface(child.stdout).once("line", (line) => resolve(JSON.parse(line)));
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`the broker ended with ${code}: ${logs.join("\n")}`)));
  });
  return {
    ...endpoint,
    process: child,
    logs,
    async stop() {
      killAll(mark);
      await gone;
    },
  };
}
