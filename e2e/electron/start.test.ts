/** A Python that is not there, dies, or talks nonsense: what `ready` and the window are told. */
import type { LaunchOptions } from "ionbus/electron-main";
import { afterEach, describe, expect, test } from "vitest";
import { App } from "../support/electron.js";
import { brokerCommand, python } from "../support/paths.js";
import { brokersOf, processesOf } from "../support/processes.js";
import { until } from "../support/until.js";

let app: App;
afterEach(() => app?.tidy());

/** Start the application with another command, and give what `ready` was rejected with. */
async function refusalOf(launch: LaunchOptions): Promise<{ code: string; message: string }> {
  app = await App.start({ launch: { ...launch, cwd: brokerCommand.cwd } });
  const refusal = await app.main(() => shell.ready);
  if (refusal === null) throw new Error("the broker is ready");
  expect(await app.evaluate(() => lab.bus.state)).not.toBe("open");
  return refusal;
}

test("a command that is not there is named", async () => {
  const { message } = await refusalOf({ command: "/nowhere/python-of-nobody" });
  expect(message).toContain("/nowhere/python-of-nobody");
  expect(message).toMatch(/no such program/);
});

test("a Python that dies at its start is told with its exit code and its last words", async () => {
  const dying = "import sys; print('no such module: pandas', file=sys.stderr); sys.exit(3)";
  const { message } = await refusalOf({ command: python, args: ["-c", dying] });
  expect(message).toContain("3");
  expect(message).toContain("no such module: pandas");
});

test("a Python that fails to import is told with the end of its traceback", async () => {
  const { message } = await refusalOf({ command: python, args: ["-c", "import no_such_module_at_all"] });
  expect(message).toContain("ModuleNotFoundError");
  expect(message).toContain("no_such_module_at_all");
});

test("a program that prints something else is told with what it printed, and is not left running", async () => {
  const chatty = "import time; print('Hello, I am another program.', flush=True); time.sleep(600)";
  const { message } = await refusalOf({
    command: python,
    args: ["-c", chatty],
    graceMs: 500,
    restart: false,
  });
  expect(message).toContain("Hello, I am another program.");
  await until("it is gone", () => !processesOf(app.mark).some(({ command }) => command.includes("Hello")));
});

describe("a broker that prints before it runs", () => {
  const printing = "print('loading the model'); import app; app.broker.run()";
  const launch = { ...brokerCommand, args: ["-c", printing] };

  test("is not harmed by it", async () => {
    app = await App.start({ launch: { ...launch, env: { PYTHONUNBUFFERED: "" } } });
    expect(await app.main(() => shell.ready)).toBeNull();
    expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
    expect((await app.logs()).join("\n")).toContain("loading the model");
    await app.quit();
  });

  test("is told what it printed where its output is not buffered", async () => {
    const { message } = await refusalOf({ ...launch, env: { PYTHONUNBUFFERED: "1" } });
    expect(message).toContain('no record on its standard output: "loading the model');
  });
});

test("with `restart: false` a Python that is killed stays dead, and the window says so", async () => {
  app = await App.start({ launch: { ...brokerCommand, restart: false } });
  await app.evaluate(() => lab.bus.call(lab.Probe.pid));
  process.kill(await app.python(), "SIGKILL");
  const error = await app.evaluate(() =>
    lab.failure(lab.bus.call(lab.Probe.slow, { name: "none", seconds: 600 }, { timeoutMs: 2000 })),
  );
  expect(error.code).toMatch(/session_lost|connection_lost|call_timeout/);
  expect(await app.evaluate(() => lab.bus.state)).not.toBe("open");
  expect(brokersOf(app.mark)).toEqual([]);
});
