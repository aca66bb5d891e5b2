/** Handlers that take longer than any patience: all four at once, since they mostly wait. */
import { afterAll, describe, expect, test } from "vitest";
import { App, type Transport, transports } from "../support/electron.js";

/** Longer than `heartbeat.silence` and one interval more (docs/protocol.md, section 8.5). */
const LOOP_SECONDS = 21;
const THREAD_SECONDS = 16;

const apps: App[] = [];
afterAll(() => Promise.all(apps.map((app) => app.tidy())));

async function start(transport: Transport): Promise<App> {
  const app = await App.start({ transport });
  apps.push(app);
  await app.evaluate(() => lab.bus.call(lab.Probe.pid));
  return app;
}

describe.concurrent.each(transports)(
  "over %s",
  (transport) => {
    test(`a \`def\` handler that takes ${THREAD_SECONDS} s disturbs nothing`, async () => {
      const app = await start(transport);
      const seen = await app.evaluate(async (seconds) => {
        let isDone = false;
        const blocked = lab.bus.call(lab.Probe.blockThread, seconds).finally(() => {
          isDone = true;
        });
        let [calls, slowest] = [0, 0];
        while (!isDone) {
          const start = performance.now();
          await lab.bus.call(lab.Probe.add, { a: calls, b: 1 });
          slowest = Math.max(slowest, performance.now() - start);
          calls++;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        return {
          result: await blocked,
          calls,
          slowest,
          changes: lab.changes.filter(({ to }) => to !== "open"),
        };
      }, THREAD_SECONDS);
      expect(seen.result).toBe(THREAD_SECONDS);
      expect(seen.calls).toBeGreaterThan(50);
      expect(seen.slowest).toBeLessThan(5000);
      expect(seen.changes).toEqual([]);
      await app.quit();
    });

    test(`an \`async\` one that blocks the loop for ${LOOP_SECONDS} s does not cost the session`, async () => {
      const app = await start(transport);
      const python = await app.python();
      const { result, waited } = await app.evaluate(async (seconds) => {
        const blocked = lab.bus.call(lab.Probe.blockLoop, seconds);
        const waited = lab.bus.call(lab.Probe.add, { a: 1, b: 2 }, { timeoutMs: 60_000 });
        return { result: await blocked, waited: await waited };
      }, LOOP_SECONDS);
      expect({ result, waited }).toEqual({ result: LOOP_SECONDS, waited: 3 });
      expect(await app.python()).toBe(python);
      const changes = await app.evaluate(() =>
        lab.changes.map(({ from, to, outcome }) => ({ from, to, outcome })),
      );
      if (transport === "port") {
        expect(changes.slice(-2)).toMatchObject([
          { from: "open", to: "unresponsive" },
          { from: "unresponsive", to: "open" },
        ]);
      } else {
        expect(changes.slice(-2)).toMatchObject([
          { from: "open", to: "reconnecting" },
          { from: "reconnecting", to: "open", outcome: "resumed" },
        ]);
      }
      expect(changes.filter(({ outcome }) => outcome === "lost")).toEqual([]);
      await app.quit();
    });
  },
  90_000,
);
