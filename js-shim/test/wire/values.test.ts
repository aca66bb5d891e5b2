import { readFileSync } from "node:fs";
import { Encoder } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Decimal } from "../../src/wire/decimal.js";
import { DateTime, Duration, PlainDate, PlainTime } from "../../src/wire/times.js";
import { Uuid } from "../../src/wire/uuid.js";
import { decode, encode, ValueRefused } from "../../src/wire/values.js";

/** How schemas/vectors/values.json writes values down; tests/wire/test_values.py explains it. */
type Written = null | boolean | string | number | Written[] | { [kind: string]: unknown };

interface ValueRow {
  name: string;
  wire: string;
  value: Written;
  decode_only?: boolean;
  javascript?: { wire?: string; value?: Written };
}

interface RefusedRow {
  name: string;
  wire?: string;
  value?: Written;
  path: string;
  problem: string;
}

const vectors = JSON.parse(
  readFileSync(new URL("../../../schemas/vectors/values.json", import.meta.url), "utf8"),
) as { values: ValueRow[]; refused_values: RefusedRow[]; refused_bytes: RefusedRow[] };

const typedArrays = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
};

function build(written: Written): unknown {
  if (Array.isArray(written)) return written.map(build);
  if (typeof written !== "object" || written === null) return written;
  const [kind, content] = Object.entries(written)[0] as [string, never];
  switch (kind) {
    case "float":
      return (
        { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY }[content] ??
        content
      );
    case "wide":
      return BigInt(content);
    case "bytes":
      return fromHex(content);
    case "record": {
      const record = {};
      for (const [key, member] of content as [string, Written][]) {
        Object.defineProperty(record, key, {
          value: build(member),
          enumerable: true,
          configurable: true,
          writable: true,
        });
      }
      return record;
    }
    case "mapping":
      return new Map((content as [Written, Written][]).map(([key, member]) => [build(key), build(member)]));
    case "set":
      return new Set((content as Written[]).map(build));
    case "typed": {
      const [name, elements] = content as [string, never[]];
      if (name === "int64") return BigInt64Array.from(elements.map(BigInt));
      if (name === "uint64") return BigUint64Array.from(elements.map(BigInt));
      return typedArrays[name as keyof typeof typedArrays].from(elements);
    }
    case "date_time":
      return new DateTime(content);
    case "date":
      return new PlainDate(content);
    case "time":
      return new PlainTime(content);
    case "duration":
      return new Duration(BigInt(content));
    case "decimal":
      return new Decimal(content);
    case "uuid":
      return new Uuid(content);
    case "nested": {
      let nested: unknown = null;
      for (let count = content as number; count > 0; count--) nested = [nested];
      return nested;
    }
    case "cycle": {
      const cycle: unknown[] = [];
      cycle.push({ self: [cycle] });
      return cycle;
    }
    case "unknown":
      return () => undefined;
    default:
      throw new Error(kind);
  }
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

function refusalOf(action: () => unknown): ValueRefused {
  try {
    action();
  } catch (error) {
    if (error instanceof ValueRefused) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("vectors", () => {
  test.each(vectors.values)("$name", ({ wire, value, decode_only, javascript }) => {
    const built = build(javascript?.value ?? value);
    expect(decode(fromHex(wire))).toStrictEqual(built);
    if (!decode_only) expect(toHex(encode(built))).toBe(javascript?.wire ?? wire);
  });

  test.each(vectors.refused_values)("refused: $name", ({ value, path, problem }) => {
    const refusal = refusalOf(() => encode(build(value as Written)));
    expect(refusal.path).toBe(path);
    if (!problem.startsWith("object ")) expect(refusal.problem).toBe(problem);
    expect(refusal.message).toBe(path === "" ? refusal.problem : `${path}: ${refusal.problem}`);
  });

  test.each(vectors.refused_bytes)("refused bytes: $name", ({ wire, path, problem }) => {
    const refusal = refusalOf(() => decode(fromHex(wire as string)));
    expect(refusal.path).toBe(path);
    expect(refusal.problem).toBe(problem);
  });
});

describe("what JavaScript has besides", () => {
  class Point {
    x = 1;
  }

  test.each([
    ["undefined in an object", { a: undefined, b: 1 }, { b: 1 }],
    ["undefined elsewhere", [undefined, new Map([[1, undefined]])], [null, new Map([[1, null]])]],
    ["a hole", new Array(2), [null, null]],
    ["a Date", new Date(Date.UTC(2024, 0, 2, 3, 4, 5, 60)), new DateTime("2024-01-02T03:04:05.060000+00:00")],
    ["a small bigint", [1n, -(2n ** 53n) + 1n], [1, -(2 ** 53) + 1]],
    ["an object without prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    ["a Buffer", Buffer.from("ab"), Uint8Array.of(97, 98)],
    ["clamped bytes", Uint8ClampedArray.of(1, 2), Uint8Array.of(1, 2)],
    ["part of a buffer", new Uint16Array([1, 2, 3]).subarray(1), Uint16Array.of(2, 3)],
    ["negative zero", -0, -0],
    ["a byte order mark", "\ufeffa", "\ufeffa"],
    ["long text", `${"a".repeat(70_000)}ü`, `${"a".repeat(70_000)}ü`],
    ["much", Array.from({ length: 70_000 }, (_, n) => n), Array.from({ length: 70_000 }, (_, n) => n)],
    ["many bytes", new Uint8Array(70_000).fill(7), new Uint8Array(70_000).fill(7)],
    [
      "a large set",
      new Set(Array.from({ length: 70_000 }, (_, n) => n)),
      new Set(Array.from({ length: 70_000 }, (_, n) => n)),
    ],
    ["a wide mapping", new Map([[2n ** 80n, "a"]]), new Map([[2n ** 80n, "a"]])],
  ])("%s", (_, sent, received) => {
    expect(decode(encode(sent))).toStrictEqual(received);
  });

  test.each([
    ["a function", { a: () => 1 }, "a", "function is not a value that travels"],
    ["a symbol", [Symbol("a")], "[0]", "symbol is not a value that travels"],
    ["an instance", { p: new Point() }, "p", "Point is not a value that travels"],
    ["an Error", new Error("x"), "", "Error is not a value that travels"],
    ["a Promise", [Promise.resolve()], "[0]", "Promise is not a value that travels"],
    ["an ArrayBuffer", new ArrayBuffer(1), "", "ArrayBuffer is not a value that travels"],
    ["a DataView", new DataView(new ArrayBuffer(1)), "", "DataView is not a value that travels"],
    ["a boxed number", Object(1), "", "Number is not a value that travels"],
    ["an invalid Date", [new Date(Number.NaN)], "[0]", "a Date outside the years 1 to 9999"],
    ["a far Date", [new Date(Date.UTC(12_000, 1))], "[0]", "a Date outside the years 1 to 9999"],
    ["a lone surrogate in long text", { a: `${"a".repeat(100)}\ud800` }, "a", "text with a lone surrogate"],
    [
      "a lone surrogate in a key",
      { größe: { "\udc00": 1 } },
      '["größe"]["\\udc00"]',
      "text with a lone surrogate",
    ],
    [
      "an inherited __proto__",
      JSON.parse('{"a":{"__proto__":1}}'),
      "a.__proto__",
      "the key `__proto__` is not allowed",
    ],
  ])("refused: %s", (_, value, path, problem) => {
    const refusal = refusalOf(() => encode(value));
    expect([refusal.path, refusal.problem]).toStrictEqual([path, problem]);
  });

  test("cycles of every kind", () => {
    const set = new Set<unknown>();
    set.add([set]);
    const map = new Map<unknown, unknown>();
    map.set("m", [map]);
    const twice: unknown[] = [];
    twice.push(twice, twice);
    for (const [value, path] of [
      [set, "[0][0]"],
      [map, "m[0]"],
      [twice, "[0]"],
    ] as const) {
      expect(refusalOf(() => encode(value))).toMatchObject({ path, problem: "refers to itself" });
    }
  });

  test("a refusal leaves nothing behind, and a getter may encode", () => {
    refusalOf(() => encode([1, 2, () => 1]));
    const value = {
      get inner() {
        return encode([1, "a"]);
      },
      after: 2,
    };
    expect(decode(encode(value))).toStrictEqual({ inner: encode([1, "a"]), after: 2 });
    expect(toHex(encode([1]))).toBe("9101");
  });

  test("bytes are views", () => {
    const bytes = encode({ png: Uint8Array.of(1, 2, 3) });
    expect((decode(bytes) as { png: Uint8Array }).png.buffer).toBe(bytes.buffer);
    expect((decode(Buffer.from(bytes)) as { png: Uint8Array }).png.constructor).toBe(Uint8Array);
  });

  test("another copy's classes and another realm's objects travel too", () => {
    const foreign = { ...new Uuid("12345678-1234-5678-9abc-def012345678") };
    const prototype = Object.create(null, Object.getOwnPropertyDescriptors(Uuid.prototype)) as object;
    expect(toHex(encode(Object.assign(Object.create(Object.create(prototype)), foreign)))).toMatch(/^d807/);
  });
});

test("members that were chosen to collide are refused", () => {
  const collide = (count: number) =>
    Array.from({ length: count }, (_, index) => (BigInt(index + 1) << 64n) + 7n);
  const few = new Set(collide(256));
  expect(decode(encode(few))).toEqual(few);
  expect(() => decode(encode(new Set(collide(257))))).toThrow("have the same hash");
  const keys = new Map(collide(257).map((key) => [key, null]));
  expect(() => decode(encode(keys))).toThrow("have the same hash");
  const many = new Set(Array.from({ length: 100_000 }, (_, index) => BigInt(index) + 2n ** 64n));
  expect((decode(encode(many)) as Set<bigint>).size).toBe(100_000);
});

describe("the values that JavaScript lacks", () => {
  test("DateTime", () => {
    expect(String(new DateTime("2024-01-01T12:00:00.50Z"))).toBe("2024-01-01T12:00:00.500000+00:00");
    expect(new DateTime("2024-01-01T12:00:00+01:00").toDate().toISOString()).toBe("2024-01-01T11:00:00.000Z");
    expect(DateTime.from(new Date(1_500)).equals(new DateTime("1970-01-01T00:00:01.5Z"))).toBe(true);
    expect(new DateTime("2024-01-01T12:00:00").hasOffset).toBe(false);
    expect(new DateTime("2024-01-01T12:00:00-03:30").hasOffset).toBe(true);
    expect(JSON.stringify([new DateTime("2024-01-01T12:00:00")])).toBe('["2024-01-01T12:00:00"]');
    for (const wrong of [
      "",
      "2024-01-01",
      "2024-02-30T00:00:00",
      "2024-01-01T24:00:00",
      "2024-01-01T00:00:00.1234567",
    ]) {
      expect(() => new DateTime(wrong)).toThrow(RangeError);
    }
  });

  test("PlainDate and PlainTime", () => {
    const date = PlainDate.of(2024, 2, 29);
    expect([date.year, date.month, date.day, String(date)]).toStrictEqual([2024, 2, 29, "2024-02-29"]);
    const time = PlainTime.of(1, 2, 3, 4);
    expect([time.hour, time.minute, time.second, time.microsecond]).toStrictEqual([1, 2, 3, 4]);
    expect([String(time), String(PlainTime.of(1, 2))]).toStrictEqual(["01:02:03.000004", "01:02:00"]);
    expect(() => PlainDate.of(2023, 2, 29)).toThrow(RangeError);
    expect(() => new PlainDate("1900-02-29")).toThrow(RangeError);
    expect(() => PlainTime.of(24, 0)).toThrow(RangeError);
  });

  test.each([
    [0, "PT0S"],
    [1, "PT0.000001S"],
    [-1_500_000, "-PT1.5S"],
    [86_400_000_000, "P1D"],
    [93_784_500_000, "P1DT2H3M4.5S"],
    [3_600_000_000, "PT1H"],
  ])("Duration of %d", (microseconds, text) => {
    expect(String(new Duration(microseconds))).toBe(text);
    expect(Duration.fromMilliseconds(microseconds / 1_000).equals(new Duration(microseconds))).toBe(true);
    expect(new Duration(microseconds).toMilliseconds()).toBe(microseconds / 1_000);
  });

  test("Duration is bounded", () => {
    expect(() => new Duration(2n ** 63n)).toThrow(RangeError);
    expect(() => new Duration(0.5)).toThrow(RangeError);
  });

  test("Decimal", () => {
    expect([new Decimal(1.5), new Decimal(1e21), new Decimal(10n)].map(String)).toStrictEqual([
      "1.5",
      "1E+21",
      "10",
    ]);
    expect(new Decimal("1.10").toNumber()).toBe(1.1);
    expect([new Decimal("-sNaN12").toNumber(), new Decimal("-Infinity").toNumber()]).toStrictEqual([
      Number.NaN,
      -Infinity,
    ]);
    expect(new Decimal("1.0").equals(new Decimal("1.00"))).toBe(false);
    expect(() => new Decimal("1,5")).toThrow(RangeError);
  });

  test("Uuid", () => {
    const uuid = new Uuid("12345678-1234-5678-9ABC-DEF012345678");
    expect(String(uuid)).toBe("12345678-1234-5678-9abc-def012345678");
    expect(Uuid.fromBytes(uuid.toBytes()).equals(uuid)).toBe(true);
    expect(uuid.equals(String(uuid))).toBe(false);
    expect(() => Uuid.fromBytes(new Uint8Array(15))).toThrow(RangeError);
  });
});

// --- properties -------------------------------------------------------------------------------------------------

const text = fc.string({ unit: "binary" });
const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  text,
  fc.maxSafeInteger(),
  fc.double(),
  fc.bigInt().filter((value) => BigInt.asIntN(54, value) !== value),
  fc.uint8Array(),
  fc.int16Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.uuid().map((value) => new Uuid(value)),
  fc
    .date({ min: new Date("0001-01-01"), max: new Date("9999-12-31"), noInvalidDate: true })
    .map(DateTime.from),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => new Duration(value)),
);
const plainKey = text.filter((key) => key !== "__proto__");
const anyValue = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, leaf, tie("list"), tie("record"), tie("mapping"), tie("set")),
  list: fc.array(tie("value"), { maxLength: 20 }),
  record: fc.dictionary(plainKey, tie("value"), { noNullPrototype: true }),
  mapping: fc
    .array(fc.tuple(fc.oneof(fc.maxSafeInteger(), plainKey), tie("value")))
    .map((entries) => new Map(entries)),
  set: fc.array(tie("value"), { maxLength: 5 }).map((members) => new Set(members)),
})).value;

