/**
 * Starts a broker as a child process, speaks to it over its pipes, and starts it again when it dies (docs/supervision.md).
 *
 * The pipe is the lifeline: whatever becomes of this process, the end of the pipe ends the broker.
 */

import { randomBytes } from "node:crypto";
import path from "node:path";
import type { Channel, PeerIdentity, Receiver } from "../channels/base.js";
import { type Bus, type BusOptions, createBus } from "../client/bus.js";
import { createListening, type Subscription } from "../dispatch/subscription.js";
import { ConnectionLost } from "../errors.js";
import { LONGEST_DELAY_MS, now, startTimer, stopTimer } from "../time.js";
import { type BrokerExit, type BrokerRun, type Command, runBroker } from "./child_process.js";
import { watchFiles } from "./file_watch.js";
import { useNodePlatform } from "./platform.js";

/** When to start a broker again. */
export interface RestartPolicy {
  /** How many deaths in a row are too many. A broker that was ready for 5 s counts as well again. Default: 10. */
  readonly limit?: number | undefined;
  /** How long to wait after the nth death in a row, in milliseconds. Default: 50 · 2ⁿ, at most 10,000. */
  readonly delayMs?: ((deaths: number) => number) | undefined;
}

export interface LaunchOptions extends Command {
  /** Whether, or when, to start it again after it has died. Default: true. */
  readonly restart?: boolean | RestartPolicy | undefined;
  /**
   * How long a broker may take from its start to its first answer, in milliseconds, before it is ended and counts as dead.
   * Default: 120,000.
   */
  readonly startTimeoutMs?: number | undefined;
  /** How long a broker that is told to stop may take, in milliseconds, before it is made to. Default: 5,000. */
  readonly graceMs?: number | undefined;
  /**
   * For development: files, and folders with Python files in them, relative to `cwd`. When one has changed the broker is started anew; one
   * that has died too often waits for that instead of being given up. Default: none.
   */
  readonly watch?: readonly string[] | undefined;
}

/** How it stands with the process. `failed`: it is not started again. */
export type BrokerState = "starting" | "running" | "restarting" | "stopping" | "stopped" | "failed";

export interface BrokerStateChange {
  readonly from: BrokerState;
  readonly to: BrokerState;
  /** Why, in words; undefined where there is nothing to tell. */
  readonly reason: string | undefined;
}

/** How it stands with a broker, as plain data. */
export interface BrokerHealth {
  readonly state: BrokerState;
  /** The process's id, while there is one. */
  readonly pid: number | undefined;
  /** How often it was started after the first time. */
  readonly restarts: number;
  /** How often it has died in a row. */
  readonly deaths: number;
  /** How long this process has run, in milliseconds, while there is one. */
  readonly uptimeMs: number | undefined;
  /** How the process before this one has ended. */
  readonly lastExit: BrokerExit | undefined;
  /** The last lines that the newest process wrote to its standard error, at most 20. */
  readonly lastLines: readonly string[];
}

/** The broker's process has ended, or could not be started. */
export class BrokerExited extends ConnectionLost {
  override readonly name = "BrokerExited";
  /** Null where a signal ended it, or it never ran. */
  readonly exitCode: number | null;
  readonly exitSignal: string | null;
  /** The last lines that it wrote to its standard error. */
  readonly lastLines: readonly string[];
  /** Whether it is not started again: for those who wait for a channel to it. */
  isFinal = false;

  constructor({ reason, code, signal, lastLines }: BrokerExit) {
    super([reason, ...lastLines].join("\n"));
    this.exitCode = code;
    this.exitSignal = signal;
    this.lastLines = lastLines;
  }
}

export interface LaunchedBroker {
  readonly state: BrokerState;
  /** The process's id, while there is one. */
  readonly pid: number | undefined;
  /** How it stands with it, as it is now. */
  readonly health: BrokerHealth;
  /** Resolves when the broker has answered; rejects with its exit code and last lines if it ended before. */
  readonly ready: Promise<void>;
  onState(listener: (change: BrokerStateChange) => void): Subscription;
  /** Be given each line that the broker writes to its standard error. Without a listener it goes to ours. */
  onLog(listener: (line: string) => void): Subscription;
  /** Be a client of the broker. The bus outlives the process: a new one is a new session. */
  connect(options?: BusOptions): Bus;
  /** Start the broker anew, also one that was given up. It does not count as a death. */
  restart(reason?: string): void;
  /** End the broker: close its input, wait, then SIGTERM, then SIGKILL. */
  stop(): Promise<void>;
}

