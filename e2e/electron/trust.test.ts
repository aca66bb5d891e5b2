/** Whom Electron's main gives a channel, whatever a page, a frame or another window says. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Probe } from "../app/generated/probe.js";
import { Site } from "../support/browser.js";
import { App, transports } from "../support/electron.js";
import { brokerCommand, inRepository } from "../support/paths.js";
import { until } from "../support/until.js";

const FORGER = inRepository("e2e", "electron", "forger.cjs");

/** The descriptor as plain data, for a bus in Electron's main. */
const GUARDED: typeof Probe.guarded = JSON.parse(JSON.stringify(Probe.guarded));

interface Answer {
  readonly name: string;
  readonly ports: number;
  readonly url?: string;
  readonly token?: string;
  readonly problem?: string;
}

let ours: Site;
let foreign: Site;
beforeAll(async () => {
  [ours, foreign] = await Promise.all([Site.start(), Site.start()]);
});
afterAll(() => Promise.all([ours?.stop(), foreign?.stop()]));

const page = (site: Site): string => `${site.origin}/frames.html`;

describe.each(transports)("over a %s", (transport) => {
  let app: App;
  beforeAll(async () => {
    app = await App.start({ transport });
    await app.electron.evaluate((_, launch) => {
      const second = shell.launchBroker({ ...launch, name: "second" });
      second.onLog(() => {});
      Object.assign(globalThis, { second });
      return second.ready;
    }, brokerCommand);
  });
  afterAll(() => app?.quit());

  /** Open a window; gives its id. `preload`: ionbus's unless said. */
  function open(options: {
    url: string;
    preload?: string;
    attached?: "main" | "second" | undefined;
    roles?: string[];
    origins?: string[];
  }): Promise<number> {
    return app.electron.evaluate(
      async ({ BrowserWindow }, { url, preload, attached, transport, roles, origins }) => {
        const window = new BrowserWindow({
          width: 300,
          height: 200,
          webPreferences: {
            preload: preload ?? shell.preloadPath,
            sandbox: true,
            nodeIntegrationInSubFrames: true,
          },
        });
        const broker =
          attached === "second"
            ? (globalThis as unknown as { second: typeof shell.broker }).second
            : shell.broker;
        if (attached !== undefined) broker.attach(window, { transport, roles, origins });
        await window.loadURL(url);
        return window.id;
      },
      { ...options, transport },
    );
  }

  /** Run a script in a window's main frame, or in the first frame inside it. */
  function run<R>(id: number, script: string, inFrame = false): Promise<R> {
    return app.electron.evaluate(
      ({ BrowserWindow }, { id, script, inFrame }) => {
        const { mainFrame } = BrowserWindow.fromId(id)?.webContents ?? {};
        return (inFrame ? mainFrame?.frames[0] : mainFrame)?.executeJavaScript(script);
      },
      { id, script, inFrame },
    ) as Promise<R>;
  }

  function load(id: number, url: string): Promise<void> {
    return app.electron.evaluate(({ BrowserWindow }, { id, url }) => BrowserWindow.fromId(id)?.loadURL(url), {
      id,
      url,
    }) as Promise<void>;
  }

  function close(id: number): Promise<void> {
    return app.electron.evaluate(({ BrowserWindow }, id) => BrowserWindow.fromId(id)?.destroy(), id);
  }

  const call = (what: string, id: number): Promise<{ value?: unknown; error?: { code: string } }> =>
    run(id, `lab.outcome(lab.bus.call(lab.Probe.${what}, { timeoutMs: 5000 }))`);
  const ADD = "add, { a: 1, b: 2 }";

  /** Ask as a preload does; gives the answers that have a port or an address, once `enough` have come in all. */
  async function forge(id: number, names: unknown[], enough: number, inFrame = false): Promise<Answer[]> {
    for (const name of names) await run(id, `forger.send("ionbus:ask", ${JSON.stringify(name)})`, inFrame);
    const answers = () => run<Answer[]>(id, "forger.answers()", inFrame);
    await until("the answers are there", async () => (await answers()).length >= enough);
    return answers();
  }
  const isGiven = ({ ports, url }: Answer): boolean => ports > 0 || url !== undefined;

  async function refusals(): Promise<string[]> {
    return (await app.logs()).filter((line) => line.startsWith("ionbus: refused: "));
  }

  test("a page of the window's own origin is let in", async () => {
    const id = await open({ url: page(ours), attached: "main" });
    expect(await call(ADD, id)).toEqual({ value: 3 });
    await close(id);
  });

  test("a window that has gone to another origin is not, and is when it comes back", async () => {
    const id = await open({ url: page(ours), attached: "main" });
    expect(await call(ADD, id)).toEqual({ value: 3 });
    await load(id, page(foreign));
    expect(await call(ADD, id)).toMatchObject({ error: { code: "connection_lost" } });
    expect(await run(id, "lab.changes.filter(({ to }) => to === 'open').length")).toBe(0);
    expect((await refusals()).at(-1)).toContain(`a page of ${foreign.origin} may not connect`);
    await load(id, page(ours));
    expect(await call(ADD, id)).toEqual({ value: 3 });
    await close(id);
  });

  test("a window whose page was sent on to another origin by its server is not", async () => {
    const id = await open({
      url: `${ours.origin}/redirect?to=${encodeURIComponent(page(foreign))}`,
      attached: "main",
    });
    expect(await call(ADD, id)).toMatchObject({ error: { code: "connection_lost" } });
    await close(id);
  });

  test("an empty page, which anybody can make of a window, is not", async () => {
    const id = await open({ url: page(ours), attached: "main", preload: FORGER });
    expect((await forge(id, ["main"], 1)).filter(isGiven)).toHaveLength(1);
    await load(id, "about:blank");
    const [answer] = await forge(id, ["main"], 1);
    expect(answer).toMatchObject({ problem: expect.stringContaining("may not connect"), ports: 0 });
    await close(id);
  });

  test.each([
    ["of the same origin", (): string => page(ours), ""],
    ["of another origin", (): string => page(foreign), ""],
    ["in a sandbox", (): string => page(ours), "allow-scripts"],
  ])("a frame %s inside the window is not, even with the preload in it", async (_, src, sandbox) => {
    const id = await open({ url: page(ours), attached: "main", preload: FORGER });
    await run(
      id,
      `new Promise((resolve) => {
        const frame = document.createElement("iframe");
        ${sandbox === "" ? "" : `frame.setAttribute("sandbox", ${JSON.stringify(sandbox)});`}
        frame.src = ${JSON.stringify(src())};
        frame.onload = () => resolve(null);
        document.body.append(frame);
      })`,
    );
    const answers = await forge(id, ["main"], 1, true);
    expect(answers).toEqual([
      {
        ionbus: 1,
        name: "main",
        problem: "only the window's main frame may connect",
        isFinal: true,
        ports: 0,
      },
    ]);
    expect((await forge(id, ["main"], 1)).filter(isGiven)).toHaveLength(1); // the page itself goes on
    await close(id);
  });

  test("a frame inside the window cannot hand its own address to the page", async () => {
    const id = await open({ url: page(ours), attached: "main" });
    expect(await call(ADD, id)).toEqual({ value: 3 });
    await run(
      id,
      `new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.src = ${JSON.stringify(page(foreign))};
        frame.onload = () => resolve(null);
        document.body.append(frame);
      })`,
    );
    // The page asks for a channel by another name, which nobody answers but the frame.
    await run(
      id,
      `void (lab.kept.forged = lab.outcome(lab.ionbus.connectElectron({ name: "forged" }).call(lab.Probe.pid, null, { timeoutMs: 1500 })))`,
    );
    await run(
      id,
      `for (let count = 0; count < 10; count++)
        parent.postMessage({ ionbus: 1, name: "forged", url: "ws://127.0.0.1:1", token: "x" }, "*")`,
      true,
    );
    expect(await run(id, "lab.kept.forged")).toMatchObject({ error: { code: "call_timeout" } });
    await close(id);
  });

  test("a window that was not attached is not, whatever it says", async () => {
    const id = await open({ url: page(ours), preload: FORGER });
    for (const channel of ["ionbus:ask", "ionbus:answer", "ionbus:probe"])
      await run(id, `forger.send(${JSON.stringify(channel)}, "main", { ionbus: 1, name: "main" })`);
    await app.electron.evaluate(
      ({ BrowserWindow }, { id, transport }) =>
        void (globalThis as unknown as { second: typeof shell.broker }).second.attach(
          BrowserWindow.fromId(id) as Electron.BrowserWindow,
          { transport },
        ),
      { id, transport },
    );
    // What it has said before was heard before this is: nobody has answered to it.
    const answers = await forge(id, ["second"], 2);
    expect(answers.map(({ name }) => name)).toEqual(["second", "second"]);
    await close(id);
  });

  test("a window of one broker gets nothing of another, and each has its own roles", async () => {
    const id = await open({ url: page(ours), attached: "second", preload: FORGER, roles: ["admin"] });
    const answers = await forge(id, ["main", null, ["second"], { name: "second" }, "second"], 1);
    expect(answers.map(({ name, ports, url }) => [name, ports > 0 || url !== undefined])).toEqual([
      ["second", true],
    ]);
    await close(id);
  });

  test("a page that asks while it is being left leaves nothing to the next", async () => {
    const id = await open({ url: page(ours), attached: "main", preload: FORGER });
    await run(
      id,
      `location.href = ${JSON.stringify(page(foreign))};
      for (let count = 0; count < 20; count++) forger.send("ionbus:ask", "main");`,
    );
    await until("the other page is there", () =>
      run(id, `location.origin === ${JSON.stringify(foreign.origin)}`),
    );
    const answers = await forge(id, ["main"], 1); // its own, and what was meant for the page before
    await until("its own refusal has come", async () => {
      const all = await run<Answer[]>(id, "forger.answers()");
      return all.some(({ problem }) => problem?.includes(foreign.origin));
    });
    expect(answers.filter(isGiven)).toEqual([]);
    expect((await run<Answer[]>(id, "forger.answers()")).filter(isGiven)).toEqual([]);
    await close(id);
  });

  test("a window may do what asks for a role only if main says so; main itself may", async () => {
    const plain = await open({ url: page(ours), attached: "main" });
    const admin = await open({ url: page(ours), attached: "main", roles: ["admin", "other"] });
    for (const id of [plain, admin]) {
      expect(await call(ADD, id)).toEqual({ value: 3 });
      await run(
        id,
        "void (lab.kept.alarms = [], lab.bus.on('probe.*', ({ name }) => lab.kept.alarms.push(name)))",
      );
      await call("pid, null", id); // its subscription is in force
    }
    expect(await call("guarded, null", plain)).toMatchObject({ error: { code: "not_allowed" } });
    expect(await call("guarded, null", admin)).toEqual({ value: "open" });
    await call("raiseAlarm, 'fire'", plain);
    await until("the alarm is there", () => run(admin, "lab.kept.alarms.includes('probe.alarm')"));
    await call("setLevel, { name: 'after', value: 1 }", plain);
    await until("what came after is there", () => run(plain, "lab.kept.alarms.includes('probe.level')"));
    expect(await run(plain, "lab.kept.alarms.includes('probe.alarm')")).toBe(false);
    const byMain = await app.electron.evaluate((_, guarded) => {
      const bus = shell.broker.connect();
      return bus.call(guarded).finally(() => bus.close());
    }, GUARDED);
    expect(byMain).toBe("open");
    await close(plain);
    await close(admin);
  });
});
