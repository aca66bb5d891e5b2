/** `schemas/cases/emitter.json`, and what its cases are made with; `schemas/cases/README.md` says what each step means. */

import { readFileSync } from "node:fs";
import path from "node:path";
import type { Validator, Validators } from "../../src/client/payloads.js";
import { type AnyEvent, type ContractNamespace, type ContractReference, event } from "../../src/contract.js";

export type Step = Readonly<Record<string, unknown>>;

export interface Script {
  readonly async?: boolean;
  readonly kind?: "generator" | "async generator" | "value";
  readonly does?: readonly Step[];
}

export interface Case {
  readonly group: string;
  readonly rule: string;
  readonly emitter?: Readonly<Record<string, unknown>>;
  readonly listeners?: Readonly<Record<string, Script>>;
  readonly steps: readonly Step[];
}

type Shape = string | null | Readonly<Record<string, string>>;

interface Table {
  readonly contracts: Readonly<Record<string, Readonly<Record<string, Shape>>>>;
  readonly cases: readonly Case[];
}

const FILE = path.resolve(import.meta.dirname, "../../../schemas/cases/emitter.json");
const table = JSON.parse(readFileSync(FILE, "utf8")) as Table;

export const CASES = table.cases;

/** Events and contracts by their full names. */
export const EVENTS = new Map<string, AnyEvent>();
export const CONTRACTS = new Map<string, ContractNamespace>();
/** Checks what Python's models check. */
export const VALIDATORS: Record<string, Validators[string]> = {};

for (const [name, events] of Object.entries(table.contracts)) {
  for (const [below, shape] of Object.entries(events)) {
    const full = `${name}.${below}`;
    const made = event({ name: full, contract: reference(name) });
    EVENTS.set(full, made);
    VALIDATORS[full] = { event: validator(shape) };
    const words = full.split(".");
    const holder = contractAt(words.slice(0, -1));
    Object.assign(holder, { [words[words.length - 1] as string]: made });
  }
}

/** The contract of this name, made with those above it. */
function contractAt(words: readonly string[]): ContractNamespace {
  const name = words.join(".");
  const known = CONTRACTS.get(name);
  if (known !== undefined) return known;
  const made: ContractNamespace = { __contract__: reference(name) };
  CONTRACTS.set(name, made);
  if (words.length > 1)
    Object.assign(contractAt(words.slice(0, -1)), { [words[words.length - 1] as string]: made });
  return made;
}

function reference(name: string): ContractReference {
  return { name, version: "1.0", fingerprint: "0".repeat(32) };
}

function validator(shape: Shape): Validator {
  return (payload) => {
    if (shape === null) return payload === null ? [] : [["", "takes no payload"]];
    if (typeof shape === "string") return isOf(shape, payload) ? [] : [["", `is no ${shape}`]];
    const fields = payload as Record<string, unknown>;
    return Object.entries(shape).flatMap(([field, type]) =>
      isOf(type, fields[field]) ? [] : [[field, `is no ${type}`] as const],
    );
  };
}

function isOf(type: string, value: unknown): boolean {
  return type === "integer" ? Number.isInteger(value) : typeof value === type;
}
