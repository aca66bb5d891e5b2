/**
 * The TypeScript engines at the simulator's command (tests/trials/node_engines.py): one JSON object a line in, one a line out.
 *
 * `{"new": {limits}, "draws": […]}` begins a client; `{"client": n, "step": {…}, "draws": […]}` does a step of a
 * trace and tells all that can be seen then; `{"client": n, "frame": now}` takes one frame. Chance comes from the
 * simulator: what the Python engine drew in this step has to be drawn here, neither more nor less.
 */

import { createInterface } from "node:readline";
import { Connection } from "../../src/session/connection.js";
import type { Entry } from "../../src/session/outbox.js";
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
} from "../replay.js";

interface Client {
  readonly connection: Connection;
  readonly tagged: Map<string, Entry | undefined>;
}

type Draw = string | number;

interface Request {
  /** Forget all clients: another seed begins. */
  readonly reset?: true;
  readonly new?: Record<string, number>;
  readonly client?: number;
  readonly step?: Step;
  readonly frame?: number;
  readonly draws?: readonly Draw[];
}

let clients: Client[] = [];
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

function seen({ connection }: Client, more: Record<string, unknown>): Record<string, unknown> {
  const { session } = connection;
  return {
    ...more,
    state: connection.state,
    deadline: finite(connection.deadline()),
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
    clients = [];
    return {};
  }
  if (request.new !== undefined) {
    const connection = new Connection(limitsOf(request.new), entropy, random, "client", CONTRACTS);
    const client = { connection, tagged: new Map<string, Entry | undefined>() };
    clients.push(client);
    return seen(client, { effects: connection.effects().map(plain) });
  }
  const client = clients[request.client as number] as Client;
  const { connection, tagged } = client;
  if (request.frame !== undefined) {
    const frame = connection.nextFrame(request.frame);
    return seen(client, { frame: frame === undefined ? null : frameText(frame) });
  }
  const gives = connectionStep(connection, tagged, request.step as Step);
  return seen(client, { gives, effects: connection.effects().map(plain) });
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
