/** What the supervisor knows of a broker, and what it does where one hangs, lies, or is to be started anew. */

import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it, vi } from "vitest";
import { Conductor } from "../conductor.js";
import { failure, isAlive, script, useLauncher } from "./launcher.js";

const launcher = useLauncher();
const { launch } = launcher;

describe("health", () => {
  it("is plain data that tells how it stands", async () => {
    const broker = launch({ restart: { delayMs: () => 1 } });
    expect(broker.health).toMatchObject({ state: "starting", restarts: 0, deaths: 0, lastExit: undefined });
    await broker.ready;
    await vi.waitUntil(() => broker.health.lastLines.length > 0);
    const { pid = 0, uptimeMs = 0, lastLines } = broker.health;
    expect([pid, lastLines]).toEqual([broker.pid, ["a broker begins"]]);
    expect(uptimeMs).toBeGreaterThan(0);

    process.kill(pid, "SIGKILL");
    await vi.waitUntil(() => broker.health.restarts === 1 && broker.state === "running");
    const after = broker.health;
    expect(after).toEqual(structuredClone(after));
    expect(after.pid).not.toBe(pid);
    expect(after.deaths).toBe(1);
    expect(after.lastExit).toEqual({
      code: null,
      signal: "SIGKILL",
      reason: expect.stringContaining("was ended by SIGKILL"),
      lastLines: ["a broker begins"],
    });
    await broker.stop();
    expect(broker.health).toMatchObject({ state: "stopped", pid: undefined, uptimeMs: undefined });
  });

  it("does not tell the token, nor does the log", async () => {
    const broker = launch({ env: { LEAKY: "1" } });
    const lines: string[] = [];
    broker.onLog((line) => lines.push(line));
    await vi.waitUntil(() => lines.some((line) => line.includes("IONBUS_TOKEN")));
    expect(lines.join("\n")).toContain('"IONBUS_TOKEN":"[token]"');
    expect(broker.health.lastLines.join("\n")).not.toMatch(/"IONBUS_TOKEN":"[0-9a-f]/);
  });

  it("does not tell a token that two pieces of a long line share", async () => {
    const code =
      "const { IONBUS_TOKEN: t } = process.env; process.stderr.write('x'.repeat(4090) + t.slice(0, 20));" +
      "setTimeout(() => { process.stderr.write(t.slice(20) + 'y'.repeat(9000)); process.exitCode = 3 }, 50)";
    const { lastLines } = await failure(launch({ args: script(code), restart: false }));
    expect(lastLines.join("")).toMatch(/^x{4090}\[token\]y{9000}$/);
  });
});

it("does not let its clients sit out their back-off once it is there again", async () => {
  const broker = launch({ restart: { delayMs: () => 1 } });
  const bus = broker.connect({ limits: { retryBaseMs: 600_000, retryCapMs: 600_000 } });
  const { files: pid } = await bus.call(Conductor.execute, { flow: "" });
  process.kill(pid, "SIGKILL");
  await vi.waitUntil(() => broker.health.restarts === 1);
  await vi.waitUntil(() => bus.state === "open");
  expect((await bus.call(Conductor.execute, { flow: "" })).files).not.toBe(pid);
});

describe("a broker that hangs", () => {
  it("before it has ever answered is ended, and counts as dead", async () => {
    const broker = launch({ env: { MUTE: "1" }, startTimeoutMs: 2_000, restart: false });
    const { pid = 0 } = broker;
    const { message } = await failure(broker);
    expect(message).toContain("has not answered within 2000 ms of its start, and was ended\na broker begins");
    expect(isAlive(pid)).toBe(false);
    expect(broker.state).toBe("failed");
  });

  it("and has closed its output is given its grace, and ended", async () => {
    const code = "require('fs').closeSync(1); setInterval(() => {}, 1000)";
    const broker = launch({ args: script(code), graceMs: 50, restart: false });
    const { message } = await failure(broker);
    expect(message).toContain("has closed its standard output, ran on, and was ended");
  });

  it("or prints what is no record is ended at once", async () => {
    const code = "console.log('Hello, I am no broker'); setInterval(() => {}, 1000)";
    const broker = launch({ args: script(code), graceMs: 600_000, restart: false });
    expect((await failure(broker)).message).toContain('"Hello, I am no broker\\n"');
    expect(broker.pid).toBeUndefined();
  });
});

describe("a broker behind a launcher", () => {
  it("ends although only the launcher was killed", async () => {
    const command = `"${process.execPath}" "${path.join(launcher.folder, "child.mjs")}"; true`;
    const broker = launch({ command: "sh", args: ["-c", command], restart: false });
    const bus = broker.connect();
    const { files: pid } = await bus.call(Conductor.execute, { flow: "" });
    expect(pid).not.toBe(broker.pid);
    process.kill(broker.pid as number, "SIGKILL");
    await vi.waitUntil(() => !isAlive(pid), { timeout: 5000 });
    await vi.waitUntil(() => broker.state === "failed");
  });
});

describe("restart", () => {
  it("starts a broker anew, which is no death", async () => {
    const broker = launch({ restart: false });
    const bus = broker.connect();
    const { files: pid } = await bus.call(Conductor.execute, { flow: "" });
    const changes: string[] = [];
    broker.onState(({ from, to, reason = "" }) => changes.push(`${from} > ${to} ${reason}`.trim()));
    broker.restart("the settings have changed");
    await vi.waitUntil(() => broker.state === "running");
    expect((await bus.call(Conductor.execute, { flow: "" })).files).not.toBe(pid);
    expect(changes).toEqual(["running > restarting the settings have changed", "restarting > running"]);
    expect(broker.health).toMatchObject({ restarts: 1, deaths: 0, lastExit: { code: 0 } });
  });

  it("starts one that was given up, also when it is told of that", async () => {
    const flag = path.join(launcher.folder, "may-start");
    const child = path.join(launcher.folder, "child.mjs");
    const code = `if (!require('fs').existsSync(${JSON.stringify(flag)})) process.exit(3); import(${JSON.stringify(child)})`;
    const broker = launch({ args: script(code), restart: false });
    broker.onState(({ to }) => {
      if (to !== "failed") return;
      writeFileSync(flag, "");
      broker.restart();
    });
    expect((await failure(broker)).exitCode).toBe(3);
    await vi.waitUntil(() => broker.state === "running");
    expect((await broker.connect().call(Conductor.execute, { flow: "" })).files).toBe(broker.pid);
  });
});

describe("watching files", () => {
  /** A broker that imports a file, and is started anew when that has changed. */
  function launchWatching(name: string) {
    const source = path.join(launcher.folder, name);
    const child = path.join(launcher.folder, "child.mjs");
    writeFileSync(source, "");
    const code = `require('vm').runInThisContext(require('fs').readFileSync(${JSON.stringify(source)}, 'utf8')); import(${JSON.stringify(child)})`;
    return {
      source,
      broker: launch({ args: script(code), cwd: launcher.folder, watch: [name], restart: false }),
    };
  }

  it("starts the broker anew with each change, and waits for one where it cannot start", async () => {
    const { broker, source } = launchWatching("app.py");
    const lines: string[] = [];
    broker.onLog((line) => lines.push(line));
    const bus = broker.connect();
    const first = (await bus.call(Conductor.execute, { flow: "" })).files;

    writeFileSync(source, "// changed");
    await vi.waitUntil(() => broker.health.restarts === 1 && broker.state === "running", { timeout: 10_000 });
    expect(lines).toContain("ionbus: app.py changed; the broker is started anew");
    expect((await bus.call(Conductor.execute, { flow: "" })).files).not.toBe(first);

    writeFileSync(source, "throw new Error('not yet')");
    await vi.waitUntil(() => lines.some((line) => line.includes("started again when a file changes")), {
      timeout: 10_000,
    });
    expect([broker.state, broker.pid]).toEqual(["restarting", undefined]);

    writeFileSync(source, "// mended");
    expect(await bus.call(Conductor.execute, { flow: "" })).toMatchObject({ launch: "stdio" });
    expect(bus.state).toBe("open");
  });

  it("is refused where there is nothing to watch", () => {
    expect(() => launch({ watch: ["no-such-folder"] })).toThrow(/watch: .*no-such-folder is not there/);
  });
});

it("nobody who writes to a broker that reads no more gets an exception", async () => {
  const uncaught = vi.fn();
  process.on("uncaughtException", uncaught);
  const broker = launch({
    args: script("require('fs').closeSync(0); setTimeout(() => {}, 20)"),
    restart: { limit: 1000, delayMs: () => 1 },
  });
  const bus = broker.connect();
  const calls = Array.from({ length: 20 }, () =>
    bus.call(Conductor.echo, new Uint8Array(300_000)).catch(() => {}),
  );
  await vi.waitUntil(() => broker.health.restarts > 10, { timeout: 20_000 });
  await broker.stop();
  await Promise.all(calls);
  process.off("uncaughtException", uncaught);
  expect(uncaught).not.toHaveBeenCalled();
});

it("a log that nobody reads is no exception", () => {
  const program = `
    const { launchBroker } = require(${JSON.stringify(path.resolve("dist/cjs/node/index.js"))});
    const command = { command: process.execPath, args: ["-e", "setInterval(() => console.error('line'), 5)"] };
    launchBroker({ ...command, restart: false });
    process.on("uncaughtException", (error) => { console.log("uncaught", error.code); process.exit(7); });
    setTimeout(() => { console.log("well"); process.exit(0); }, 500);
  `;
  // Its standard error is a pipe whose reader has ended.
  const said = execFileSync(
    "sh",
    ["-c", '{ "$0" -e "$1" 2>&1 1>&3 | true; } 3>&1', process.execPath, program],
    {
      encoding: "utf8",
    },
  );
  expect(said).toBe("well\n");
});
