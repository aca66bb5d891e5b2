/** Programs of Node.js that launch a broker, as ES module and as CommonJS, and what is left when they die. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { launchBroker } from "ionbus/node";
import { afterEach, describe, expect, test } from "vitest";
import { Probe } from "../app/generated/probe.js";
import { brokerCommand, inRepository, python } from "../support/paths.js";
import { allGone, brokersOf, killAll, newMark } from "../support/processes.js";
import { until } from "../support/until.js";

let mark = "";
afterEach(() => killAll(mark));

interface Said {
  readonly sum: number;
  readonly pid: number;
  readonly connect: string;
}

async function run(program: string): Promise<{ child: ChildProcess; said: Said }> {
  const marked = newMark();
  mark = marked.mark;
  const child = spawn(process.execPath, [inRepository("e2e", "node", program)], {
    env: {
      ...marked.env,
      E2E_LAUNCH: JSON.stringify(brokerCommand),
      E2E_FINGERPRINT: Probe.__contract__.fingerprint,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = await new Promise<Said>((resolve, reject) => {
    createInterface(child.stdout).once("line", (line) => resolve(JSON.parse(line)));
    child.once("exit", (code) => reject(new Error(`it ended with ${code}`)));
  });
  return { child, said };
}

describe.each(["program.cjs", "program.mjs"])("%s", (program) => {
  test("calls the broker that it launched", async () => {
    const { child, said } = await run(program);
    expect(said).toEqual({ sum: 3, pid: brokersOf(mark)[0]?.pid, connect: "function" });
    child.kill("SIGTERM");
    await allGone(mark, 2000);
  });

  test("leaves no Python when it is killed", async () => {
    const { child } = await run(program);
    child.kill("SIGKILL");
    await allGone(mark, 2000);
  });
});

describe("launchBroker", () => {
  function launch(options: Partial<Parameters<typeof launchBroker>[0]> = {}) {
    const marked = newMark();
    mark = marked.mark;
    const broker = launchBroker({ ...brokerCommand, env: marked.env, ...options });
    broker.onLog(() => {});
    return broker;
  }

  test("starts a broker that was killed again, and its bus recovers", async () => {
    const broker = launch();
    const states: string[] = [];
    broker.onState(({ to }) => states.push(to));
    const bus = broker.connect();
    const outcomes: unknown[] = [];
    bus.onState(({ to, outcome }) => outcomes.push(outcome ?? to));
    const first = await bus.call(Probe.pid);
    process.kill(first, "SIGKILL");
    await until("it is noticed", () => bus.state === "reconnecting");
    expect(await bus.call(Probe.pid)).not.toBe(first);
    expect(outcomes).toEqual(["fresh", "reconnecting", "lost"]);
    await until("it is running again", () => broker.state === "running");
    expect(states).toEqual(["running", "restarting", "running"]);
    await broker.stop();
    expect(states.slice(3)).toEqual(["stopping", "stopped"]);
    await allGone(mark, 1000);
  });

  test("stops a broker whose handler does not end", async () => {
    const broker = launch({ graceMs: 500 });
    const bus = broker.connect();
    await bus.call(Probe.pid);
    const blocked = bus.call(Probe.blockThread, 600).catch((error: { code: string }) => error.code);
    const loop = bus.call(Probe.blockLoop, 600).catch((error: { code: string }) => error.code);
    await broker.stop();
    await allGone(mark, 500);
    expect(await blocked).toBe("connection_lost");
    expect(await loop).toBe("connection_lost");
  });

  test("gives up a broker that dies again and again", async () => {
    const broker = launch({
      command: python,
      args: ["-c", "raise SystemExit('no licence')"],
      restart: { limit: 2, delayMs: () => 10 },
    });
    const bus = broker.connect();
    await expect(broker.ready).rejects.toMatchObject({
      code: "connection_lost",
      message: expect.stringContaining("no licence"),
    });
    await until("it has failed", () => broker.state === "failed");
    await expect(bus.call(Probe.pid, null, { timeoutMs: 1000 })).rejects.toMatchObject({
      code: expect.stringMatching(/call_timeout|connection_lost/),
    });
    await broker.stop();
  });
});
