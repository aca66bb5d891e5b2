/** Descriptors: what is left out has the same meaning as in Python. */

import { expect, test } from "vitest";
import {
  type CallDescriptor,
  call,
  type EventDescriptor,
  event,
  membersOf,
  type StreamDescriptor,
  stream,
} from "../src/contract.js";
import { createReader } from "../src/dispatch/reader.js";

const contract = { name: "conductor", version: "1.0", fingerprint: "f" };

const progress: EventDescriptor<"conductor.progress", number> = event({
  name: "conductor.progress",
  contract,
  delivery: "latest",
  key: ["id"],
});
const finished: EventDescriptor<"conductor.finished", number> = event({
  name: "conductor.finished",
  contract,
});
const execute: CallDescriptor<"conductor.execute", null, number> = call({
  name: "conductor.execute",
  contract,
});
const pick: CallDescriptor<"conductor.nodes.pick", null, number, "client"> = call({
  name: "conductor.nodes.pick",
  contract,
  servedBy: "client",
  timeoutMs: null,
  idempotent: true,
});
const logs: StreamDescriptor<"conductor.logs", null, number> = stream({ name: "conductor.logs", contract });

test.each([
  [progress, { kind: "event", source: "broker", delivery: "latest", key: ["id"] }],
  [finished, { kind: "event", source: "broker", delivery: "session", key: [] }],
  [execute, { kind: "call", servedBy: "broker", timeoutMs: 30_000, raises: [], idempotent: false }],
  [pick, { kind: "call", servedBy: "client", timeoutMs: null, raises: [], idempotent: true }],
  [
    logs,
    {
      kind: "stream",
      servedBy: "broker",
      timeoutMs: null,
      raises: [],
      idempotent: false,
      read: createReader,
    },
  ],
])("%o", (member, expected) => {
  expect(member).toEqual({ name: member.name, contract, ...expected });
});

test("the members of a contract are those of the contracts in it too", () => {
  const Conductor = {
    __contract__: contract,
    progress,
    execute,
    nodes: { __contract__: contract, pick },
  };
  expect(membersOf(Conductor)).toEqual([progress, execute, pick]);
});
