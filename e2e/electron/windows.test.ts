import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { untilFate } from "../support/cases.js";
import { App, transports } from "../support/electron.js";
import { until } from "../support/until.js";

declare global {
  /** In Electron's main process: what it has heard. */
  var heard: string[];
}

describe.each(transports)("windows over %s", (transport) => {
  let app: App;
  beforeAll(async () => {
    app = await App.start({ transport });
  });
  afterAll(() => app?.quit());

  test("each have a session of their own: the broker's events reach all, a window's reach the others", async () => {
    const [first, second] = [app.page, await app.open()];
    await until("the second is open", () => second.evaluate(() => lab.bus.state === "open"));
    await second.evaluate(() => lab.bus.call(lab.Probe.pid)); // its subscriptions are in force
    await first.evaluate(() => lab.bus.call(lab.Probe.emitTicks, { count: 20, run: "both" }));
    for (const page of [first, second]) {
      await until("the ticks are there", () => page.evaluate(() => lab.ticksOf("both").length === 20));
    }

    await first.evaluate(() => lab.bus.emit(lab.Probe.said, { who: "first", text: "hello" }));
    await until("the second hears the first", () =>
      second.evaluate(() => lab.said.some(({ who, text }) => who === "first" && text === "hello")),
    );
    expect(await first.evaluate(() => lab.said)).toEqual([]);

    const answers = await Promise.all(
      [first, second].map((page) => page.evaluate(() => lab.bus.call(lab.Probe.ask, document.title))),
    );
    expect(answers.map(({ text }) => text)).toEqual(["probe? Yes.", "probe? Yes."]);
    await second.close();
    expect(await first.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
  });

  test("that are closed end their session: their handlers stop, the other window goes on", async () => {
    const second = await app.open();
    await second.evaluate(() => {
      void lab.outcome(lab.bus.call(lab.Probe.slow, { name: "closed window", seconds: 600 }));
      return lab.bus.call(lab.Probe.pid);
    });
    await second.close();
    await until("its handler has stopped", () =>
      app.evaluate(async () => (await lab.bus.call(lab.Probe.fate, "closed window")) === "cancelled"),
    );
  });

  test("that are closed end what main listens to for as long as they are there", async () => {
    const second = await app.open();
    await app.main(async () => {
      globalThis.heard = [];
      const bus = shell.broker.connect();
      bus.on("probe.tick", () => globalThis.heard.push("window"), { until: shell.window() });
      await bus.on("probe.tick", () => globalThis.heard.push("main")).confirmed();
    });
    const tick = () => app.evaluate(() => lab.bus.call(lab.Probe.emitTicks, { count: 1, run: "main" }));
    const hears = (...heard: string[]) =>
      until(`main hears ${heard}`, async () => `${await app.main(() => globalThis.heard)}` === `${heard}`);
    await tick();
    await hears("window", "main");
    await second.close();
    await tick();
    await hears("window", "main", "main");
  });

  test("that were not attached cannot connect", async () => {
    const stranger = await app.open({ isAttached: false });
    const call = await stranger.evaluate(() =>
      lab.outcome(lab.bus.call(lab.Probe.pid, null, { timeoutMs: 2000 })),
    );
    expect(call).toMatchObject({ error: { name: expect.stringMatching(/Error|Lost|Timeout|Allowed/) } });
    expect(await stranger.evaluate(() => lab.bus.state)).not.toBe("open");
    await stranger.close();
  });

  test("that are attached after their page has asked connect soon", async () => {
    const late = await app.open({ isAttached: false });
    await late.evaluate(() => {
      lab.kept["sum"] = lab.outcome(lab.bus.call(lab.Probe.add, { a: 1, b: 2 }, { timeoutMs: 5000 }));
    });
    await app.main(() => shell.attach());
    expect(await late.evaluate(() => lab.kept["sum"])).toEqual({ value: 3 });
    await late.close();
  });

  test("whose process crashes work again when they are loaded anew", async () => {
    const doomed = await app.open();
    await doomed.evaluate(() => {
      void lab.outcome(lab.bus.call(lab.Probe.slow, { name: "crashed", seconds: 600 }));
      return lab.bus.call(lab.Probe.pid);
    });
    await app.main(() => shell.crash());
    await untilFate(app, "crashed", "cancelled");
    expect(await app.main(() => shell.recover())).toBe(5);
    expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
  });

  test("that reload end the old session and get a fresh one", async () => {
    await app.evaluate(() => {
      void lab.outcome(lab.bus.call(lab.Probe.slow, { name: "reloaded", seconds: 600 }));
      return lab.bus.call(lab.Probe.pid);
    });
    for (const _ of [1, 2, 3]) {
      await app.page.reload();
      expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 20, b: 3 }))).toBe(23);
    }
    await app.evaluate(() => lab.bus.call(lab.Probe.emitTicks, { count: 5, run: "after" }));
    expect(await app.evaluate(() => lab.ticksOf("after"))).toEqual([0, 1, 2, 3, 4]);
    await until("the old page's handler has stopped", () =>
      app.evaluate(async () => (await lab.bus.call(lab.Probe.fate, "reloaded")) === "cancelled"),
    );
  });

  test("that navigate away end their session, and work again when they come back", async () => {
    const second = await app.open();
    await second.evaluate(() => {
      void lab.outcome(lab.bus.call(lab.Probe.slow, { name: "navigated", seconds: 600 }));
      return lab.bus.call(lab.Probe.pid);
    });
    const url = second.url();
    await second.goto("about:blank");
    await until("the old page's handler has stopped", () =>
      app.evaluate(async () => (await lab.bus.call(lab.Probe.fate, "navigated")) === "cancelled"),
    );
    await second.goto(url);
    expect(await second.evaluate(() => lab.bus.call(lab.Probe.add, { a: 2, b: 2 }))).toBe(4);
    await second.close();
  });

  test("give nothing to a frame inside them, even where the preload runs in it", async () => {
    const window = await app.open({ hasPreloadInFrames: true });
    expect(await window.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 2 }))).toBe(3);
    await window.evaluate(
      () =>
        new Promise<void>((resolve) => {
          const frame = document.createElement("iframe");
          frame.src = location.href;
          frame.onload = () => resolve();
          document.body.append(frame);
        }),
    );
    const frame = await until("the frame is there", () => window.frames()[1]);
    const failure = await frame.evaluate(() =>
      lab.failure(lab.bus.call(lab.Probe.pid, null, { timeoutMs: 2000 })),
    );
    expect(failure.code).toMatch(/^(call_timeout|connection_lost|not_allowed)$/);
    expect(await frame.evaluate(() => lab.changes.filter(({ to }) => to === "open"))).toEqual([]);
    expect(await window.evaluate(() => lab.bus.call(lab.Probe.add, { a: 2, b: 2 }))).toBe(4);
    await window.close();
  });
});
