/** Python's process under the eyes of Electron's main: launchers, silence, quitting, changes of its files. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { App, type Transport } from "../support/electron.js";
import { brokerCommand, python } from "../support/paths.js";
import { allGone, brokersOf, processesOf } from "../support/processes.js";
import { until } from "../support/until.js";

let app: App;
afterEach(() => app?.tidy());

/** The same broker behind a shell that waits for it, as a bundle's launcher does. */
const throughAShell = { ...brokerCommand, command: "sh", args: ["-c", `"${python}" app.py; true`] };

describe("under load", () => {
  test.each<[Transport, string, typeof brokerCommand]>([
    ["port", "directly", brokerCommand],
    ["websocket", "through a launcher", throughAShell],
  ])("over %s an Electron that quits leaves nothing, launched %s", async (transport, _, launch) => {
    app = await App.start({ transport, launch });
    await app.evaluate(() => {
      lab.load();
      void lab.outcome(lab.bus.call(lab.Probe.blockThread, 600));
      return lab.bus.call(lab.Probe.pid);
    });
    expect(await app.main(() => shell.uncaught)).toEqual([]);
    await app.electron.close();
    await allGone(app.mark, 2000);
  });

  test("a launcher that is killed takes its Python along, and the window gets another", async () => {
    app = await App.start({ launch: throughAShell });
    const first = await app.evaluate(() => {
      lab.load();
      void lab.outcome(lab.bus.call(lab.Probe.blockThread, 600));
      return lab.bus.call(lab.Probe.pid);
    });
    const [launcher] = processesOf(app.mark).filter(({ command }) => command.startsWith("sh -c"));
    process.kill(launcher?.pid ?? 0, "SIGKILL");
    await until("the old Python is gone", () => brokersOf(app.mark).every(({ pid }) => pid !== first), 2000);
    await until("another answers", () =>
      app.evaluate(async () => "value" in (await lab.outcome(lab.bus.call(lab.Probe.add, { a: 1, b: 1 })))),
    );
    expect(await app.main(() => shell.broker.health.lastExit?.signal)).toBe("SIGKILL");
    expect(await app.main(() => shell.uncaught)).toEqual([]);
    await app.quit();
  });

  test("a Python that reads no more, again and again, is no exception in main", async () => {
    const deaf = [
      "import os, threading, time, app",
      "pipes = lambda: [int(fd) for fd in os.listdir('/proc/self/fd') if 'socket' in os.readlink(f'/proc/self/fd/{fd}')]",
      "threading.Timer(0.2, lambda: [os.close(fd) for fd in pipes() if fd > 2]).start()",
      "threading.Timer(0.3, lambda: os._exit(1)).start()",
      "app.broker.run()",
    ];
    const launch = { ...brokerCommand, args: ["-c", deaf.join("\n")] };
    app = await App.start({ launch: { ...launch, restart: { limit: 100, delayMs: () => 1 } } });
    await app.evaluate(() => lab.load());
    await until("it has died a few times", () => app.main(() => shell.broker.health.restarts > 3));
    expect(await app.main(() => shell.uncaught)).toEqual([]);
    await app.quit();
  });
});

test("a Python that never answers is told as such, and is not left running", async () => {
  const silent = "import sys, time; print('thinking', file=sys.stderr, flush=True); time.sleep(600)";
  app = await App.start({
    launch: { command: python, args: ["-c", silent], startTimeoutMs: 1000, restart: false },
  });
  const refusal = await app.main(() => shell.ready);
  expect(refusal?.message).toContain("has not answered within 1000 ms of its start, and was ended\nthinking");
  expect(processesOf(app.mark).filter(({ command }) => command.includes("thinking"))).toEqual([]);
  await until("the window knows", () => app.evaluate(() => lab.bus.state === "closed"));
});

test("a Python whose files change is started anew, and so is one that could not be", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "ionbus-e2e-"));
  const settings = path.join(folder, "settings.py");
  await writeFile(settings, "");
  app = await App.start({
    launch: {
      ...brokerCommand,
      args: ["-c", `import runpy; runpy.run_path(${JSON.stringify(settings)}); import app; app.broker.run()`],
      watch: [folder],
      restart: false,
    },
  });
  const first = await app.evaluate(() => lab.bus.call(lab.Probe.pid));
  await writeFile(settings, "# changed");
  await until("another runs", () =>
    app.main(() => shell.broker.state === "running" && shell.broker.health.restarts === 1),
  );
  await until("the window has it", () => app.evaluate(() => lab.bus.state === "open"));
  expect(await app.evaluate(() => lab.bus.call(lab.Probe.pid))).not.toBe(first);

  await writeFile(settings, "not yet");
  await until("it is waited for", async () =>
    (await app.logs()).join("\n").includes("again when a file changes"),
  );
  await writeFile(settings, "");
  expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 2 }))).toBe(3);
  await app.quit();
  await rm(folder, { recursive: true });
});
