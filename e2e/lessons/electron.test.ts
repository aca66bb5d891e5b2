/** In a real Electron; each test is named after what happened to others (docs/lessons.md). */
import { readFile } from "node:fs/promises";
import type { MessagePortMain } from "electron";
import type { Page } from "playwright-core-electron22";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Probe } from "../app/generated/probe.js";
import { untilFate } from "../support/cases.js";
import { App, transports } from "../support/electron.js";
import { brokerCommand, inRepository } from "../support/paths.js";
import { allGone, parentOf, portsOf } from "../support/processes.js";
import { until } from "../support/until.js";

/** The descriptor as plain data, for a bus in Electron's main. */
const ADD: typeof Probe.add = JSON.parse(JSON.stringify(Probe.add));

/** Let a window's handler run for ever, and know by its name what becomes of it. */
async function work(page: Page, name: string): Promise<void> {
  await page.evaluate((name) => {
    void lab.outcome(lab.bus.call(lab.Probe.slow, { name, seconds: 600 }));
    return lab.bus.call(lab.Probe.pid);
  }, name);
}

/** Open one more window, and give its page: the events of windows tell of those as well that were never shown. */
async function open({ electron }: App): Promise<Page> {
  const known = electron.windows();
  await electron.evaluate(() => shell.open());
  const find = async () => {
    for (const page of electron.windows()) {
      if (known.includes(page)) continue;
      if (await page.evaluate(() => "lab" in globalThis).catch(() => false)) return page;
    }
    return undefined;
  };
  return until("its page is there", find);
}

describe("Electron", () => {
  let app: App;
  beforeAll(async () => {
    app = await App.start();
  });
  afterAll(() => app?.quit());

  test("contextBridge copies every object: 165 µs a call, 1.9 ms for 5 KB", async () => {
    const preload = await readFile(inRepository("js-shim", "dist", "electron-preload.cjs"), "utf8");
    expect(preload).not.toContain("contextBridge");
    await app.evaluate(() => lab.bus.call(lab.Probe.pid)); // the port is there

    await app.electron.evaluate(({ BrowserWindow, MessageChannelMain }) => {
      const seen = { messages: 0, toPage: 0, others: 0 };
      Object.assign(globalThis, { seen });
      BrowserWindow.getAllWindows()[0]?.webContents.on("ipc-message", () => seen.messages++);
      const { port1 } = new MessageChannelMain();
      const prototype = Object.getPrototypeOf(port1) as MessagePortMain;
      const post = prototype.postMessage;
      prototype.postMessage = function (...sent: [unknown]) {
        if (sent[0] instanceof Uint8Array) seen.toPage += sent[0].length;
        else seen.others++;
        return post.apply(this, sent);
      };
    });
    const sent = await app.evaluate(async () => {
      const ports = new Set<MessagePort>();
      const post = MessagePort.prototype.postMessage;
      let [bytes, others] = [0, 0];
      MessagePort.prototype.postMessage = function (message: unknown, ...rest: never[]) {
        ports.add(this);
        if (message instanceof Uint8Array && message.length === message.buffer.byteLength)
          bytes += message.length;
        else others++;
        return post.call(this, message, ...rest);
      };
      try {
        const data = lab.bytes(5_000);
        for (let call = 0; call < 20; call++) await lab.bus.call(lab.Probe.echo, { text: "", data });
      } finally {
        MessagePort.prototype.postMessage = post;
      }
      return { ports: ports.size, bytes, others };
    });
    expect(sent).toEqual({ ports: 1, bytes: expect.any(Number), others: 0 });
    expect(sent.bytes).toBeGreaterThan(20 * 5_000);
    expect(sent.bytes).toBeLessThan(20 * 6_000); // once, and as they are
    const seen = await app.electron.evaluate(() => Reflect.get(globalThis, "seen"));
    expect(seen).toEqual({ messages: 0, toPage: expect.any(Number), others: 0 });
    expect(seen.toPage).toBeGreaterThan(20 * 5_000);
    expect(seen.toPage).toBeLessThan(20 * 6_000);
  });

  test("sessions are keyed by a string prefix, and closing frame 1 also closes frames 10 to 19", async () => {
    /** Open windows that are never shown until the next one's id begins with the first one's. */
    const first = await app.electron.evaluate(({ BrowserWindow }) => {
      const first = BrowserWindow.getAllWindows()[0]?.webContents.id ?? 0;
      for (;;) {
        const next = new BrowserWindow({ show: false });
        const follows = String(next.webContents.id + 1);
        next.destroy();
        if (follows.startsWith(String(first))) return first;
      }
    });
    const others = [await open(app), await open(app)];
    const ids = await app.electron.evaluate(({ BrowserWindow }) =>
      BrowserWindow.getAllWindows().map(({ webContents }) => webContents.id),
    );
    const prefixed = ids.filter((id) => id !== first && String(id).startsWith(String(first)));
    expect(prefixed.length).toBeGreaterThan(0);

    await work(app.page, "frame 1");
    for (const [index, page] of others.entries()) await work(page, `frame 1${index}`);
    await app.page.reload();
    await untilFate(app, "frame 1", "cancelled");
    for (const [index, page] of others.entries()) {
      expect(await page.evaluate(() => lab.changes.map(({ to }) => to))).toEqual(["open"]);
      const fate = await page.evaluate((name) => lab.bus.call(lab.Probe.fate, name), `frame 1${index}`);
      expect(fate).toBe("running");
    }
    await others[0]?.close();
    await untilFate(app, "frame 10", "cancelled");
    expect(await app.evaluate(() => lab.bus.call(lab.Probe.fate, "frame 11"))).toBe("running");
    await others[1]?.close();
    await untilFate(app, "frame 11", "cancelled");
  });

  test("stack traces are sent to the peer", async () => {
    const error = await app.evaluate(() => lab.failure(lab.bus.call(lab.Probe.crash, "s3cr3t")));
    expect(error).toMatchObject({ name: "InternalError", incidentId: expect.stringMatching(/^\w{12}$/) });
    expect(JSON.stringify(error)).not.toMatch(/Traceback|ValueError|s3cr3t|own business|app\.py|line \d/);
    await until("the log has it, under the incident's id", async () => {
      const log = (await app.logs()).join("\n");
      return log.includes(error.incidentId ?? "?") && /Traceback.*app\.py.*ValueError.*s3cr3t/s.test(log);
    });
  });

  test("Electron's own main process has no usable stdin on Windows", async () => {
    const found = await app.electron.evaluate(
      async (_, { launch, add }) => {
        const own = Object.getOwnPropertyDescriptor(process, "stdin");
        Object.defineProperty(process, "stdin", {
          configurable: true,
          get() {
            throw new Error("there is no standard input");
          },
        });
        const broker = shell.launchBroker({ ...launch, name: "without-stdin" });
        broker.onLog(() => {});
        const bus = broker.connect();
        const sum = await bus.call(add, { a: 1, b: 2 });
        const { pid } = broker;
        await broker.stop();
        if (own !== undefined) Object.defineProperty(process, "stdin", own);
        return { sum, pid };
      },
      { launch: brokerCommand, add: ADD },
    );
    expect(found).toEqual({ sum: 3, pid: expect.any(Number) });
    expect(parentOf(await app.python())).toBe(app.electron.process().pid);
    expect(await app.main(() => shell.uncaught)).toEqual([]);
  });
});

