/** Starts a server in Python, as the child of this process. */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Start a server that tells, as its first line, where it is. */
export async function startServer([command, ...args]) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: child.stdout }), "line", child);
  return { pid: child.pid, endpoint: JSON.parse(line), stop: () => child.stdin.end() };
}

/** Start a server that speaks over its standard input and output. */
export function startPipe([command, ...args]) {
  return spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
}

function once(emitter, event, child) {
  return new Promise((resolve, reject) => {
    emitter.once(event, (...values) => resolve(values));
    child.once("exit", (code) => reject(new Error(`the server has exited with ${code}`)));
  });
}
