/** A fake clock beside real processes: how long a dead broker stays dead is for the test to say. */

import { expect, it, vi } from "vitest";
import { ionbusClock } from "../../src/testing/vitest.js";
import { Conductor } from "../conductor.js";
import { useLauncher } from "../node/launcher.js";

const { launch } = useLauncher();

it("drives the back-off of a broker that died, and what counts as stable", async () => {
  const clock = ionbusClock();
  const broker = launch({ restart: { delayMs: (deaths) => deaths * 60_000 } });
  const bus = broker.connect();
  for (const deaths of [1, 2]) {
    await bus.call(Conductor.ping);
    await vi.waitUntil(() => broker.state === "running");
    process.kill(broker.pid as number, "SIGKILL");
    await vi.waitUntil(() => broker.state === "restarting" && bus.state === "reconnecting");
    await clock.advance(deaths * 60_000 - 1);
    expect([broker.state, broker.pid]).toEqual(["restarting", undefined]);
    await clock.advance(1);
    expect(broker.pid).toBeGreaterThan(0);
    bus.reconnect();
  }
  await bus.call(Conductor.ping);
  expect(broker.health.deaths).toBe(2);
  await vi.waitUntil(() => broker.state === "running");
  await clock.advance(5_000);
  expect(broker.health.deaths).toBe(0);
});
