/**
 * `ionbus/validate`: validators for `connect({ validators })` from whatever follows Standard Schema (https://standardschema.dev), as
 * zod, valibot and arktype do. For development: a page that does not import this carries neither it nor a schema.
 */

import type { Validator, Validators } from "../client/payloads.js";
import type {
  AnyMember,
  CallDescriptor,
  EventDescriptor,
  ServedBy,
  Source,
  StreamDescriptor,
} from "../contract.js";
import type { PayloadProblem } from "../errors.js";

/** What ionbus needs of a Standard Schema, version 1. */
export interface StandardSchema<Value = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Result | Promise<Result>;
    readonly types?: { readonly input: Value; readonly output: unknown } | undefined;
  };
}

type Result = { readonly issues?: readonly Issue[] | undefined };

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The schemas of one member's payloads; what has none is not checked. */
export interface Checked {
  readonly member: AnyMember;
  readonly event?: StandardSchema<never> | undefined;
  readonly request?: StandardSchema<never> | undefined;
  readonly answer?: StandardSchema<never> | undefined;
}

type Takes<Value> = StandardSchema<Value> | undefined;

/**
 * Say which schemas a member's payloads are checked with. A schema that takes another type than the member has is an error for the
 * compiler.
 */
export function checked<Name extends string, Payload, Sent>(
  member: EventDescriptor<Name, Payload, Sent, Source>,
  schemas: { readonly event?: Takes<NoInfer<Payload>> },
): Checked;
export function checked<Name extends string, Request, Answer>(
  member: CallDescriptor<Name, Request, Answer, ServedBy> | StreamDescriptor<Name, Request, Answer, ServedBy>,
  schemas: { readonly request?: Takes<NoInfer<Request>>; readonly answer?: Takes<NoInfer<Answer>> },
): Checked;
export function checked(member: AnyMember, schemas: object): Checked {
  return { member, ...schemas };
}

/**
 * Make validators of schemas.
 *
 * ```ts
 * connect({ validators: validate(checked(Conductor.execute, { request: ExecuteFlow, answer: FlowResult })) })
 * ```
 *
 * They only check: what a schema would change (a default, a coercion) is not changed. A payload is refused with `InvalidPayload` and
 * the paths of what is wrong.
 *
 * @throws TypeError something is no Standard Schema.
 */
export function validate(...checks: readonly Checked[]): Validators {
  const validators: Record<string, Record<string, Validator>> = {};
  for (const { member, ...schemas } of checks) {
    const parts = { ...validators[member.name] };
    for (const [part, schema] of Object.entries(schemas))
      if (schema !== undefined) parts[part] = validatorOf(`${member.name}: ${part}`, schema);
    validators[member.name] = parts;
  }
  return validators;
}

/**
 * Make a validator of one schema.
 *
 * @param what - what it is for, in errors.
 * @throws TypeError it is no Standard Schema; when it is used: it checks asynchronously, which no payload can wait for.
 */
export function validatorOf(what: string, schema: StandardSchema<never>): Validator {
  const standard: Partial<StandardSchema["~standard"]> | undefined = schema?.["~standard"];
  const { validate } = standard ?? {};
  if (standard?.version !== 1 || typeof validate !== "function")
    throw new TypeError(`${what} is no Standard Schema of version 1 (https://standardschema.dev)`);
  return (payload) => {
    const result = validate(payload);
    if (result instanceof Promise)
      throw new TypeError(`${what}: its schema validates asynchronously, which no payload can wait for`);
    return (result.issues ?? []).map(problemOf);
  };
}

/** Paths are written as everywhere in ionbus: "flow.nodes[2].id". */
function problemOf({ message, path = [] }: Issue): PayloadProblem {
  let where = "";
  for (const step of path) {
    const name = typeof step === "object" ? step.key : step;
    if (typeof name === "number") where += `[${name}]`;
    else where += where === "" ? String(name) : `.${String(name)}`;
  }
  return [where, message];
}
