/** Aggregation and filters against `schemas/vectors/`; tests/vectors/test_vectors.py is the twin. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Aggregate } from "../../src/events/aggregation.js";
import { type Filter, predicate, valueAt } from "../../src/events/filters.js";
import { Decimal } from "../../src/wire/decimal.js";
import { isSame } from "../../src/wire/same.js";
import { DateTime, Duration, PlainDate } from "../../src/wire/times.js";
import { Uuid } from "../../src/wire/uuid.js";

function load<Rows>(name: string): Rows {
  const path = new URL(`../../../schemas/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as Rows;
}

interface Case {
  name: string;
  options: {
    every?: number;
    latest_by?: string[];
    batch?: [number, number];
    where?: Filter;
    distinct?: boolean;
  };
  values: [wait: number, key: string, n: number][];
  gives: [at: number, values: [key: string, n: number][]][];
}
type Value = { key: string; n: number };

describe("aggregation", () => {
  test.each(load<Case[]>("aggregation"))("$name", ({ options, values, gives }) => {
    const { every, latest_by, batch, where, distinct } = options;
    const aggregate = new Aggregate<Value>({
      everyMs: every,
      batch,
      distinct,
      passes: where && predicate(where),
      key: latest_by && (({ key }) => key),
      isSame,
      maxKeys: 3,
    });
    const given: Case["gives"] = [];
    const give = (at: number, lists: Value[][]) =>
      given.push(...lists.map((list): Case["gives"][number] => [at, list.map(({ key, n }) => [key, n])]));
    const passUntil = (time: number) => {
      while (aggregate.deadline !== undefined && aggregate.deadline <= time) {
        const at = aggregate.deadline;
        give(at, aggregate.tick(at));
      }
    };
    let now = 0;
    for (const [wait, key, n] of values) {
      now += wait;
      passUntil(now);
      give(now, aggregate.add({ key, n }, now));
    }
    passUntil(now + 1_000);
    expect(given).toEqual(gives);
  });

  test("a newcomer is given the newest at once, and then waits", () => {
    const aggregate = new Aggregate<Value>({ everyMs: 100, key: ({ key }) => key, isSame, maxKeys: 10 });
    const [one, two, three] = [1, 2, 3].map((n) => ({ key: n === 2 ? "b" : "a", n })) as [
      Value,
      Value,
      Value,
    ];
    expect(aggregate.begin([one, two, three], 0)).toEqual([[two], [three]]);
    expect(aggregate.add(one, 50)).toEqual([]);
    expect(aggregate.deadline).toBe(100);
  });
});

describe("filters", () => {
  const { payload, filters } = load<{ payload: unknown; filters: [Filter, boolean][] }>("filters");
  test.each(filters.map(([filter, passes]) => ({ filter, passes, name: JSON.stringify(filter) })))(
    "$name",
    ({ filter, passes }) => expect(predicate(filter)(payload)).toBe(passes),
  );

  test("what the wire has types for is compared", () => {
    const at = new DateTime("2026-01-02T00:00:00Z");
    const passes = (filter: Filter, value: unknown) => predicate(filter)({ value });
    expect(passes(["value", ">", new DateTime("2026-01-01T00:00:00Z")], at)).toBe(true);
    expect(
      passes(
        ["value", "==", new Uuid("00000000-0000-0000-0000-000000000001")],
        new Uuid("00000000-0000-0000-0000-000000000001"),
      ),
    ).toBe(true);
    expect(passes(["value", "<", new Decimal("10")], new Decimal("9.5"))).toBe(true);
    expect(passes(["value", "<", new Duration(10)], new Duration(9))).toBe(true);
    expect(passes(["value", "==", 3], 3n)).toBe(true);
    expect(passes(["value", "==", 3n], 3)).toBe(true);
    expect(passes(["value", "==", 1.5], 3n)).toBe(false);
    expect(passes(["value", "==", new Uint8Array([1])], new Uint8Array([1]))).toBe(true);
    expect(passes(["value", "==", new Uint8Array([1])], new Uint8Array([2]))).toBe(false);
  });

  test.each<[Filter, unknown, boolean]>([
    [["value", "==", 1.5], 5n, false],
    [["value", "==", 5n], 5, true],
    [["value", "in", [1.5, 5]], 5n, true],
    [["value", "==", "2026-01-02T00:00:00Z"], new DateTime("2026-01-02T01:00:00+01:00"), true],
    [["value", ">", "2026-01-02T00:00:00Z"], new DateTime("2026-01-02T00:30:00+01:00"), false],
    [["value", ">", "2026-01-02T00:00:00.000001Z"], new DateTime("2026-01-02T00:00:00.000002Z"), true],
    [["value", ">", "2026-01-02T00:00:00"], new DateTime("2026-01-03T00:00:00Z"), false],
    [["value", ">", "2026-01-02T00:00:00"], new DateTime("2026-01-02T00:00:01"), true],
    [["value", "<", "2026-01-02"], new PlainDate("2026-01-01"), true],
    [["value", "==", "10.0"], new Decimal("10.00"), true],
    [["value", ">", "9"], new Decimal("10"), true],
    [["value", "==", 10], new Decimal("10.00"), true],
    [["value", ">", 5], new Duration(1_000_000), false],
    [["value", "<=", 1.5], new Duration(1_500_000), true],
    [
      ["value", "==", "00000000-0000-0000-0000-00000000000A"],
      new Uuid("00000000-0000-0000-0000-00000000000a"),
      true,
    ],
    [["value", ">", "soon"], new DateTime("2026-01-02T00:00:00Z"), false],
    [["value.length", ">", 1], [1, 2, 3], false],
    [["value", "<", "\u{1f600}"], "\uff5e", true],
    [["value", "==", "\u{1f600}"], "\u{1f600}", true],
    [["value", "==", Number.NaN], Number.NaN, false],
    [["value", "<", 2], true, false],
  ])(
    "a value is fitted to what it is compared with, as the broker does by the schema: %#",
    (filter, value, passes) => expect(predicate(filter)({ value })).toBe(passes),
  );

  test("what differs in a map or a set is not the same", () => {
    expect(isSame(new Map([["a", 1]]), new Map([["a", 2]]))).toBe(false);
    expect(isSame(new Map([["a", 1]]), new Map([["a", 1]]))).toBe(true);
    expect(isSame(new Set([1]), new Set([2]))).toBe(false);
    expect(isSame({ n: 5 }, { n: 5n })).toBe(true);
    expect(isSame(5n, "5")).toBe(false);
  });

  test.each([null, {}, { all: [] }, { none: [] }, ["a", "=>", 1], ["a", "in", 1], [1, "==", 1], "a > 1"])(
    "%j is refused",
    (filter) => expect(() => predicate(filter as never)).toThrow(TypeError),
  );

  test("a path leads through own properties only", () => {
    expect(valueAt("constructor.name")({})).toBe(null);
    expect(valueAt("")(3)).toBe(3);
  });
});
