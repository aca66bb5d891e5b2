/** Errors: the classes are those of schemas/errors.toml, and `instanceof` goes by the code. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as errors from "../src/errors.js";
import {
  CallCancelled,
  CallTimeout,
  ContractError,
  type ContractErrorOptions,
  errorFromWire,
  errorToWire,
  InternalError,
  InvalidPayload,
  IonbusError,
  isIonbusError,
  LocalProtocolError,
  NotFound,
  ProtocolError,
  RemoteProtocolError,
} from "../src/errors.js";

interface Row {
  readonly code: string;
  readonly className: string;
  readonly details: readonly string[];
  readonly branches: readonly string[];
}

/** The rows of schemas/errors.toml, which uses no more of TOML than this reads. */
function readSchema(): Row[] {
  const text = readFileSync(new URL("../../schemas/errors.toml", import.meta.url), "utf8");
  return text
    .split(/^\[/m)
    .slice(1)
    .map((section) => ({
      code: section.slice(0, section.indexOf("]")),
      className: /^class = "(\w+)"$/m.exec(section)?.[1] ?? "",
      details: [...(/^details = \{(.*)\}$/m.exec(section)?.[1] ?? "").matchAll(/(\w+) = "/g)].map(
        (match) => match[1] ?? "",
      ),
      branches: [...(/^branches = \[(.*)\]$/m.exec(section)?.[1] ?? "").matchAll(/"(\w+)"/g)].map(
        (match) => match[1] ?? "",
      ),
    }));
}

type ErrorClass = (new (message?: string) => IonbusError) & { readonly code: string };
const classes = new Map<string, ErrorClass>(
  Object.entries(errors).flatMap(([name, value]) =>
    typeof value === "function" && "code" in value && name !== "ContractError"
      ? [[name, value as ErrorClass]]
      : [],
  ),
);

interface FlowInvalidFields {
  node_ids: string[];
}

/** As `ionbus codegen` writes it. */
class FlowInvalid extends ContractError<"flow_invalid", FlowInvalidFields> {
  static override readonly code = "flow_invalid";
  declare readonly node_ids: string[];

  constructor(fields: FlowInvalidFields, options?: ContractErrorOptions) {
    super("The flow cannot run as given.", fields, options);
  }
}

class Busy extends ContractError<"busy", { [key: string]: never }> {
  static override readonly code = "busy";

  constructor(fields = {}, options?: ContractErrorOptions) {
    super("busy", fields, options);
  }
}

describe("the classes are those of the schema", () => {
  const schema = readSchema();

  test.each(schema)("$code is $className", ({ code, className, details, branches }) => {
    const Class = classes.get(className);
    expect(Class?.code).toBe(code);
    if (Class === undefined) return;
    const error = new Class("m");
    expect(error).toBeInstanceOf(Class);
    expect(error).toBeInstanceOf(IonbusError);
    expect(error).toBeInstanceOf(Error);
    expect([error.code, error.name, error.message]).toEqual([code, className, "m"]);
    expect(Object.keys(error.details())).toEqual(details);
    for (const branch of branches) expect(new (classes.get(branch) as ErrorClass)()).toBeInstanceOf(Class);
  });

  test("none is missing from it", () => {
    const listed = schema.flatMap((row) => [row.className, ...row.branches]);
    expect([...classes.keys()].sort()).toEqual(listed.sort());
  });
});

describe("the trip over the wire", () => {
  test.each([
    new NotFound("no handler"),
    new InvalidPayload("x: bad", {
      paths: [
        ["x", "bad"],
        ["", "worse"],
      ],
    }),
    new InternalError("failed", { incidentId: "i-1" }),
    new FlowInvalid({ node_ids: ["a"] }),
    new FlowInvalid({ node_ids: [] }, { message: "other words" }),
    new Busy(),
  ])("$name", (error) => {
    const [code, message, details] = errorToWire(error);
    const arrived = errorFromWire(code, message, details, [Busy, FlowInvalid]);
    expect(arrived).toEqual(error);
    expect(arrived.constructor).toBe(error.constructor);
    expect(errorToWire(arrived)).toEqual([code, message, details]);
  });

  test.each([
    ["made_up", {}, IonbusError],
    ["made_up", null, IonbusError],
    ["invalid_payload", { paths: 3 }, InvalidPayload],
    ["invalid_payload", { paths: [[1, 2], "x", ["a"], ["a", "b"]] }, InvalidPayload],
    ["internal_error", { incident_id: 3 }, InternalError],
    ["protocol_error", [1], ProtocolError],
  ])("%s with %o becomes an error whatever it is", (code, details, Class) => {
    const arrived = errorFromWire(code, "m", details);
    expect(arrived.constructor).toBe(Class);
    expect(arrived.code).toBe(code);
  });

  test("problems that are no pairs of texts are left out", () => {
    const arrived = errorFromWire("invalid_payload", "m", {
      paths: [
        [1, 2],
        ["a", "b"],
      ],
    });
    expect(arrived instanceof InvalidPayload && arrived.paths).toEqual([["a", "b"]]);
  });

  test("a declared error has its fields as properties", () => {
    const arrived = errorFromWire("flow_invalid", "m", { node_ids: ["a"] }, [FlowInvalid]);
    expect(arrived instanceof FlowInvalid && arrived.node_ids).toEqual(["a"]);
    expect(errorFromWire("flow_invalid", "m", { node_ids: ["a"] })).not.toBeInstanceOf(ContractError);
  });
});

describe("instanceof", () => {
  test("agrees with the errors of another copy of the package", async () => {
    const other = (await import(`${"../src/errors.js"}?another`)) as typeof errors;
    expect(other.CallTimeout).not.toBe(CallTimeout);
    expect(new other.CallTimeout("m")).toBeInstanceOf(CallTimeout);
    expect(new other.CallTimeout("m")).toBeInstanceOf(IonbusError);
    expect(new other.CallTimeout("m")).not.toBeInstanceOf(CallCancelled);
    expect(new FlowInvalid({ node_ids: [] })).toBeInstanceOf(other.ContractError);
    expect(new other.NotFound("m")).not.toBeInstanceOf(ContractError);
  });

  test.each([
    new Error("m"),
    Object.assign(new Error("m"), { code: "call_timeout" }),
    null,
    undefined,
    "call_timeout",
    {},
  ])("%o is none of ours", (value) => {
    expect(value instanceof CallTimeout).toBe(false);
    expect(value instanceof IonbusError).toBe(false);
    expect(isIonbusError(value)).toBe(false);
  });

  test("tells the branches of a protocol error apart", () => {
    expect(new LocalProtocolError()).not.toBeInstanceOf(RemoteProtocolError);
    expect(new ProtocolError()).not.toBeInstanceOf(LocalProtocolError);
    expect(new LocalProtocolError().name).toBe("LocalProtocolError");
  });

  test("tells declared errors apart", () => {
    expect(new FlowInvalid({ node_ids: [] })).toBeInstanceOf(ContractError);
    expect(new FlowInvalid({ node_ids: [] })).not.toBeInstanceOf(Busy);
    expect(new NotFound()).not.toBeInstanceOf(ContractError);
  });
});

test("a cause is kept on this side", () => {
  const reason = new Error("the signal's");
  expect(new CallCancelled("m", { cause: reason }).cause).toBe(reason);
  expect("cause" in new CallCancelled("m")).toBe(false);
  expect(errorToWire(new CallCancelled("m", { cause: reason }))).toEqual(["call_cancelled", "m", {}]);
});
