import { describe, expect, it } from "vitest";
import { call, event, stream } from "../../src/contract.js";
import { serve } from "../../src/dispatch/answer.js";
import { ContractError, errorFromWire } from "../../src/errors.js";
import { fakeBroker } from "../../src/testing/index.js";
import { type Bigints, bigintsAt } from "../../src/wire/bigints.js";

const received = (paths: string[], value: unknown, shapes: Record<string, string[]> = {}) =>
  bigintsAt({ received: paths, shapes }).received?.(value);

describe("integers of 64 bits", () => {
  it.each<[string, unknown, unknown]>([
    ["", 1, 1n],
    ["id", { id: 1, other: 1 }, { id: 1n, other: 1 }],
    ["id", { id: null }, { id: null }],
    ["id", { id: 1.5 }, { id: 1.5 }],
    ["id", { id: 2n ** 60n }, { id: 2n ** 60n }],
    ['["a.b \\"c\\""].x', { 'a.b "c"': { x: 1 } }, { 'a.b "c"': { x: 1n } }],
    ["[]", [1, "a"], [1n, "a"]],
    ["[]", new Set([1]), new Set([1n])],
    ["[1]", [1, 1], [1, 1n]],
    ["[1..].id", [{ id: 1 }, { id: 1 }, { id: 1 }], [{ id: 1 }, { id: 1n }, { id: 1n }]],
    ["{}", { a: 1 }, { a: 1n }],
    ["{}[]", new Map([[1, [1]]]), new Map([[1, [1n]]])],
    ["{key}", new Map([[1, 1]]), new Map([[1n, 1]])],
    ["id", new Uint8Array([1]), new Uint8Array([1])],
    ["id", "text", "text"],
  ])("at %s", (path, value, expected) => {
    expect(received([path], value)).toEqual(expected);
  });

  it("in a recursive type", () => {
    const tree = { id: 1, children: [{ id: 2, children: [] }] };
    const shapes = { Tree: ["id", "children[]:Tree"] };
    expect(received([":Tree"], tree, shapes)).toEqual({ id: 1n, children: [{ id: 2n, children: [] }] });
  });

  it("says which path is none", () => {
    expect(() => received(["!"], {})).toThrow("!: not a path");
  });

  it("in a declared error", () => {
    class Gone extends ContractError<"gone", { id: bigint }> {
      static override readonly code = "gone";
      static readonly bigints: Bigints = bigintsAt({ received: ["id"] });
      constructor(fields: { id: bigint }) {
        super("It is gone.", fields);
      }
    }
    expect((errorFromWire("gone", "", { id: 1 }, [Gone]) as Gone).fields.id).toBe(1n);
  });

  it("for every listener and handler of a bus, and of the fake broker", async () => {
    const contract = { name: "made", version: "1.0", fingerprint: "" };
    const options = { contract, bigints: bigintsAt({ received: ["[]"], sent: ["[]"] }) };
    const said = event<"made.said", bigint[], bigint[], "any">({
      ...options,
      name: "made.said",
      source: "any",
    });
    const twice = call<"made.twice", bigint[], bigint[], "broker">({ ...options, name: "made.twice" });
    const each = stream<"made.each", bigint[], bigint[], "broker">({ ...options, name: "made.each" });
    const ask = call<"made.ask", bigint[], bigint[], "client">({
      ...options,
      name: "made.ask",
      servedBy: "client",
      serve,
    });
    const broker = fakeBroker();
    const seen: unknown[] = [];
    broker.handle(twice, (request) => [...request, ...request]);
    broker.handle(each, async function* (request) {
      yield request;
    });
    broker.on(said, (payload) => seen.push(payload));
    broker.bus.handle(ask, (request) => request);
    broker.bus.on(said, (payload) => {
      seen.push(payload);
    });
    expect(await broker.bus.call(twice, [1n])).toEqual([1n, 1n]);
    for await (const item of broker.bus.stream(each, [2n])) expect(item).toEqual([2n]);
    expect(await broker.call(ask, [3n])).toEqual([3n]);
    await broker.emit(said, [4n]);
    await broker.bus.emit(said, [5n]);
    await broker.bus.call(twice, []);
    expect(seen).toEqual([[4n], [5n]]);
    await broker.close();
  });
});
