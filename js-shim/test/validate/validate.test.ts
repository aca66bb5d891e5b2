/** Validators of Standard Schemas: those of valibot, and ones made by hand (docs/types.md). */

import * as v from "valibot";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { InvalidPayload } from "../../src/errors.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { checked, type StandardSchema, validate, validatorOf } from "../../src/validate/index.js";
import { Conductor } from "../conductor.js";

const ExecuteFlow = v.object({ flow: v.pipe(v.string(), v.minLength(1, "is empty")) });
const FlowResult = v.object({ files: v.pipe(v.number(), v.minValue(0, "is negative")) });

let broker: FakeBroker;

beforeEach(() => {
  broker = fakeBroker();
});
afterEach(() => broker.close());

describe("a bus with validators", () => {
  const validators = validate(
    checked(Conductor.execute, { request: ExecuteFlow, answer: FlowResult }),
    checked(Conductor.finished, { event: FlowResult }),
    checked(Conductor.pickFile, { request: v.object({ title: v.string() }) }),
  );

  it("refuses what it sends, with the path", async () => {
    const bus = broker.connect({ validators });
    broker.handle(Conductor.execute, () => ({ files: 1 }));
    await expect(bus.call(Conductor.execute, { flow: "a" })).resolves.toEqual({ files: 1 });
    const refused = bus.call(Conductor.execute, { flow: "" });
    await expect(refused).rejects.toThrow(InvalidPayload);
    await expect(refused).rejects.toMatchObject({
      message: "conductor.execute: flow: is empty (payload refused before it was sent)",
      paths: [["flow", "is empty"]],
    });
  });

  it("refuses what it receives", async () => {
    const bus = broker.connect({ validators });
    broker.handle(Conductor.execute, () => ({ files: -1 }));
    await expect(bus.call(Conductor.execute, { flow: "a" })).rejects.toThrow("files: is negative");
    bus.handle(Conductor.pickFile, () => ({ path: null }));
    const wrong = broker.call(Conductor.pickFile, { title: 3 } as never);
    await expect(wrong).rejects.toThrow(/title: Invalid type/);
  });

  it("refuses events, which then reach no listener", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const bus = broker.connect({ validators });
    const heard: unknown[] = [];
    bus.on(Conductor.finished, (payload) => heard.push(payload));
    broker.handle(Conductor.execute, () => ({ files: 0 }));
    await bus.call(Conductor.execute, { flow: "a" });
    await broker.emit(Conductor.finished, { files: -1 });
    await broker.emit(Conductor.finished, { files: 2 });
    await bus.call(Conductor.execute, { flow: "a" });
    expect(heard).toEqual([{ files: 2 }]);
  });

  it("only checks: nothing is changed", async () => {
    const trimmed = v.object({ flow: v.pipe(v.string(), v.trim()) });
    const bus = broker.connect({ validators: validate(checked(Conductor.execute, { request: trimmed })) });
    broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
    expect(await bus.call(Conductor.execute, { flow: " a " })).toEqual({ files: 3 });
  });
});

describe("validatorOf", () => {
  function schema(result: unknown): StandardSchema<never> {
    return { "~standard": { version: 1, vendor: "test", validate: () => result as { issues?: undefined } } };
  }

  it("writes paths as ionbus does, of keys and of segments", () => {
    const path = ["flow", { key: "nodes" }, 2, { key: "id" }];
    const validator = validatorOf(
      "x",
      schema({ issues: [{ message: "missing", path }, { message: "bad" }] }),
    );
    expect(validator(null)).toEqual([
      ["flow.nodes[2].id", "missing"],
      ["", "bad"],
    ]);
  });

  it.each([[undefined], [{}], [{ "~standard": { version: 2, validate: () => ({}) } }]])(
    "refuses %j",
    (given) => {
      expect(() => validatorOf("conductor.execute: request", given as never)).toThrow(
        "conductor.execute: request is no Standard Schema of version 1",
      );
    },
  );

  it("refuses a schema that validates asynchronously, when it is used", () => {
    const validator = validatorOf("x", schema(Promise.resolve({})));
    expect(() => validator(1)).toThrow("x: its schema validates asynchronously");
  });
});
