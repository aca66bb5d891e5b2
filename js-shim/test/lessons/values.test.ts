/** Each test is named after what happened to others (docs/lessons.md). */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { call } from "../../src/contract.js";
import { InternalError } from "../../src/errors.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { bigintsAt } from "../../src/wire/bigints.js";
import { decode, encode } from "../../src/wire/values.js";
import { Conductor } from "../conductor.js";

let broker: FakeBroker;
beforeEach(() => {
  broker = fakeBroker();
});
afterEach(() => broker.close());

test("64-bit integers lose digits", async () => {
  const contract = { name: "digits", version: "1.0", fingerprint: "" };
  const wide = call<"digits.wide", bigint, bigint, "broker">({
    name: "digits.wide",
    contract,
    bigints: bigintsAt({ received: [""], sent: [""] }),
  });
  const plain = call<"digits.plain", number, number, "broker">({ name: "digits.plain", contract });
  broker.handle(wide, (value) => value);
  broker.handle(plain, (value) => value);
  const edge = 2n ** 53n;
  for (const value of [0n, -1n, edge - 1n, edge, edge + 1n, -edge - 1n, 2n ** 63n - 1n, -(2n ** 63n)])
    expect(await broker.bus.call(wide, value)).toBe(value);
  for (const value of [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])
    expect(await broker.bus.call(plain, value)).toBe(value);
  // A bigint is never sent as a number, and a number that is no integer of its own any more never as one.
  expect(decode(encode(edge))).toBe(edge);
  expect(decode(encode(2 ** 53))).toBe(2 ** 53);
  expect(encode(2 ** 53)[0]).toBe(0xcb); // a float, which Python refuses where it wants an integer
});

test("stack traces are sent to the peer", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  broker.bus.handle(Conductor.pickFile, () => {
    throw new Error("the password is swordfish");
  });
  await broker.bus.on(Conductor.finished, () => {}).confirmed(); // it is connected
  const error = await broker.call(Conductor.pickFile, { title: "a" }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(InternalError);
  const told = error as InternalError;
  expect(JSON.stringify([told.message, told.details()])).not.toMatch(/swordfish|values\.test|at \w+/);
  expect(told.details()).toEqual({ incident_id: told.incidentId });
  const logged = log.mock.calls.map((line) =>
    line.map((part) => (part as Error)?.stack ?? String(part)).join(" "),
  );
  expect(logged).toHaveLength(1);
  expect(logged[0]).toContain(told.incidentId);
  expect(logged[0]).toMatch(/swordfish.*values\.test/s);
});
