/**
 * What the TypeScript side makes of inputs that Python has made, for tests/fuzz/differential.py: one JSON object a line in, one a line out.
 *
 * `{"of": "values" | "frames", "inputs": [hex…]}` is answered by one text each; `{"of": "session" | "connection", "limits": {…},
 * "traces": [steps…]}`, steps with what Python gave, by null or the first difference of each.
 */

import { createInterface } from "node:readline";
import * as Frame from "../../src/generated/frame.js";
import { DEFAULT_LIMITS, FIELDS } from "../../src/generated/protocol.js";
import { Connection } from "../../src/session/connection.js";
import type { Entry } from "../../src/session/outbox.js";
import { Session } from "../../src/session/session.js";
import { decodeFrame, MalformedFrame } from "../../src/wire/frames.js";
import { checkMessage } from "../../src/wire/messages.js";
import { decode, ValueRefused } from "../../src/wire/values.js";
import {
  CONTRACTS,
  type ConnectionStep,
  connectionStep,
  drain,
  finite,
  fromHex,
  limitsOf,
  plain,
  type SessionStep,
  sessionFacts,
  sessionStep,
} from "../replay.js";
import { canonical } from "./canonical.js";

interface Request {
  readonly of: "values" | "frames" | "session" | "connection";
  readonly inputs?: readonly string[];
  readonly limits?: Record<string, number>;
  readonly traces?: readonly unknown[][];
}

/** The value, or its refusal. */
function value(bytes: Uint8Array): string {
  try {
    return canonical(decode(bytes));
  } catch (error) {
    if (!(error instanceof ValueRefused)) throw error;
    return `refused ${error.path}: ${error.problem}`;
  }
}

/** Whether it is a frame, and what each of its elements is. */
function frame(bytes: Uint8Array): string {
  let decoded: unknown[];
  try {
    decoded = decodeFrame(bytes);
  } catch (error) {
    if (!(error instanceof MalformedFrame)) throw error;
    return "malformed";
  }
  if (decoded[0] !== Frame.Data) return `kind ${decoded[0]}`;
  return `DATA ${decoded.slice(3).map(element).join(" ")}`;
}

function element(given: unknown): string {
  if (!Array.isArray(given)) return given === null ? "nil" : "none";
  try {
    return checkMessage(given, DEFAULT_LIMITS) ? "known" : "unknown";
  } catch (error) {
    if (!(error instanceof MalformedFrame)) throw error;
    return "malformed";
  }
}

function session(steps: readonly SessionStep[], given: Record<string, number>): unknown {
  const limits = limitsOf(given);
  const engine = new Session(limits);
  engine.setHeartbeat(limits.heartbeatMs, limits.silenceMs);
  const tagged = new Map<string, Entry | undefined>();
  for (const [index, step] of steps.entries()) {
    const gives =
      step.do === "receive"
        ? engine.receiveBytes(fromHex(step.frame as string), step.at).map(seen)
        : sessionStep(engine, tagged, step);
    const facts = { ...sessionFacts(engine), deadline: finite(engine.deadline()) };
    const difference = compared({ gives, facts }, { gives: step.gives, facts: step.facts });
    if (difference !== undefined) return { index, ...difference };
  }
  return null;
}

function connection(steps: readonly ConnectionStep[], limits: Record<string, number>): unknown {
  let draws = 0;
  const entropy = (size: number) => new Uint8Array(size).fill(++draws);
  const engine = new Connection(limitsOf(limits), entropy, () => 0.5, "client", CONTRACTS);
  const tagged = new Map<string, Entry | undefined>();
  for (const [index, step] of steps.entries()) {
    connectionStep(engine, tagged, step);
    const here = {
      effects: engine.effects().map(seen),
      frames: drain(engine, step.at, step.count),
      state: engine.state,
      deadline: finite(engine.deadline()),
    };
    const { effects, frames, state, deadline } = step;
    const difference = compared(here, { effects, frames, state, deadline });
    if (difference !== undefined) return { index, ...difference };
  }
  return null;
}

/** An arrival or effect as the vectors write it, but for a message: of that the fields that are described and scalar. */
function seen(thing: Parameters<typeof plain>[0]): unknown {
  return thing.type === "delivered"
    ? { delivered: thing.seq, message: summary(thing.message) }
    : plain(thing);
}

function summary([kind, ...fields]: readonly unknown[]): string {
  const described = FIELDS[kind as number] ?? [];
  const texts = described.map((type, index) =>
    /^(uint|text|bin|name)\??$/.test(type) ? canonical(fields[index] ?? null) : "-",
  );
  return [kind, ...texts].join(" ");
}

function compared(here: unknown, there: unknown): { typescript: string; python: string } | undefined {
  const typescript = sorted(here);
  const python = sorted(there);
  return typescript === python ? undefined : { typescript, python };
}

function sorted(given: unknown): string {
  return JSON.stringify(given, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort())
      : part,
  );
}

function answer({ of, inputs = [], limits = {}, traces = [] }: Request): unknown[] {
  switch (of) {
    case "values":
      return inputs.map((each) => attempt(() => value(fromHex(each))));
    case "frames":
      return inputs.map((each) => attempt(() => frame(fromHex(each))));
    case "session":
      return traces.map((steps) => attempt(() => session(steps as SessionStep[], limits)));
    case "connection":
      return traces.map((steps) => attempt(() => connection(steps as ConnectionStep[], limits)));
  }
}

function attempt(make: () => unknown): unknown {
  try {
    return make();
  } catch (error) {
    return { thrown: String(error instanceof Error ? (error.stack ?? error) : error) };
  }
}

/** Answer every line of standard input. */
export async function answerAll(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as Request))}\n`);
  }
}
