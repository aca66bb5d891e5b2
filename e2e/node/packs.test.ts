/** The contracts that ship with ionbus, in TypeScript against Python. */
import { createRequire } from "node:module";
import { type Bus, DateTime } from "ionbus";
import { launchBroker } from "ionbus/node";
import { Ui } from "ionbus/packs/ui";
import { type NodeOutput, Workflow } from "ionbus/packs/workflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { brokerCommand } from "../support/paths.js";
import { allGone, killAll, newMark } from "../support/processes.js";

const { mark, env } = newMark();
const broker = launchBroker({ ...brokerCommand, args: ["packs.py"], env });
let bus: Bus;

beforeAll(async () => {
  await broker.ready;
  bus = broker.connect();
});

afterAll(async () => {
  await broker.stop();
  await allGone(mark, 2000);
  killAll(mark);
});

test("a component that is mounted is heard, and the life of the run that it sets going is told", async () => {
  const told: string[] = [];
  const outputs: NodeOutput[] = [];
  const finished = new Promise<string | null>((resolve) => {
    bus.on(Workflow, (received) => {
      told.push(received.name);
      if (received.name === "workflow.node.output") outputs.push(received.payload);
      if (received.name === "workflow.finished") resolve(received.payload.summary);
    });
  });
  const at = DateTime.from(new Date());
  await bus.emit(Ui.component.mounted, { at, window_id: "w", component_id: "c", name: "Sketch" });

  expect(await finished).toBe("one picture");
  expect(told.filter((name) => !/status|progress/.test(name))).toEqual([
    "workflow.queued",
    "workflow.started",
    "workflow.node.started",
    "workflow.node.log",
    "workflow.node.output",
    "workflow.node.finished",
    "workflow.node.started",
    "workflow.node.finished",
    "workflow.finished",
  ]);
  expect(outputs[0]).toMatchObject({
    execution_id: "c",
    node_id: "draw",
    media_type: "image/jpeg",
    details: { width: "64" },
  });
  expect(outputs[0]?.content).toEqual(Uint8Array.of(0xff, 0xd8, 0));
  expect(outputs[0]?.at.toDate().getTime()).toBeGreaterThanOrEqual(at.toDate().getTime());
});

test("who comes later is told how it stands", async () => {
  const status = new Promise<unknown>((resolve) => bus.on(Workflow.status, resolve));
  expect(await status).toMatchObject({ execution_id: "c", name: "Sketch", state: "finished", percent: 100 });
});

test("what a client says of its interface, other clients hear", async () => {
  const other = broker.connect();
  const heard = new Promise<unknown>((resolve) => other.on(Ui.window.focus, resolve));
  await bus.emit(Ui.window.focus, { at: DateTime.from(new Date()), window_id: "w", is_focused: true });
  expect(await heard).toMatchObject({ window_id: "w", is_focused: true });
});

test("CommonJS has them too", () => {
  const require = createRequire(import.meta.url);
  const packs = require("ionbus/packs/workflow") as { Workflow: typeof Workflow };
  expect(packs.Workflow.__contract__.fingerprint).toBe(Workflow.__contract__.fingerprint);
  expect(packs.Workflow.node.progress.name).toBe("workflow.node.progress");
});

test("the description is there for a broker that serves another form of the contract", async () => {
  expect(JSON.parse((await Ui.__contract__.schema?.()) ?? "")).toMatchObject({ name: "ui" });
});
