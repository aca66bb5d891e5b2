/** One run of a broker's process: its pipes, its last words and its end. The supervisor decides when there is another. */

import { type ChildProcess, spawn } from "node:child_process";
import { type Pipe, stdioPipe } from "../channels/stdio.js";

/** What to run. */
export interface Command {
  /** The program. */
  readonly command: string;
  readonly args?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** How a process has ended, or why it could not be started. */
export interface BrokerExit {
  /** Null where a signal ended it, or it never ran. */
  readonly code: number | null;
  readonly signal: string | null;
  /** In words, with the command. */
  readonly reason: string;
  /** The last lines that it wrote to its standard error. */
  readonly lastLines: readonly string[];
}

/** Who is told of a run. */
export interface Listener {
  /** A line of its standard error, without the token. */
  line(text: string): void;
  /** It is over; called once, and not before `runBroker` has returned. */
  over(exit: BrokerExit): void;
}

export interface BrokerRun {
  readonly pid: number | undefined;
  readonly pipe: Pipe;
  /** The last lines that it wrote to its standard error. */
  readonly lastLines: readonly string[];
  /** Settled when it is over. */
  readonly gone: Promise<void>;
  /** Close its input and wait; then SIGTERM, then SIGKILL. `reason`: for its channels. */
  end(reason: string): void;
  /** Do so without waiting for it, since it has done something or fails to. `deed`: what, to be said of it. */
  terminate(deed: string): void;
}

const LAST_LINES = 20;
/** A line is cut after so many characters. */
const LONGEST_LINE = 4_096;
const TERM_MS = 2_000;
/** How long after an exit its last words are waited for: another process may hold its pipes open for ever. */
const DRAIN_MS = 500;

/**
 * Start a broker's process. Whatever becomes of this one, the end of the pipe ends that one.
 *
 * @param graceMs - how long it may take between the end of its input and SIGTERM.
 */
export function runBroker(command: Command, token: string, graceMs: number, listener: Listener): BrokerRun {
  const name = [command.command, ...(command.args ?? [])].join(" ");
  let lastLines: readonly string[] = [];
  let deed: string | undefined;
  let isEnding = false;
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  let settleGone: () => void = () => {};
  const gone = new Promise<void>((resolve) => {
    settleGone = resolve;
  });

  let child: ChildProcess | undefined;
  let pipe: Pipe = NO_PIPE;

  function start(): void {
    child = spawn(command.command, command.args ?? [], {
      cwd: command.cwd,
      env: { ...process.env, ...command.env, IONBUS_LAUNCH: "stdio", IONBUS_TOKEN: token },
      stdio: ["pipe", "pipe", "pipe"],
      windowsHide: true,
    });
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (child?.pid === undefined) failed(error); // else it is a signal that could not be sent
    });
    const { stdin, stdout, stderr } = child;
    if (!stdin || !stdout || !stderr) return; // no more files can be opened: the error says so
    pipe = stdioPipe(stdin, stdout, (end) => {
      // Who wrote no records is of no use; who closed its pipes may be about to end.
      if (end.isViolation) {
        terminate(end.deed, "SIGKILL");
      } else {
        endSoon(`${end.deed}, ran on, and was ended`);
        setTimeout(() => pipe.close(`the broker ${end.deed}`), DRAIN_MS).unref();
      }
    });
    readLines(stderr, token, (text) => {
      lastLines = [...lastLines.slice(1 - LAST_LINES), text];
      listener.line(text);
    });
    child.on("exit", (code, signal) => {
      const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
      const said = (): void => over(code, signal, `${name} ${deed ?? how}`);
      clearTimeout(timer);
      timer = setTimeout(said, DRAIN_MS);
      child?.on("close", said); // its last words have been read
    });
  }

  function failed(error: NodeJS.ErrnoException): void {
    const why =
      error.code === "ENOENT" ? "no such program, or no such directory to run it in" : error.message;
    over(null, null, `cannot start ${command.command}: ${why}`);
  }

  function over(code: number | null, signal: string | null, reason: string): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    pipe.close([reason, ...lastLines].join("\n"));
    // Behind a launcher that was killed the broker itself may live on: it shall notice that nobody reads.
    for (const stream of child?.stdio ?? []) stream?.destroy();
    settleGone();
    listener.over({ code, signal, reason, lastLines });
  }

  /** Let it end by itself, a while. `cause`: what to say of it where it does not. */
  function endSoon(cause?: string): void {
    if (isEnding || !isAlive()) return;
    isEnding = true;
    timer = setTimeout(() => terminate(cause), graceMs);
  }

  function terminate(cause: string | undefined, signal: NodeJS.Signals = "SIGTERM"): void {
    if (!isAlive()) return;
    isEnding = true;
    deed ??= cause;
    clearTimeout(timer);
    child?.kill(signal);
    timer = setTimeout(() => child?.kill("SIGKILL"), TERM_MS);
  }

  function isAlive(): boolean {
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  try {
    start();
  } catch (error) {
    const problem = error instanceof Error ? error : new Error(String(error));
    queueMicrotask(() => failed(problem));
  }
  return {
    get pid() {
      return child?.pid;
    },
    get pipe() {
      return pipe;
    },
    get lastLines() {
      return lastLines;
    },
    gone,
    end(reason) {
      pipe.close(reason);
      endSoon();
    },
    terminate,
  };
}

/** The pipe of what could not be started. */
const NO_PIPE: Pipe = {
  isOpen: false,
  open() {
    throw new TypeError("this pipe is not open");
  },
  close() {},
};

/** Give a stream's text line by line, without the token; it is read without pause. */
function readLines(stream: NodeJS.ReadableStream, token: string, line: (text: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).replaceAll(token, "[token]").split(/\r?\n/);
    rest = lines.pop() ?? "";
    // What is cut off may end with the beginning of a token, unless more than a token's length is left.
    while (rest.length > LONGEST_LINE + token.length) {
      lines.push(rest.slice(0, LONGEST_LINE));
      rest = rest.slice(LONGEST_LINE);
    }
    for (const each of lines) line(each.slice(0, LONGEST_LINE));
  });
  stream.on("end", () => {
    if (rest !== "") line(rest.slice(0, LONGEST_LINE));
    rest = "";
  });
  stream.on("error", () => {}); // its end is told by the process's
}
