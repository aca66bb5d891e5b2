import { expect, it } from "vitest";
import type { StateChange } from "../../src/client/bus.js";
import { fakeBroker } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

it("that is restarted gives every client a new session, whichever connected last", async () => {
  const broker = fakeBroker();
  broker.handle(Conductor.ping, () => null);
  const buses = [broker.bus, broker.connect(), broker.connect()];
  await Promise.all(buses.map((bus) => bus.call(Conductor.ping)));
  const outcomes = buses.map(
    (bus) => new Promise((resolve) => bus.onState(({ outcome }: StateChange) => outcome && resolve(outcome))),
  );
  broker.restart();
  expect(await Promise.all(outcomes)).toEqual(["lost", "lost", "lost"]);
  await broker.close();
});
