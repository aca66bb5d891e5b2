import { expect, test } from "vitest";
import { ionbusFaults, ionbusPair, ionbusRecorder } from "../../../src/testing/vitest.js";
import { Conductor } from "../../conductor.js";

test("fails", async () => {
  const faults = ionbusFaults({ duplicate: 0.5 });
  const recorder = ionbusRecorder();
  const at = await ionbusPair(undefined, { faults });
  recorder.record(at.bus, Conductor.finished);
  at.broker.handle(Conductor.ping, () => null);
  await at.bus.call(Conductor.ping);
  at.cut();
  await recorder.waitFor("open");
  expect(faults.seed).toBe("something else");
});

test("passes", () => {
  ionbusFaults();
});