/** What Electron's main needs besides. */
export interface Supervisor {
  readonly broker: LaunchedBroker;
  /** Given to every client of this launch for its HELLO. */
  readonly token: string;
  /** This process's own bus. */
  readonly bus: Bus;
  /** Open a channel as soon as there is a broker. Rejects when there will be none. */
  open(identity: PeerIdentity, receiver: Receiver): Promise<Channel>;
  /** Say a line as if the broker had. */
  log(line: string): void;
}

const STABLE_MS = 5_000;
const MAX_DEATHS = 10;
const GRACE_MS = 5_000;
const START_TIMEOUT_MS = 120_000;

/** Start a broker and look after it. Returns at once. */
export function supervise(options: LaunchOptions): Supervisor {
  if (typeof options?.command !== "string" || options.command === "") {
    const example = '{ command: "python", args: ["-m", "myapp"] }';
    throw new TypeError(`launchBroker: command is the program to run, as in ${example}`);
  }
  useNodePlatform();
  // Where nobody reads our log any more, that is no reason to die of it.
  if (process.stderr.listenerCount("error") === 0) process.stderr.on("error", () => {});
  const { startTimeoutMs = START_TIMEOUT_MS, graceMs = GRACE_MS, cwd = ".", watch = [] } = options;
  const policy: RestartPolicy = typeof options.restart === "object" ? options.restart : {};
  const limit = options.restart === false ? 0 : (policy.limit ?? MAX_DEATHS);
  const delayMs = policy.delayMs ?? ((deaths) => Math.min(10_000, 50 * 2 ** deaths));
  const token = randomBytes(32).toString("hex");
  const states = createListening<BrokerStateChange>(report);
  const logs = createListening<string>(report);
  const buses = new Set<Bus>();
  const waiting = new Set<{ readonly go: () => void; readonly fail: (error: Error) => void }>();
  let state: BrokerState = "starting";
  let run: BrokerRun | undefined;
  let startedAt = 0;
  let starts = 0;
  let deaths = 0;
  let lastExit: BrokerExit | undefined;
  let lastLines: readonly string[] = [];
  /** Until the next start, until it has to have answered, until it counts as well. */
  let timer: unknown;
  let isWantedAnew = false;
  let failure: Error | undefined;
  let stopping: Promise<void> | undefined;

  let settleReady: { resolve: () => void; reject: (error: Error) => void } | undefined;
  const ready = new Promise<void>((resolve, reject) => {
    settleReady = { resolve, reject };
  });
  ready.catch(() => {}); // who does not ask is not told

  function become(next: BrokerState, reason?: string): void {
    if (state === next) return;
    const change = { from: state, to: next, reason };
    state = next;
    states.call(change);
  }

  function log(line: string): void {
    if (logs.size === 0) process.stderr.write(`${line}\n`);
    logs.call(line);
  }

  function after(ms: number, act: () => void): void {
    stopTimer(timer);
    timer = startTimer(act, Math.min(ms, LONGEST_DELAY_MS));
  }

  function start(): void {
    isWantedAnew = false;
    starts += 1;
    startedAt = now();
    const own = runBroker(options, token, graceMs, { line: log, over });
    run = own;
    const late = `has not answered within ${startTimeoutMs} ms of its start, and was ended`;
    after(startTimeoutMs, () => own.terminate(late));
    for (const { go } of [...waiting]) go();
    for (const each of buses) each.reconnect(); // their back-off is for brokers that are not there
  }

  /** It has answered. */
  function answered(): void {
    settleReady?.resolve();
    settleReady = undefined;
    if (state === "stopping" || isWantedAnew) return;
    become("running");
    after(STABLE_MS, () => {
      deaths = 0;
    });
  }

  /** The process has gone. */
  function over(exit: BrokerExit): void {
    stopTimer(timer);
    lastLines = exit.lastLines;
    lastExit = exit;
    run = undefined;
    if (state === "stopping" || state === "stopped" || state === "failed") return;
    if (isWantedAnew) {
      start();
      return;
    }
    const error = new BrokerExited(exit);
    settleReady?.reject(error);
    deaths += 1;
    if (deaths <= limit) {
      become("restarting", exit.reason);
      after(delayMs(deaths), start);
    } else if (watch.length > 0) {
      become("restarting", exit.reason);
      log("ionbus: the broker has died too often; it is started again when a file changes");
    } else {
      fail(error);
    }
  }

  /** It is not started again. */
  function fail(error: Error): void {
    failure = Object.assign(error, { isFinal: true });
    settleReady?.reject(error);
    for (const entry of [...waiting]) entry.fail(error);
    become("failed", error.message.split("\n", 1)[0]);
  }

  function restart(reason = "it was asked for"): void {
    if (state === "stopping" || state === "stopped") return;
    stopTimer(timer);
    deaths = 0;
    if (failure !== undefined) {
      failure = undefined;
      void bus.close();
      bus = greet();
    }
    become("restarting", reason);
    if (run === undefined) {
      start();
    } else {
      isWantedAnew = true;
      run.end(`the broker is started anew: ${reason}`);
    }
  }

  function open(identity: PeerIdentity, receiver: Receiver): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        if (run === undefined || !run.pipe.isOpen) return;
        waiting.delete(entry);
        resolve(run.pipe.open(identity, receiver));
      };
      const fail = (error: Error): void => {
        waiting.delete(entry);
        reject(error);
      };
      const entry = { go, fail };
      waiting.add(entry);
      if (failure !== undefined) fail(failure);
      else if (state === "stopping" || state === "stopped") fail(stopped());
      else go();
    });
  }

  function connect(busOptions: BusOptions = {}): Bus {
    const route = {
      mayRenewToken: false,
      open: async (receiver: Receiver) => ({ channel: await open({ role: "main" }, receiver), token }),
    };
    const made = createBus(route, busOptions);
    buses.add(made);
    made.onState(({ to }) => {
      if (to === "closed") buses.delete(made);
    });
    return made;
  }

  /** The bus whose greeting shows that the broker is ready. */
  function greet(): Bus {
    const greeting = connect();
    greeting.onState(({ to, code, reason }) => {
      if (to === "open") answered();
      // Other ends are ours, told by `open` or by `close`.
      if (to !== "closed" || code === "connection_lost" || code === "closed") return;
      const error = new ConnectionLost(`the broker refuses its own parent: ${reason}`);
      fail(error);
      run?.end(error.message);
    });
    return greeting;
  }

  async function end(): Promise<void> {
    stopTimer(timer);
    endWatch();
    become("stopping");
    settleReady?.reject(new ConnectionLost("the broker was stopped before it was ready"));
    for (const { fail } of [...waiting]) fail(stopped());
    await Promise.all([...buses].map((each) => each.close()));
    run?.end("the broker was told to stop");
    await run?.gone;
    become("stopped");
  }

  const endWatch =
    watch.length === 0
      ? () => {}
      : watchFiles(
          watch.map((each) => path.resolve(cwd, each)),
          (names) => {
            log(`ionbus: ${names} changed; the broker is started anew`);
            restart(`${names} changed`);
          },
        );
  start();
  let bus = greet();

  const broker: LaunchedBroker = {
    get state() {
      return state;
    },
    get pid() {
      return run?.pid;
    },
    get health() {
      return {
        state,
        pid: run?.pid,
        restarts: starts - 1,
        deaths,
        uptimeMs: run === undefined ? undefined : now() - startedAt,
        lastExit,
        lastLines: run?.lastLines ?? lastLines,
      };
    },
    ready,
    onState: (listener) => states.add(listener),
    onLog: (listener) => logs.add(listener),
    connect,
    restart,
    stop() {
      stopping ??= end();
      return stopping;
    },
  };
  return {
    broker,
    token,
    get bus() {
      return bus;
    },
    open,
    log,
  };
}

/** Why there will be no channel any more. */
function stopped(): Error {
  return Object.assign(new ConnectionLost("the broker was stopped"), { isFinal: true });
}

function report(error: unknown): void {
  console.error("ionbus: a listener of the broker failed:", error);
}
