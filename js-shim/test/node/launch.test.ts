import path from "node:path";
import { describe, expect, it, vi } from "vitest";
import { ConnectionLost, SessionLost } from "../../src/errors.js";
import { type LaunchOptions, launchBroker } from "../../src/node/index.js";
import { Conductor } from "../conductor.js";
import { failure, script, useLauncher } from "./launcher.js";

const launcher = useLauncher();
const { launch } = launcher;

describe("a launched broker", () => {
  it("answers, and knows how it was launched", async () => {
    const broker = launch({ env: { EXTRA: "yes" } });
    const lines: string[] = [];
    broker.onLog((line) => lines.push(line));
    await broker.ready;
    expect(broker.state).toBe("running");
    const answer: unknown = await broker.connect().call(Conductor.execute, { flow: "" });
    expect(answer).toEqual({ files: broker.pid, launch: "stdio", token: 64, extra: "yes" });
    expect(lines).toContain("a broker begins");
  });

  it("ends when it is told to", async () => {
    const broker = launch();
    await broker.ready;
    const bus = broker.connect();
    await bus.call(Conductor.ping);
    await broker.stop();
    expect([broker.state, broker.pid, bus.state]).toEqual(["stopped", undefined, "closed"]);
  });

  it("is made to end where it does not listen", async () => {
    const broker = launch({ env: { DEAF: "1" }, graceMs: 1 });
    await broker.ready;
    const { pid } = broker;
    await broker.stop();
    expect(() => process.kill(pid as number, 0)).toThrow("ESRCH");
  });

  it("is started again when it dies, and clients get a new session", async () => {
    const broker = launch({ restart: { delayMs: () => 1 } });
    const changes: string[] = [];
    broker.onState(({ to }) => changes.push(to));
    await broker.ready;
    const bus = broker.connect();
    const { files: pid } = await bus.call(Conductor.execute, { flow: "" });
    const outcome = new Promise((resolve) => {
      bus.onState((change) => {
        if (change.to === "open") resolve(change.outcome);
      });
    });
    process.kill(pid, "SIGKILL");
    await expect(outcome).resolves.toBe("lost");
    expect((await bus.call(Conductor.execute, { flow: "" })).files).not.toBe(pid);
    await vi.waitUntil(() => broker.state === "running");
    expect(changes).toEqual(["running", "restarting", "running"]);
  });

  it("is given up after too many deaths, and so are its buses", async () => {
    const broker = launch({ args: script("process.exit(7)"), restart: { limit: 2, delayMs: () => 1 } });
    const bus = broker.connect();
    const call = bus.call(Conductor.ping);
    await expect(call).rejects.toThrow("exit code 7");
    expect([broker.state, bus.state]).toEqual(["failed", "closed"]);
  });

  it("does not come back where it was told not to", async () => {
    const broker = launch({ restart: false });
    await broker.ready;
    const bus = broker.connect();
    const { files: pid } = await bus.call(Conductor.execute, { flow: "" });
    process.kill(pid, "SIGKILL");
    await vi.waitUntil(() => bus.state === "closed");
    expect(broker.state).toBe("failed");
    await expect(bus.call(Conductor.ping)).rejects.toBeInstanceOf(ConnectionLost);
  });

  it("loses nobody's mind over calls that were under way", async () => {
    const broker = launch({ restart: { delayMs: () => 1 } });
    await broker.ready;
    const bus = broker.connect();
    await bus.call(Conductor.ping);
    const calls = Array.from({ length: 20 }, () => bus.call(Conductor.ping));
    await Promise.resolve();
    process.kill(broker.pid as number, "SIGKILL");
    const settled = await Promise.allSettled(calls);
    for (const result of settled) {
      if (result.status === "rejected") expect(result.reason).toBeInstanceOf(SessionLost);
    }
  });
});

describe("a broker that does not start", () => {
  it("is told by its exit code and its last lines", async () => {
    const broker = launch({
      args: script("for (let i = 1; i < 40; i++) console.error('line ' + i); process.exitCode = 3"),
      restart: false,
    });
    const error = await failure(broker);
    expect(error.exitCode).toBe(3);
    expect(error.lastLines).toHaveLength(20);
    expect(error.message).toContain("exit code 3");
    expect(error.message).toContain("line 39");
  });

  it("has its last lines cut where they have no end", async () => {
    const broker = launch({
      args: script("process.stderr.write('x'.repeat(1_000_000)); process.exitCode = 3"),
      restart: false,
    });
    const { lastLines } = await failure(broker);
    expect(lastLines.length).toBeGreaterThan(0);
    expect(Math.max(...lastLines.map(({ length }) => length))).toBe(4_096);
  });

  it("is told by its name where there is no such program", async () => {
    const error = await failure(launch({ command: path.join(launcher.folder, "nothing"), restart: false }));
    expect(error.message).toContain(`cannot start ${path.join(launcher.folder, "nothing")}: no such program`);
  });

  it("is told by what it wrote where that is no record", async () => {
    const broker = launch({ args: script("console.log('Hello, I am no broker')"), restart: false });
    expect((await failure(broker)).message).toContain(
      'printed something that is no record on its standard output: "Hello, I am no broker\\n"',
    );
  });

  it("does not end this process with EPIPE", async () => {
    const broker = launch({
      args: script("process.stdin.destroy(); setTimeout(() => {}, 50)"),
      restart: false,
    });
    const bus = broker.connect();
    const big = bus.call(Conductor.echo, new Uint8Array(5_000_000));
    await expect(big).rejects.toBeInstanceOf(ConnectionLost);
  });

  it("is told where no program is named", () => {
    expect(() => launchBroker({} as LaunchOptions)).toThrow(/command is the program to run/);
  });

  it("has no clients after it was stopped", async () => {
    const broker = launch();
    await broker.ready;
    await broker.stop();
    const bus = broker.connect();
    await expect(bus.call(Conductor.ping)).rejects.toThrow("the broker was stopped");
    expect(bus.state).toBe("closed");
  });

  it("may be stopped before it is ready", async () => {
    const broker = launch({ args: script("process.stdin.resume()") });
    await broker.stop();
    await expect(broker.ready).rejects.toThrow("stopped before it was ready");
  });
});