test("round trip", () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      expect(decode(encode(value))).toStrictEqual(value);
    }),
  );
});

test("plain values are written as msgpack's reference implementation writes them", () => {
  const reference = new Encoder({ ignoreUndefined: true });
  const plain = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(
        fc.constant(null),
        fc.boolean(),
        text,
        fc.maxSafeInteger(),
        fc.double().filter((value) => !Object.is(value, -0)),
        fc.uint8Array(),
      ),
      fc.array(tie("value")),
      fc.dictionary(plainKey, tie("value"), { noNullPrototype: true }),
    ),
  })).value;
  fc.assert(
    fc.property(plain, (value) => {
      expect(toHex(encode(value))).toBe(toHex(reference.encode(value)));
    }),
  );
});

test("damage is refused or is another value", () => {
  fc.assert(
    fc.property(anyValue, fc.nat(), fc.nat(255), (value, place, byte) => {
      const bytes = encode(value);
      bytes[place % bytes.length] = byte;
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(ValueRefused);
      }
    }),
    { numRuns: 1_000 },
  );
});

test("any bytes are a value or refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(ValueRefused);
      }
    }),
    { numRuns: 5_000 },
  );
});

test("a payload of more values than memory should hold is refused", () => {
  const many = 4_194_304;
  const bytes = new Uint8Array(many + 6).fill(1);
  bytes.set([0xdd, 0, 0x40, 0, 0]);
  expect(decode(bytes.subarray(0, many + 5))).toHaveLength(many);
  bytes.set([0xdd, 0, 0x40, 0, 1]);
  expect(() => decode(bytes)).toThrow("more than 4194304 values");
});
