/** Which processes a test has started, found by a mark in their environment, which children inherit. Linux only. */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { until } from "./until.js";

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

const MARK = "IONBUS_E2E_MARK";

/** A mark, and the environment that carries it. */
export function newMark(): { mark: string; env: Record<string, string> } {
  const mark = randomUUID();
  const inherited = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith("VITEST"),
  );
  return { mark, env: { ...Object.fromEntries(inherited), [MARK]: mark } };
}

/** The processes with that mark, those that are dead and not yet collected left out. */
export function processesOf(mark: string): FoundProcess[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        if (!readFileSync(`/proc/${name}/environ`, "utf8").includes(`${MARK}=${mark}`)) return [];
        readlinkSync(`/proc/${name}/exe`); // a zombie has none
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        return [{ pid: Number(name), command }];
      } catch {
        return []; // gone meanwhile
      }
    });
}

/** The brokers among them. */
export function brokersOf(mark: string): FoundProcess[] {
  return processesOf(mark).filter(({ command }) => /python\S* \S*\.py\b/.test(command));
}

/** Which process has started it. */
export function parentOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

/** The TCP ports of this machine's own address that it listens on. */
export function portsOf(pid: number): number[] {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`)));
  const [, ...lines] = readFileSync(`/proc/${pid}/net/tcp`, "utf8").trim().split("\n");
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode]) => state === "0A" && sockets.has(`socket:[${inode}]`))
    .map(([, address]) => Number.parseInt(address?.split(":")[1] ?? "", 16));
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed meanwhile
  }
}

/** Wait until none with that mark is left. */
export async function allGone(mark: string, timeoutMs?: number): Promise<void> {
  try {
    await until("the processes are gone", () => processesOf(mark).length === 0, timeoutMs);
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : error}: ${JSON.stringify(processesOf(mark))}`,
    );
  }
}

/** Kill whatever with that mark a failed test has left. */
export function killAll(mark: string): void {
  for (const { pid } of processesOf(mark)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It was faster.
    }
  }
}
