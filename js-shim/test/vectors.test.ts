import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS, Frame, type Limits, Message } from "../src/generated/protocol.js";
import { Connection, type ConnectionEffect } from "../src/session/connection.js";
import type { Delivery, Entry } from "../src/session/outbox.js";
import { type Arrival, Session } from "../src/session/session.js";
import {
  closeFields,
  decodeFrame,
  encodeClose,
  encodeControl,
  encodeData,
  MalformedFrame,
} from "../src/wire/frames.js";
import {
  checkMessage,
  encodeCall,
  encodeEnvelope,
  encodeEvent,
  encodeItem,
  encodeMessage,
  encodeResult,
} from "../src/wire/messages.js";
import { Writer } from "../src/wire/msgpack.js";
import { encodeRecord, MalformedRecord, RecordReader } from "../src/wire/records.js";

function load<Row>(name: string): Row[] {
  const path = new URL(`../../schemas/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as Row[];
}

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

interface Judged {
  name: string;
  bytes: string;
  is: string;
}

describe("frames", () => {
  test.each(load<Judged>("frames"))("$name", ({ bytes, is }) => {
    const read = () => decodeFrame(fromHex(bytes));
    if (is === "malformed") {
      expect(read).toThrow(MalformedFrame);
      return;
    }
    const [kind, ...fields] = read();
    if (kind !== Frame.Data) {
      expect(toHex(encodeControl(kind as number, ...fields))).toBe(bytes);
      return;
    }
    const [first, ack, ...elements] = fields as [number, number, ...unknown[]];
    expect(toHex(encodeData(first, ack, elements.map(packed), elements.length))).toBe(bytes);
  });
});

function packed(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.finish();
}

describe("messages", () => {
  test.each(load<Judged>("messages"))("$name", ({ bytes, is }) => {
    const message = decodeFrameOrAnything(fromHex(bytes));
    const judge = () => checkMessage(message, DEFAULT_LIMITS);
    if (is === "malformed") expect(judge).toThrow(MalformedFrame);
    else expect(judge()).toBe(is === "known");
    if (is !== "malformed") expect(toHex(encoded(message))).toBe(bytes.replace("940c01c001", "920c01"));
  });
});

/** A message read as a part of a frame: as a frame of its own it may be none. */
function decodeFrameOrAnything(message: Uint8Array): readonly unknown[] {
  const frame = decodeFrame(encodeData(1, 0, [message], 1));
  return frame[3] as readonly unknown[];
}

/** The same message from its fields, by the function that is made for its type. */
function encoded(message: readonly unknown[]): Uint8Array {
  const [kind, ...fields] = message as [number, ...never[]];
  switch (kind) {
    case Message.Event:
      return encodeEvent(...(fields as unknown as Parameters<typeof encodeEvent>));
    case Message.Call:
      return encodeCall(...(fields as unknown as Parameters<typeof encodeCall>));
    case Message.Result:
      return encodeResult(...(fields as unknown as Parameters<typeof encodeResult>));
    case Message.Item:
      return encodeItem(...(fields as unknown as Parameters<typeof encodeItem>));
    case Message.Envelope:
      return encodeEnvelope(fields[0] as unknown as number[], packed(fields[1]));
    case Message.Unsubscribe:
      return encodeMessage(kind, fields[0]);
    default:
      return encodeMessage(kind, ...fields);
  }
}

interface RecordRow {
  name: string;
  bytes: string;
  records?: { kind: number; channel: number; body: string }[];
  error?: string;
}

describe("records", () => {
  test.each(load<RecordRow>("records"))("$name", ({ bytes, records, error }) => {
    const whole = fromHex(bytes);
    const cuts = whole.length < 100 ? Array.from(whole, (_, index) => index) : [0, 4, 5, 8, 9, 10, 50];
    for (const cut of cuts) {
      const read = () => {
        const reader = new RecordReader();
        const taken = [...reader.feed(whole.subarray(0, cut)), ...reader.feed(whole.subarray(cut))];
        const written = taken.map(({ kind, channel, body }) => encodeRecord(kind, channel, body));
        expect(toHex(Buffer.concat([...written, reader.carried]))).toBe(bytes);
        return taken.map(({ kind, channel, body }) => ({ kind, channel, body: toHex(body) }));
      };
      if (error === undefined) expect(read()).toStrictEqual(records);
      else expect(read).toThrow(MalformedRecord);
    }
  });

  test("byte by byte, and bodies in buffers of their own", () => {
    const body = Uint8Array.from({ length: 3_000 }, (_, index) => index);
    const stream = Buffer.concat([encodeRecord(2, 7, body), encodeRecord(3, 8, new Uint8Array(0))]);
    const reader = new RecordReader();
    const taken = Array.from(stream, (byte) => reader.feed(Uint8Array.of(byte))).flat();
    expect(taken).toStrictEqual([
      { kind: 2, channel: 7, body },
      { kind: 3, channel: 8, body: new Uint8Array(0) },
    ]);
    expect(taken[0]?.body.buffer.byteLength).toBe(body.length);
    expect(new RecordReader().feed(stream)).toStrictEqual(taken); // no Buffer comes out of a Buffer
  });
});

// --- traces of the engines: tests/vectors/replay.py is the same in Python -----------------------------------------

interface Step {
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
}

interface SessionStep extends Step {
  gives: unknown;
  facts: unknown;
}

interface ConnectionStep extends Step {
  effects: unknown[];
  frames: string[];
  state: string;
  deadline: number | null;
}

interface Trace<S> {
  name: string;
  limits: Record<string, number>;
  steps: S[];
}

function limitsOf(trace: Trace<unknown>): Limits {
  const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const given = Object.entries(trace.limits).map(([name, value]) => [camel(name), value]);
  return { ...DEFAULT_LIMITS, ...Object.fromEntries(given) } as Limits;
}

/** An arrival or effect as the vectors write it. */
function plain(thing: Arrival | ConnectionEffect): unknown {
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

const finite = (time: number): number | null => (time === Number.POSITIVE_INFINITY ? null : time);

function drain(engine: Session | Connection, now: number): string[] {
  const frames: string[] = [];
  for (let frame = engine.nextFrame(now); frame !== undefined; frame = engine.nextFrame(now)) {
    if (frame[1] === Frame.Close) {
      const [code, , options] = closeFields(decodeFrame(frame)); // its text is for people
      frame = encodeClose(code, "", options);
    }
    frames.push(toHex(frame));
    expect(frames.length).toBeLessThan(80);
  }
  return frames;
}

function sessionStep(session: Session, tagged: Map<string, Entry | undefined>, step: Step): unknown {
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
        expect(error).toBeInstanceOf(MalformedFrame);
        return "refused";
      }
      return null;
    case "detach":
      session.detach();
      return null;
    case "receive":
      return session.receiveBytes(fromHex(step.frame as string), now).map(plain);
    case "tick":
      return session.tick(now) ?? null;
    case "frames":
      return drain(session, now);
    default:
      throw new Error(step.do);
  }
}

test.each(load<Trace<SessionStep>>("session"))("session: $name", (trace) => {
  const limits = limitsOf(trace);
  const session = new Session(limits);
  session.setHeartbeat(limits.heartbeatMs, limits.silenceMs);
  const tagged = new Map<string, Entry | undefined>();
  for (const [index, step] of trace.steps.entries()) {
    const gives = sessionStep(session, tagged, step);
    const facts = {
      received: session.received,
      sent: session.sent,
      acked: session.acked,
      granted: session.granted,
      accepts_events: session.acceptsEvents,
      dropped: Object.fromEntries(session.dropped),
      queued_message_bytes: session.queuedMessageBytes,
      held_bytes: session.heldBytes,
      deadline: finite(session.deadline()),
    };
    expect({ index, gives, facts }).toStrictEqual({ index, gives: step.gives, facts: step.facts });
  }
});

test.each(load<Trace<ConnectionStep>>("connection"))("connection: $name", (trace) => {
  let draws = 0;
  const entropy = (size: number) => new Uint8Array(size).fill(++draws);
  const connection = new Connection(limitsOf(trace), entropy, () => 0.5, "client", [
    ["a", "1.0", "f".repeat(32)],
  ]);
  const tagged = new Map<string, Entry | undefined>();
  for (const [index, step] of trace.steps.entries()) {
    const now = step.at;
    switch (step.do) {
      case "opened":
        connection.opened(step.token ?? undefined, step.silence_is_fatal as boolean, now);
        break;
      case "failed":
        connection.failed(step.reason as string, now);
        break;
      case "lost":
        connection.lost(step.code as string, step.reason as string, now);
        break;
      case "receive":
        connection.receive(fromHex(step.frame as string), now);
        break;
      case "retry":
        connection.retry(now);
        break;
      case "close":
        connection.close(now);
        break;
      case "tick":
        connection.tick(now);
        break;
      default:
        sessionStep(connection.session, tagged, step);
    }
    expect({
      index,
      effects: connection.effects().map(plain),
      frames: drain(connection, now),
      state: connection.state,
      deadline: finite(connection.deadline()),
    }).toStrictEqual({
      index,
      effects: step.effects,
      frames: step.frames,
      state: step.state,
      deadline: step.deadline,
    });
  }
});
