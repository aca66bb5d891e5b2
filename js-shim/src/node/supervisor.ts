/**
 * Starts a broker as a child process, speaks to it over its pipes, and starts it again when it dies.
 *
 * The pipe is the lifeline: whatever becomes of this process, the end of file on its input ends the broker.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { Channel, PeerIdentity, Receiver } from "../channels/base.js";
import { type Pipe, stdioPipe } from "../channels/stdio.js";
import { type Bus, type BusOptions, createBus } from "../client/bus.js";
import { createListening, type Subscription } from "../dispatch/subscription.js";
import { ConnectionLost } from "../errors.js";
import { useNodePlatform } from "./platform.js";

/** When to start a broker again. */
export interface RestartPolicy {
  /** How many deaths in a row are too many. A broker that was ready for 5 s counts as well again. Default: 10. */
  readonly limit?: number | undefined;
  /** How long to wait after the nth death in a row, in milliseconds. Default: 50 · 2ⁿ, at most 10,000. */
  readonly delayMs?: ((deaths: number) => number) | undefined;
}

export interface LaunchOptions {
  /** The program to run. */
  readonly command: string;
  readonly args?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Whether, or when, to start it again. Default: true. */
  readonly restart?: boolean | RestartPolicy | undefined;
  /** How long a broker that is told to stop may take, in milliseconds, before it is made to. Default: 5,000. */
  readonly graceMs?: number | undefined;
}

/** How it stands with the process. `failed`: it is not started again. */
export type BrokerState = "starting" | "running" | "restarting" | "stopping" | "stopped" | "failed";

export interface BrokerStateChange {
  readonly from: BrokerState;
  readonly to: BrokerState;
  /** Why, in words; undefined where there is nothing to tell. */
  readonly reason: string | undefined;
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

  constructor(message: string, exit: Exit, lastLines: readonly string[]) {
    super(lastLines.length === 0 ? message : `${message}\n${lastLines.join("\n")}`);
    this.exitCode = exit.code;
    this.exitSignal = exit.signal;
    this.lastLines = lastLines;
  }
}

export interface LaunchedBroker {
  readonly state: BrokerState;
  /** The process's id, while there is one. */
  readonly pid: number | undefined;
  /** Resolves when the broker has answered; rejects with its exit code and last lines if it ended before. */
  readonly ready: Promise<void>;
  onState(listener: (change: BrokerStateChange) => void): Subscription;
  /** Be given each line that the broker writes to its standard error. Without a listener it goes to ours. */
  onLog(listener: (line: string) => void): Subscription;
  /** Be a client of the broker. The bus outlives the process: a new one is a new session. */
  connect(options?: BusOptions): Bus;
  /** End the broker: close its input, wait, then SIGTERM, then SIGKILL. */
  stop(): Promise<void>;
}

/** What Electron's main needs besides. */
export interface Supervisor extends LaunchedBroker {
  /** Given to every client of this launch for its HELLO. */
  readonly token: string;
  /** This process's own bus. */
  readonly bus: Bus;
  /** Open a channel as soon as there is a broker. Rejects when there will be none. */
  open(identity: PeerIdentity, receiver: Receiver): Promise<Channel>;
  /** Say a line as if the broker had. */
  log(line: string): void;
}

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

const LAST_LINES = 20;
/** A line is cut after so many characters. */
const LONGEST_LINE = 4_096;
const STABLE_MS = 5_000;
const MAX_DEATHS = 10;
const GRACE_MS = 5_000;
const TERM_MS = 2_000;
/** How long after an exit its last words are waited for: a grandchild may hold the pipe open for ever. */
const DRAIN_MS = 500;

