// Right uses of descriptors, and wrong ones under @ts-expect-error; `make lint` runs tsc over it.

import {
  type AnyEvent,
  type CallDescriptor,
  call,
  type EventDescriptor,
  event,
  type Received,
  type ReceivedOf,
  type Source,
  type StreamDescriptor,
  stream,
} from "../../src/contract.js";
import { CallTimeout, ContractError, type ContractErrorClass, NotFound } from "../../src/errors.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;

const __contract__ = { name: "conductor", version: "1.0", fingerprint: "f" };

export const progress: EventDescriptor<"conductor.progress", { percent: number }> = event({
  name: "conductor.progress",
  contract: __contract__,
});
export const cancelled: EventDescriptor<"conductor.cancelled", string, string, "client"> = event({
  name: "conductor.cancelled",
  contract: __contract__,
  source: "client",
});
export const execute: CallDescriptor<"conductor.execute", string, number> = call({
  name: "conductor.execute",
  contract: __contract__,
});
export const logs: StreamDescriptor<"conductor.logs", null, string, "client"> = stream({
  name: "conductor.logs",
  contract: __contract__,
  servedBy: "client",
});

// A descriptor says in its value what it says in its type.
// @ts-expect-error: another name
export const misnamed: EventDescriptor<"conductor.progress", number> = event({
  name: "x",
  contract: __contract__,
});
// @ts-expect-error: another source
export const missourced: EventDescriptor<"x", number> = event({
  name: "x",
  contract: __contract__,
  source: "any",
});
// @ts-expect-error: another side
export const misserved: CallDescriptor<"x", null, null> = call({
  name: "x",
  contract: __contract__,
  servedBy: "client",
});
// @ts-expect-error: a call is no stream
export const miskind: StreamDescriptor<"x", null, null> = call({ name: "x", contract: __contract__ });
// @ts-expect-error: "durable" comes later
event({ name: "x", contract: __contract__, delivery: "durable" });

// Descriptors are invariant in their payloads.
// @ts-expect-error: wider
progress satisfies EventDescriptor<"conductor.progress", { percent: number } | string>;
// @ts-expect-error: narrower
execute satisfies CallDescriptor<"conductor.execute", "a", number>;
progress satisfies AnyEvent;
cancelled satisfies EventDescriptor<"conductor.cancelled", string, string, "client" | "any">;
// @ts-expect-error: the client's event
cancelled satisfies EventDescriptor<"conductor.cancelled", string, string, "broker" | "any">;

// Payloads are inferred from descriptors, and names narrow what many events bring.
declare function on<Payload>(
  event: EventDescriptor<string, Payload, unknown, Source>,
  listener: (payload: Payload) => unknown,
): void;
declare function listen<Payload, Sent>(
  event: EventDescriptor<string, Payload, Sent, Source>,
  listener: (payload: Payload) => unknown,
): void;
listen(progress, (payload) => payload.percent.toFixed());
// @ts-expect-error: invariant, so that `unknown` stands for no other payload
on(progress, () => undefined);

const namespace = { __contract__, progress, execute, nodes: { __contract__, cancelled } };
export function narrowed(received: ReceivedOf<typeof namespace>): void {
  expect<
    Equal<
      typeof received,
      Received<"conductor.progress", { percent: number }> | Received<"conductor.cancelled", string>
    >
  >();
  if (received.name === "conductor.cancelled") expect<Equal<typeof received.payload, string>>();
}

// Errors are told apart by class, and generated classes are error classes.
class FlowInvalid extends ContractError<"flow_invalid", { node_ids: string[] }> {
  static override readonly code = "flow_invalid";
  declare readonly node_ids: string[];
  constructor(fields: { node_ids: string[] }) {
    super("The flow cannot run as given.", fields);
  }
}
[FlowInvalid] satisfies readonly ContractErrorClass[];
// @ts-expect-error: not a declared error
[NotFound] satisfies readonly ContractErrorClass[];

export function caught(problem: CallTimeout | NotFound | FlowInvalid): void {
  if (problem instanceof CallTimeout) expect<Equal<typeof problem.code, "call_timeout">>();
  else if (problem instanceof FlowInvalid) problem.node_ids satisfies string[];
  else expect<Equal<typeof problem, NotFound>>();
}

// A unique symbol would be another one in each copy of the package, so that a descriptor of the other copy had payloads of type unknown.
type Keys = keyof AnyEvent | keyof CallDescriptor<string, 1, 1> | keyof StreamDescriptor<string, 1, 1>;
expect<Equal<Extract<Keys, symbol>, never>>();
