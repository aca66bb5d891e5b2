// Right uses of schemas, and wrong ones under @ts-expect-error; `make lint` runs tsc over it.

import * as v from "valibot";
import type { Validators } from "../../src/client/payloads.js";
import { checked, validate } from "../../src/validate/index.js";
import { Conductor } from "../conductor.js";

const ExecuteFlow = v.object({ flow: v.string() });
const FlowResult = v.object({ files: v.number() });

export const validators: Validators = validate(
  checked(Conductor.execute, { request: ExecuteFlow, answer: FlowResult }),
  checked(Conductor.logs, { answer: v.object({ line: v.number() }) }),
  checked(Conductor.finished, { event: FlowResult }),
  // @ts-expect-error: a schema of another type
  checked(Conductor.execute, { request: FlowResult }),
  // @ts-expect-error: an event has no request
  checked(Conductor.finished, { request: FlowResult }),
  // @ts-expect-error: a call is no event
  checked(Conductor.execute, { event: FlowResult }),
  // @ts-expect-error: no schema
  checked(Conductor.execute, { request: (payload: unknown) => payload }),
);