/** Start a broker and look after it. Returns at once. */
export function supervise(options: LaunchOptions): Supervisor {
  if (typeof options?.command !== "string" || options.command === "") {
    const example = '{ command: "python", args: ["-m", "myapp"] }';
    throw new TypeError(`launchBroker: command is the program to run, as in ${example}`);
  }
  useNodePlatform();
  const token = randomBytes(32).toString("hex");
  const policy: RestartPolicy = typeof options.restart === "object" ? options.restart : {};
  const limit = options.restart === false ? 0 : (policy.limit ?? MAX_DEATHS);
  const delayMs = policy.delayMs ?? ((deaths) => Math.min(10_000, 50 * 2 ** deaths));
  const states = createListening<BrokerStateChange>(report);
  const logs = createListening<string>(report);
  const waiting = new Set<{ readonly go: () => void; readonly fail: (error: Error) => void }>();
  let state: BrokerState = "starting";
  let child: ChildProcess | undefined;
  let pipe: Pipe | undefined;
  let lastLines: string[] = [];
  let deaths = 0;
  let timer: NodeJS.Timeout | undefined;
  let stable: NodeJS.Timeout | undefined;
  let failure: Error | undefined;
  let whenGone: Promise<void> = Promise.resolve();

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
    lastLines = [...lastLines.slice(1 - LAST_LINES), line];
    if (logs.size === 0) process.stderr.write(`${line}\n`);
    logs.call(line);
  }

  function start(): void {
    lastLines = [];
    let started: ChildProcess;
    try {
      started = spawn(options.command, options.args ?? [], {
        cwd: options.cwd,
        env: { ...process.env, ...options.env, IONBUS_LAUNCH: "stdio", IONBUS_TOKEN: token },
        stdio: ["pipe", "pipe", "pipe"],
        windowsHide: true,
      });
    } catch (error) {
      died(`cannot start ${options.command}: ${messageOf(error)}`, { code: null, signal: null });
      return;
    }
    child = started;
    const { stdin, stdout, stderr } = started;
    if (stdin === null || stdout === null || stderr === null) throw new TypeError("spawn gave no pipes");
    let pipeReason: string | undefined;
    const own = stdioPipe(stdin, stdout, (reason) => {
      pipeReason = reason;
      if (child === started) pipe = undefined;
      // A process that closed its pipes, or wrote no records, is of no more use; one that is ending may end by itself.
      setTimeout(() => end(started, "SIGTERM"), options.graceMs ?? GRACE_MS).unref();
    });
    pipe = own;
    readLines(stderr, log);

    whenGone = new Promise((resolve) => {
      let isOver = false;
      const over = (message: string, exit: Exit): void => {
        if (isOver) return;
        isOver = true;
        own.close();
        resolve();
        if (child === started) died(message, exit);
      };
      started.on("error", (error: NodeJS.ErrnoException) => {
        if (started.pid !== undefined) return; // a signal that could not be sent
        const why =
          error.code === "ENOENT" ? "no such program, or no such directory to run it in" : error.message;
        over(`cannot start ${options.command}: ${why}`, { code: null, signal: null });
      });
      started.on("exit", (code, signal) => {
        const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
        const garbage = pipeReason?.includes("it wrote") ? `; ${pipeReason}` : "";
        const say = (): void => over(`${commandLine(options)} ${how}${garbage}`, { code, signal });
        started.on("close", say); // its last words have been read
        setTimeout(say, DRAIN_MS);
      });
    });
    for (const { go } of [...waiting]) go();
  }

  function died(message: string, exit: Exit): void {
    clearTimeout(stable);
    child = undefined;
    pipe = undefined;
    const error = new BrokerExited(message, exit, lastLines);
    settleReady?.reject(error);
    if (state === "stopping" || state === "stopped") return;
    deaths += 1;
    if (deaths > limit) {
      failure = error;
      error.isFinal = true;
      become("failed", message);
      for (const { fail } of [...waiting]) fail(error);
      return;
    }
    become("restarting", message);
    timer = setTimeout(start, delayMs(deaths));
  }

  function open(identity: PeerIdentity, receiver: Receiver): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        if (pipe === undefined || !pipe.isOpen) return;
        waiting.delete(entry);
        resolve(pipe.open(identity, receiver));
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
    const bus = createBus(route, busOptions);
    buses.add(bus);
    bus.onState(({ to }) => {
      if (to === "closed") buses.delete(bus);
    });
    return bus;
  }

  async function stop(): Promise<void> {
    if (state === "stopped") return;
    clearTimeout(timer);
    clearTimeout(stable);
    become("stopping");
    settleReady?.reject(new ConnectionLost("the broker was stopped before it was ready"));
    for (const { fail } of [...waiting]) fail(stopped());
    await Promise.all([...buses].map((bus) => bus.close()));
    pipe?.close();
    const stopping = child;
    if (stopping !== undefined) {
      const term = setTimeout(() => end(stopping, "SIGTERM"), options.graceMs ?? GRACE_MS);
      const kill = setTimeout(() => end(stopping, "SIGKILL"), (options.graceMs ?? GRACE_MS) + TERM_MS);
      await whenGone;
      clearTimeout(term);
      clearTimeout(kill);
    }
    become("stopped");
  }

  const buses = new Set<Bus>();
  start();
  const bus = connect();
  bus.onState(({ to, reason = "it was closed" }) => {
    if (to === "closed")
      settleReady?.reject(new ConnectionLost(`the broker refuses its own parent: ${reason}`));
    if (to !== "open") return;
    settleReady?.resolve();
    settleReady = undefined;
    become("running");
    clearTimeout(stable);
    stable = setTimeout(() => {
      deaths = 0;
    }, STABLE_MS);
    stable.unref();
  });

  return {
    get state() {
      return state;
    },
    get pid() {
      return child?.pid;
    },
    ready,
    token,
    bus,
    open,
    log,
    connect,
    stop,
    onState: (listener) => states.add(listener),
    onLog: (listener) => logs.add(listener),
  };
}

/** Why there will be no channel any more. */
function stopped(): Error {
  return Object.assign(new ConnectionLost("the broker was stopped"), { isFinal: true });
}

function end(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
}

/** Give a stream's text line by line; it is read without pause. */
function readLines(stream: NodeJS.ReadableStream, line: (text: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop() ?? "";
    if (rest.length > LONGEST_LINE) {
      lines.push(rest);
      rest = "";
    }
    for (const each of lines) line(each.slice(0, LONGEST_LINE));
  });
  stream.on("end", () => {
    if (rest !== "") line(rest);
    rest = "";
  });
  stream.on("error", () => {}); // its end is told by the process's
}

function commandLine({ command, args = [] }: LaunchOptions): string {
  return [command, ...args].join(" ");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function report(error: unknown): void {
  console.error("ionbus: a listener of the broker failed:", error);
}
