import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as Frame from "../src/generated/frame.js";
import * as Message from "../src/generated/message.js";
import { DEFAULT_LIMITS } from "../src/generated/protocol.js";
import { Connection } from "../src/session/connection.js";
import type { Entry } from "../src/session/outbox.js";
import { Session } from "../src/session/session.js";
import { decodeFrame, encodeControl, encodeData, MalformedFrame } from "../src/wire/frames.js";
import {
  checkMessage,
  encodeCall,
  encodeEnvelope,
  encodeEvent,
  encodeItem,
  encodeMessage,
  encodeResult,
} from "../src/wire/messages.js";
import { encodeRecord, MalformedRecord, RecordReader } from "../src/wire/records.js";
import {
  CONTRACTS,
  type ConnectionStep,
  connectionStep,
  drain,
  finite,
  fromHex,
  limitsOf,
  packed,
  plain,
  type SessionStep,
  sessionFacts,
  sessionStep,
  type Trace,
  toHex,
} from "./replay.js";

function load<Row>(name: string): Row[] {
  const path = new URL(`../../schemas/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as Row[];
}

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
      return encodeEnvelope(fields[0] as unknown as number[], packed(fields[1]), fields[2]);
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

  test("byte by byte, and in one piece", () => {
    const body = Uint8Array.from({ length: 3_000 }, (_, index) => index);
    const stream = Buffer.concat([encodeRecord(2, 7, body), encodeRecord(3, 8, new Uint8Array(0))]);
    const reader = new RecordReader();
    const taken = Array.from(stream, (byte) => reader.feed(Uint8Array.of(byte))).flat();
    expect(taken).toStrictEqual([
      { kind: 2, channel: 7, body },
      { kind: 3, channel: 8, body: new Uint8Array(0) },
    ]);
    expect(new RecordReader().feed(stream)).toStrictEqual(taken); // no Buffer comes out of a Buffer
  });
});

// --- traces of the engines: tests/vectors/replay.py is the same in Python -----------------------------------------

function replaySession(trace: Trace<SessionStep>): void {
  const limits = limitsOf(trace.limits);
  const session = new Session(limits);
  session.setHeartbeat(limits.heartbeatMs, limits.silenceMs);
  const tagged = new Map<string, Entry | undefined>();
  for (const [index, step] of trace.steps.entries()) {
    const gives = sessionStep(session, tagged, step);
    const facts = { ...sessionFacts(session), deadline: finite(session.deadline()) };
    expect({ index, gives, facts }).toStrictEqual({ index, gives: step.gives, facts: step.facts });
  }
}

function replayConnection(trace: Trace<ConnectionStep>): void {
  let draws = 0;
  const entropy = (size: number) => new Uint8Array(size).fill(++draws);
  const connection = new Connection(limitsOf(trace.limits), entropy, () => 0.5, "client", CONTRACTS);
  const tagged = new Map<string, Entry | undefined>();
  for (const [index, step] of trace.steps.entries()) {
    connectionStep(connection, tagged, step);
    expect({
      index,
      effects: connection.effects().map(plain),
      frames: drain(connection, step.at, step.count),
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
}

test.each(load<Trace<SessionStep>>("session"))("session: $name", replaySession);

test.each(load<Trace<ConnectionStep>>("connection"))("connection: $name", replayConnection);

/** What `make simulate` has found: traces of either kind. */
type Simulated = (Trace<SessionStep> & { of: "session" }) | (Trace<ConnectionStep> & { of: "connection" });

test.each(load<Simulated>("simulated"))("simulated: $name", (trace) => {
  if (trace.of === "session") replaySession(trace);
  else replayConnection(trace);
});