describe.each(transports)("Electron over %s", (transport) => {
  let app: App;
  beforeAll(async () => {
    app = await App.start({ transport });
  });
  afterAll(() => app?.tidy());

  test("fast reloads or navigation kill the backend or leak sessions", async () => {
    const count = () => app.evaluate(() => lab.bus.call(lab.Probe.sessions));
    const other = await app.open();
    await work(other, "the other window");
    const python = await app.python();
    const before = await count();
    const url = app.page.url();
    for (const round of [1, 2, 3]) {
      await work(app.page, `before reload ${round}`);
      await app.electron.evaluate(async ({ BrowserWindow }, last) => {
        const { webContents } = BrowserWindow.fromId(1) ?? {};
        for (let reload = 0; reload < 5; reload++) webContents?.reload(); // none waits for the one before
        for (let reload = 0; reload < 3; reload++) {
          await new Promise<void>((resolve) => webContents?.once("dom-ready", () => resolve()));
          webContents?.reload(); // the page has hardly asked for its channel
        }
        webContents?.loadURL(last).catch(() => {}); // it may hear of the reload that it takes the place of
      }, `${url}?round=${round}`);
      await until("the last page is there", () =>
        app
          .evaluate((search) => location.search === search && "lab" in globalThis, `?round=${round}`)
          .catch(() => false),
      );
      await untilFate(app, `before reload ${round}`, "cancelled");
      await work(app.page, `before navigation ${round}`);
      await app.page.goto("about:blank");
      await app.page.goto(url);
      await untilFate(app, `before navigation ${round}`, "cancelled");
    }
    await until("no session is left over", async () => (await count()) === before);
    expect(await app.python()).toBe(python);
    expect(await other.evaluate(() => lab.changes.map(({ to }) => to))).toEqual(["open"]);
    expect(await app.evaluate(() => lab.bus.call(lab.Probe.fate, "the other window"))).toBe("running");
    await other.close();
  });

  test("the window closes or crashes, and Python lives on, keeps the port, and the next start fails", async () => {
    const endings: (() => Promise<unknown> | unknown)[] = [
      () => Promise.all(app.electron.windows().map((page) => page.close())),
      () => app.electron.process().kill("SIGKILL"),
    ];
    for (const end of endings) {
      await work(app.page, "until the end");
      const python = await app.python();
      const ports = portsOf(python);
      expect(ports.length).toBe(transport === "websocket" ? 1 : 0);
      await end();
      await allGone(app.mark);
      for (const port of ports)
        await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow("fetch failed");
      await app.tidy();
      app = await App.start({ transport });
      expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 2 }))).toBe(3);
    }
    await app.quit();
  });
});
