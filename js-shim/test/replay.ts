/** Runs the engines over the steps of a trace; tests/vectors/replay.py is the twin in Python. */

import * as Frame from "../src/generated/frame.js";
import { DEFAULT_LIMITS, type Limits } from "../src/generated/protocol.js";
import type { Connection, ConnectionEffect, ContractTriple } from "../src/session/connection.js";
import type { Delivery, Entry } from "../src/session/outbox.js";
import type { Arrival, Session } from "../src/session/session.js";
import { closeFields, decodeFrame, encodeClose, MalformedFrame } from "../src/wire/frames.js";
import { Writer } from "../src/wire/writer.js";

/** What the client of a trace announces. */
export const CONTRACTS: readonly ContractTriple[] = [["a", "1.0", "f".repeat(32)]];

/** Past this many frames an engine does not come to rest. */
const TOO_MANY = 80;

export interface Step {
  at: number;
  do: string;
  message?: string;
  frame?: string;
  lane?: number;
  tag?: string;
  cost?: number;
  delivery?: Delivery;
  key?: string;
  received?: number;
  credit?: [number, number];
  token?: string | null;
  silence_is_fatal?: boolean;
  code?: string;
  reason?: string;
  /** So many frames are taken; all where it is absent. */
  count?: number;
}

export interface SessionStep extends Step {
  gives: unknown;
  facts: unknown;
}

export interface ConnectionStep extends Step {
  effects: unknown[];
  frames: string[];
  state: string;
  deadline: number | null;
}

export interface Trace<S> {
  name: string;
  limits: Record<string, number>;
  steps: S[];
}

export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

export function packed(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.finish();
}

export const finite = (time: number): number | null => (time === Number.POSITIVE_INFINITY ? null : time);

/** A trace's limits, whose names are those of schemas/protocol.toml. */
export function limitsOf(given: Record<string, number>): Limits {
  const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const limits = Object.fromEntries(Object.entries(given).map(([name, value]) => [camel(name), value]));
  return { ...DEFAULT_LIMITS, ...limits } as Limits;
}

/** An arrival or effect as the vectors write it. */
export function plain(thing: Arrival | ConnectionEffect): unknown {
  switch (thing.type) {
    case "delivered":
      return { delivered: thing.seq, message: toHex(packed(thing.message)) };
    case "rejected":
      return { rejected: thing.tag ?? null, code: thing.code };
    case "violation":
      return { violation: thing.code, over: thing.over };
    case "open_channel":
      return { open_channel: true };
    case "close_channel":
      return { close_channel: thing.code, over: thing.over };
    case "state_change":
      return {
        from: thing.before,
        to: thing.after,
        code: thing.code,
        outcome: thing.outcome ?? null,
        replayed: thing.replayed,
        lost_events: thing.lostEvents,
        missed: thing.missed ?? null,
      };
    case "session_replaced":
      return {
        replaced: thing.code,
        unnumbered: thing.unnumbered.map((entry) => toHex(entry.data)),
        lost_events: thing.lostEvents,
        missed: thing.missed ?? null,
      };
    case "session_ended":
      return { ended: thing.code };
  }
}

/** What a session tells of itself. */
export function sessionFacts(session: Session): Record<string, unknown> {
  return {
    received: session.received,
    sent: session.sent,
    acked: session.acked,
    granted: session.granted,
    accepts_events: session.acceptsEvents,
    dropped: Object.fromEntries(session.dropped),
    queued_message_bytes: session.queuedMessageBytes,
    held_bytes: session.heldBytes,
  };
}

/** A frame in hexadecimal; the text of CLOSE is for people, and each implementation has its own words. */
export function frameText(frame: Uint8Array): string {
  if (frame[1] !== Frame.Close) return toHex(frame);
  const [code, , options] = closeFields(decodeFrame(frame));
  return toHex(encodeClose(code, "", options));
}

/** The frames that an engine gives now, at most `count`: a channel may take no more. */
export function drain(engine: Session | Connection, now: number, count = Number.POSITIVE_INFINITY): string[] {
  const frames: string[] = [];
  while (frames.length < count) {
    const frame = engine.nextFrame(now);
    if (frame === undefined) break;
    frames.push(frameText(frame));
    if (frames.length >= TOO_MANY) throw new Error(`${frames.length} frames, and it does not come to rest`);
  }
  return frames;
}

/** Do one step with a session; what it gave, as plain data. */
export function sessionStep(session: Session, tagged: Map<string, Entry | undefined>, step: Step): unknown {
  const now = step.at;
  const tag = step.tag ?? "";
  switch (step.do) {
    case "send":
      tagged.set(tag, session.send(fromHex(step.message as string), step.lane, step.tag));
      return null;
    case "emit": {
      const message = fromHex(step.message as string);
      const entry = session.emit(message, step.cost as number, step.delivery as Delivery, step.key, step.tag);
      tagged.set(tag, entry);
      return entry === undefined ? "dropped" : "queued";
    }
    case "withdraw":
      return session.withdraw(tagged.get(tag) as Entry);
    case "consumed":
      session.consumed(step.cost as number);
      return null;
    case "attach":
      try {
        session.attach(step.received as number, step.credit as [number, number], now);
      } catch (error) {
        if (!(error instanceof MalformedFrame)) throw error;
        return "refused";
      }
      return null;
    case "detach":
      session.detach();
      return null;
    case "receive":
      return session.receiveBytes(fromHex(step.frame as string), now).map(plain);
    case "violation":
      return plain(session.violation(step.reason as string));
    case "tick":
      return session.tick(now) ?? null;
    case "frames":
      return drain(session, now, step.count);
    default:
      throw new Error(step.do);
  }
}

/** Do one step with a connection; what its session gave, where the step is the session's. */
export function connectionStep(
  connection: Connection,
  tagged: Map<string, Entry | undefined>,
  step: Step,
): unknown {
  const now = step.at;
  switch (step.do) {
    case "opened":
      connection.opened(step.token ?? undefined, step.silence_is_fatal as boolean, now);
      return null;
    case "failed":
      connection.failed(step.reason as string, now);
      return null;
    case "lost":
      connection.lost(step.code as string, step.reason as string, now);
      return null;
    case "receive":
      connection.receive(fromHex(step.frame as string), now);
      return null;
    case "retry":
      connection.retry(now);
      return null;
    case "close":
      connection.close(now);
      return null;
    case "tick":
      connection.tick(now);
      return null;
    case "nothing":
      return null;
    default:
      return sessionStep(connection.session, tagged, step);
  }
}
