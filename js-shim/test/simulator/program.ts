/**
 * The TypeScript engines at the simulator's command (tests/trials/node_engines.py): one JSON object a line in, one a line out.
 *
 * `{"engine": n, "new": "client" or "session", "limits": {…}}` makes the nth engine; `{"engine": n, "step": {…}}` does a
 * step of a trace with it and tells all that can be seen then; `{"engine": n, "frame": now}` takes one frame. Chance
 * comes from the simulator: the `draws` of the Python engine in this step have to be drawn here, neither more nor fewer.
 */

import { createInterface } from "node:readline";
import type { Limits } from "../../src/generated/protocol.js";
import { Connection } from "../../src/session/connection.js";
import type { Entry } from "../../src/session/outbox.js";
import { Session } from "../../src/session/session.js";
import {
  CONTRACTS,
  connectionStep,
  finite,
  frameText,
  fromHex,
  limitsOf,
  plain,
  type Step,
  sessionFacts,
  sessionStep,
} from "../replay.js";

interface Engine {
  readonly engine: Connection | Session;
  readonly tagged: Map<string, Entry | undefined>;
}

type Draw = string | number;

interface Request {
  /** Forget all engines: another seed begins. */
  readonly reset?: true;
  readonly engine?: number;
  readonly new?: "client" | "session";
  readonly limits?: Record<string, number>;
  readonly step?: Step;
  readonly frame?: number;
  readonly draws?: readonly Draw[];
}

let engines: Engine[] = [];
let draws: Draw[] = [];

function entropy(size: number): Uint8Array {
  const draw = draws.shift();
  if (typeof draw !== "string" || draw.length !== 2 * size)
    throw new Error(`${size} bytes are drawn, not ${draw}`);
  return fromHex(draw);
}

function random(): number {
  const draw = draws.shift();
  if (typeof draw !== "number") throw new Error(`a number is drawn, not ${draw}`);
  return draw;
}

function make(kind: "client" | "session", limits: Limits): Connection | Session {
  if (kind === "session") return new Session(limits);
  const connection = new Connection(limits, entropy, random, "client", CONTRACTS);
  connection.effects(); // to open a channel: the simulator knows
  return connection;
}

function seen({ engine }: Engine, more: Record<string, unknown>): Record<string, unknown> {
  const session = engine instanceof Connection ? engine.session : engine;
  return {
    ...more,
    state: engine instanceof Connection ? engine.state : null,
    deadline: finite(engine.deadline()),
    session: {
      ...sessionFacts(session),
      queued_events: session.queuedEvents,
      queued_bytes: session.queuedBytes,
      queued_messages: session.queuedMessages,
      unacknowledged_events: session.unacknowledgedEvents,
      unnumbered: session.unnumbered().length,
      credit: session.credit,
    },
  };
}

function answer(request: Request): Record<string, unknown> {
  draws = [...(request.draws ?? [])];
  if (request.reset) {
    engines = [];
    return {};
  }
  const number = request.engine as number;
  if (request.new !== undefined) {
    engines[number] = { engine: make(request.new, limitsOf(request.limits ?? {})), tagged: new Map() };
    return {};
  }
  const asked = engines[number] as Engine;
  const { engine, tagged } = asked;
  if (request.frame !== undefined) {
    const frame = engine.nextFrame(request.frame);
    return seen(asked, { frame: frame === undefined ? null : frameText(frame) });
  }
  const step = request.step as Step;
  if (engine instanceof Session)
    return seen(asked, { gives: sessionStep(engine, tagged, step), effects: [] });
  const gives = connectionStep(engine, tagged, step);
  return seen(asked, { gives, effects: engine.effects().map(plain) });
}

for await (const line of createInterface({ input: process.stdin })) {
  let told: Record<string, unknown>;
  try {
    told = answer(JSON.parse(line) as Request);
    if (draws.length > 0) throw new Error(`${draws.length} draws are left`);
  } catch (error) {
    told = { error: String(error instanceof Error ? (error.stack ?? error) : error) };
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}
