import { afterEach, describe, expect, test } from "vitest";
import { App, transports } from "../support/electron.js";
import { allGone, brokersOf } from "../support/processes.js";
import { until } from "../support/until.js";

describe.each(transports)("over %s", (transport) => {
  let app: App;
  afterEach(() => app?.tidy());

  test("a Python that is killed is replaced, and its windows recover by themselves", async () => {
    app = await App.start({ transport });
    const second = await app.open();
    await second.evaluate(() => lab.bus.call(lab.Probe.pid));
    const first = await app.python();
    await app.evaluate(() => {
      lab.kept["lost"] = lab.failure(lab.bus.call(lab.Probe.slow, { name: "lost", seconds: 600 }));
      return lab.bus.call(lab.Probe.pid);
    });

    process.kill(first, "SIGKILL");
    expect(await app.evaluate(() => lab.kept["lost"] as ReturnType<typeof lab.failure>)).toMatchObject({
      name: "SessionLost",
      code: "session_lost",
    });
    const pid = await app.evaluate(() => lab.bus.call(lab.Probe.pid));
    expect(pid).not.toBe(first);
    expect(pid).toBe(await app.python());
    const changes = await app.evaluate(() =>
      lab.changes.map(({ from, to, outcome }) => ({ from, to, outcome })),
    );
    expect(changes.slice(-2)).toMatchObject([
      { from: "open", to: "reconnecting" },
      { from: "reconnecting", to: "open", outcome: "lost" },
    ]);

    await until("the other window has recovered", () => second.evaluate(() => lab.bus.state === "open"));
    await second.evaluate(() => lab.bus.call(lab.Probe.emitTicks, { count: 10, run: "again" }));
    for (const page of [app.page, second]) {
      await until("its subscriptions work again", () =>
        page.evaluate(() => lab.ticksOf("again").length === 10),
      );
      expect(await page.evaluate(() => lab.ticksOf("again"))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
    const answer = await app.evaluate(() => lab.bus.call(lab.Probe.ask, "Still there"));
    expect(answer.text).toBe("Still there? Yes.");

    // It works more than once, and what was said meanwhile is said to the next one.
    process.kill(await app.python(), "SIGKILL");
    await until("it is noticed", () => app.evaluate(() => lab.bus.state !== "open"));
    expect(await app.evaluate(() => lab.bus.call(lab.Probe.add, { a: 4, b: 5 }))).toBe(9);
    await app.quit();
  });

  test("an Electron that is killed leaves no Python", async () => {
    app = await App.start({ transport });
    await app.evaluate(() => {
      void lab.outcome(lab.bus.call(lab.Probe.slow, { name: "orphan", seconds: 600 }));
      return lab.bus.call(lab.Probe.pid);
    });
    expect(brokersOf(app.mark)).toHaveLength(1);
    app.electron.process().kill("SIGKILL");
    await allGone(app.mark, 2000);
  });

  test.each(["blockThread", "blockLoop"] as const)(
    "nor does it where a handler never ends (%s)",
    async (member) => {
      app = await App.start({ transport });
      await app.evaluate((member) => {
        void lab.outcome(lab.bus.call(lab.Probe[member], 600));
        return lab.bus.call(lab.Probe.add, { a: 1, b: 1 }, { timeoutMs: 500 }).catch(() => {});
      }, member);
      app.electron.process().kill("SIGKILL");
      await allGone(app.mark, 2000); // far less than its `grace`
    },
  );

  test("an Electron that quits takes its Python along", async () => {
    app = await App.start({ transport });
    await app.evaluate(() => lab.bus.call(lab.Probe.pid));
    await app.electron.close();
    await allGone(app.mark, 2000);
  });
});
