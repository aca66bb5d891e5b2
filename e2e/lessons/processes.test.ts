/** In real processes of Node.js and Python; each test is named after what happened to others (docs/lessons.md). */
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { launchBroker } from "ionbus/node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Probe } from "../app/generated/probe.js";
import { brokerCommand, inRepository, python } from "../support/paths.js";
import { killAll, newMark } from "../support/processes.js";

let mark: string;
let env: Record<string, string>;
beforeEach(() => {
  ({ mark, env } = newMark());
});
afterEach(() => killAll(mark));

const run = promisify(execFile);

test("a write to a dead child's stdin raises EPIPE with no listener, and takes the application down", async () => {
  const program = inRepository("e2e", "lessons", "dead_child.mjs");
  const { stdout } = await run(process.execPath, ["--unhandled-rejections=strict", program], {
    env: {
      ...env,
      E2E_LAUNCH: JSON.stringify(brokerCommand),
      E2E_FINGERPRINT: Probe.__contract__.fingerprint,
    },
    timeout: 20_000,
  });
  expect(JSON.parse(stdout)).toEqual({
    states: ["running", "failed"],
    codes: ["connection_lost"],
    bus: "closed",
  });
});

test("results over 64 KiB break because reads are taken for messages", async () => {
  const broker = launchBroker({
    ...brokerCommand,
    args: [inRepository("tests", "lessons", "relay.py"), python, path.join(brokerCommand.cwd, "app.py")],
    env,
  });
  const bus = broker.connect();
  const changes: string[] = [];
  bus.onState(({ to }) => changes.push(to));
  for (const size of [1, 65_535, 65_536, 65_537, 200_000, 1_000_000]) {
    const data = new Uint8Array(size).map((_, index) => index % 251);
    const back = await bus.call(Probe.echo, { text: "", data });
    expect(Buffer.compare(back.data, data)).toBe(0);
  }
  expect(changes).toEqual(["open"]);
  await broker.stop();
});

test("a call time-out of 100 s is the only sign that the child hangs", async () => {
  const dying = "import sys; print('loading the model', file=sys.stderr); sys.exit('there is no licence')";
  const dead = launchBroker({ command: python, args: ["-c", dying], env, restart: false });
  dead.onLog(() => {});
  await expect(dead.ready).rejects.toMatchObject({
    code: "connection_lost",
    exitCode: 1,
    lastLines: ["loading the model", "there is no licence"],
  });
  const deaf = launchBroker({
    command: python,
    args: ["-c", "import time; time.sleep(600)"],
    env,
    restart: false,
    startTimeoutMs: 200,
    graceMs: 100,
  });
  await expect(deaf.ready).rejects.toThrow("has not answered within 200 ms");
  await Promise.all([dead.stop(), deaf.stop()]);
});
