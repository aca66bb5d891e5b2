/** A contract as `ionbus codegen` writes it, for tests. */

import { type ContractReference, call, event, stream } from "../src/contract.js";
import { serve } from "../src/dispatch/answer.js";
import { ContractError, type ContractErrorOptions } from "../src/errors.js";

const contract: ContractReference = { name: "conductor", version: "1.0", fingerprint: "0".repeat(32) };

export interface Progress {
  node: string;
  percent: number;
}

export class FlowInvalid extends ContractError<"flow_invalid", { node_ids: string[] }> {
  static override readonly code = "flow_invalid";
  declare readonly node_ids: string[];
  constructor(fields: { node_ids: string[] }, options?: ContractErrorOptions) {
    super("The flow cannot run as given.", fields, options);
  }
}

export const Conductor = {
  __contract__: contract,
  progress: event<"conductor.progress", Progress, Progress, "broker">({
    name: "conductor.progress",
    contract,
    delivery: "latest",
    key: ["node"],
  }),
  finished: event<"conductor.finished", { files: number }, { files: number }, "broker">({
    name: "conductor.finished",
    contract,
  }),
  cancelled: event<"conductor.cancelled", { id: string }, { id: string }, "client">({
    name: "conductor.cancelled",
    contract,
    source: "client",
  }),
  execute: call<"conductor.execute", { flow: string }, { files: number }, "broker">({
    name: "conductor.execute",
    contract,
    raises: [FlowInvalid],
  }),
  ping: call<"conductor.ping", null, null, "broker">({ name: "conductor.ping", contract }),
  echo: call<"conductor.echo", Uint8Array, Uint8Array, "broker">({ name: "conductor.echo", contract }),
  logs: stream<"conductor.logs", { count: number }, { line: number }, "broker">({
    name: "conductor.logs",
    contract,
  }),
  pickFile: call<"conductor.pick_file", { title: string }, { path: string | null }, "client">({
    name: "conductor.pick_file",
    contract,
    servedBy: "client",
    serve,
  }),
  upload: stream<"conductor.upload", null, number, "client">({
    name: "conductor.upload",
    contract,
    servedBy: "client",
    serve,
  }),
} as const;
