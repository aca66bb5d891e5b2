/** The wire: values, frames, messages and records out of any bytes. */

import { readFileSync } from "node:fs";
import * as Frame from "../../src/generated/frame.js";
import { DEFAULT_LIMITS, Record as RecordKind } from "../../src/generated/protocol.js";
import { closeFields, decodeFrame, greetingMap, MalformedFrame, uintFields } from "../../src/wire/frames.js";
import { checkMessage, encodeMessage } from "../../src/wire/messages.js";
import {
  encodeRecord,
  HEADER_BYTES,
  MAX_BODY_BYTES,
  MalformedRecord,
  RecordReader,
} from "../../src/wire/records.js";
import { decode, encode, ValueRefused } from "../../src/wire/values.js";
import { fromHex, toHex } from "../replay.js";
import { canonical } from "./canonical.js";
import { Choices } from "./choices.js";
import { check, type Outcome, type Target } from "./driver.js";
import { damaged, Known, pack, value } from "./grammar.js";

function vectors(name: string): unknown {
  const places = ["../../../schemas/vectors", "../../schemas/vectors"]; // from the sources, and from the bundle
  for (const place of places) {
    try {
      return JSON.parse(readFileSync(new URL(`${place}/${name}.json`, import.meta.url), "utf8"));
    } catch {
      // it is in the other place
    }
  }
  throw new Error(`schemas/vectors/${name}.json is not found`);
}

const general = (text: string) => text.replace(/"[^"]*"|\d+/g, "#").slice(0, 80);

/** The types of a value and of what is in it. */
function shape(of: unknown, depth = 3): string {
  const kind = of === null ? "null" : typeof of === "object" ? of.constructor.name : typeof of;
  if (depth === 0 || typeof of !== "object" || of === null || ArrayBuffer.isView(of)) return kind;
  const parts = Array.isArray(of) || of instanceof Set ? [...of] : Object.values(of);
  const shapes = new Set(parts.map((part) => shape(part, depth - 1)));
  return `${kind}[${[...shapes].sort().slice(0, 3).join(" ")}]`;
}

/** A value, which goes back into bytes, or ValueRefused. */
function runValue(data: Uint8Array): Outcome {
  let decoded: unknown;
  try {
    decoded = decode(data);
  } catch (error) {
    if (!(error instanceof ValueRefused)) throw error;
    return { label: general(`refused: ${error.problem}`), inputs: 1 };
  }
  check(canonical(decode(encode(decoded))) === canonical(decoded), "it is another one after a trip");
  check(({} as { polluted?: unknown }).polluted === undefined, "the prototype of objects was changed");
  return { label: shape(decoded), inputs: 1 };
}

const UINTS: { readonly [kind: number]: number } = {
  [Frame.Data]: 2,
  [Frame.Ack]: 1,
  [Frame.Credit]: 2,
  [Frame.Ping]: 1,
  [Frame.Pong]: 1,
};

/** A list that starts with its kind, or MalformedFrame; then its fields, as every receiver reads them. */
function runFrame(data: Uint8Array): Outcome {
  let frame: unknown[];
  try {
    frame = decodeFrame(data);
    const kind = frame[0] as number;
    const uints = UINTS[kind];
    if (uints !== undefined) uintFields(frame, uints);
    else if (kind === Frame.Close) closeFields(frame);
    else if (kind === Frame.Hello || kind === Frame.Welcome) greetingMap(frame);
  } catch (error) {
    return { label: general(`malformed: ${reason(error)}`), inputs: 1 };
  }
  if (frame[0] !== Frame.Data) return { label: `kind ${Math.min(frame[0] as number, 9)}`, inputs: 1 };
  const found = new Set(frame.slice(3).map(elementLabel));
  return { label: `DATA ${[...found].sort().join(" ")}`.slice(0, 120), inputs: 1 };
}

function elementLabel(element: unknown): string {
  if (!Array.isArray(element)) return element === null ? "nil" : "none";
  try {
    return checkMessage(element, DEFAULT_LIMITS) ? "known" : "unknown";
  } catch (error) {
    return general(reason(error));
  }
}

/** What a MalformedFrame says; anything else is thrown on. */
function reason(error: unknown): string {
  if (!(error instanceof MalformedFrame)) throw error;
  check(error.message.length < 600, `a reason of ${error.message.length} characters`);
  return error.message;
}

/** Messages of every type, most fields right; a known one goes back into bytes. */
function runMessage(data: Uint8Array): Outcome {
  const choices = new Choices(data);
  let frame = Uint8Array.of(0x94, 0, 1, 0, ...pack(new Known().message(choices)));
  if (choices.oneIn(4)) frame = damaged(choices, frame) as Uint8Array<ArrayBuffer>;
  try {
    const element = decodeFrame(frame)[3];
    if (!Array.isArray(element)) return { label: "no message", inputs: 1 };
    if (!checkMessage(element, DEFAULT_LIMITS)) return { label: "unknown", inputs: 1 };
    const [kind, ...fields] = element as [number, ...unknown[]];
    try {
      encodeMessage(kind, ...fields);
    } catch {
      return { label: `${kind}, with what is not ours to write`, inputs: 1 };
    }
    return { label: `${kind} of ${element.length}`, inputs: 1 };
  } catch (error) {
    return { label: general(`malformed: ${reason(error)}`), inputs: 1 };
  }
}

/** Records of a stream, most of them right. */
export function stream(choices: Choices): Uint8Array {
  const parts: Uint8Array[] = [];
  let last = 0;
  while (!choices.isOver && parts.length < 20) {
    const kind = choices.pick([RecordKind.Data, RecordKind.Data, RecordKind.Close, RecordKind.Open]);
    let channel = choices.below(last + 2);
    last = Math.max(last, channel);
    let body: Uint8Array;
    if (kind === RecordKind.Data) {
      body = choices.oneIn(12)
        ? new Uint8Array(choices.pick([16_384, 16_385]))
        : choices.blob(choices.below(30));
    } else if (choices.oneIn(4)) body = pack(choices.anything());
    else body = pack([choices.oneIn(2), choices.text(), choices.text()]);
    if (choices.oneIn(12)) channel = Math.trunc(choices.number(last)) >>> 0;
    const record = encodeRecord(kind, channel, body);
    if (choices.oneIn(16)) record[choices.below(HEADER_BYTES)] = choices.byte();
    parts.push(choices.oneIn(40) ? record.subarray(0, choices.below(record.length)) : record);
  }
  return Buffer.concat(parts);
}

/** The first byte says whether the rest is a stream or decisions that make one, and how it is cut. */
function runRecords(data: Uint8Array): Outcome {
  const how = data[0] ?? 0;
  const rest = data.subarray(1);
  const whole = (how & 1) === 1 ? rest : stream(new Choices(rest));
  const size =
    whole.length < 2_000 ? ([1, 3, 8, 9, 50, 1_000, 65_536, 1 << 20][(how >> 1) & 7] as number) : 4_096;
  const expected = records([whole]);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at += size) chunks.push(whole.subarray(at, at + size));
  const found = records(chunks);
  check(found.problem !== "" || found.text === expected.text, "cut elsewhere, the records are others");
  check((found.problem === "") === (expected.problem === ""), "cut elsewhere, it is right or wrong");
  return { label: `${Math.min(expected.count, 9)} ${expected.problem}`, inputs: 1 };
}

function records(chunks: readonly Uint8Array[]): { text: string; count: number; problem: string } {
  const reader = new RecordReader();
  const found: string[] = [];
  let problem = "";
  try {
    for (const chunk of chunks) {
      for (const { kind, channel, body } of reader.feed(chunk)) {
        check(body.constructor === Uint8Array, "a body that is a Buffer");
        found.push(`${kind} ${channel} ${body.length} ${toHex(body.subarray(0, 8))}`);
      }
      check(reader.carried.length < HEADER_BYTES + MAX_BODY_BYTES, "carries more than a record");
    }
  } catch (error) {
    if (!(error instanceof MalformedRecord)) throw error;
    problem = error.message.slice(0, 20);
  }
  return { text: found.join("\n"), count: found.length, problem };
}

export function wireTargets(): Target[] {
  const rows = vectors("values") as { [section: string]: { wire: string }[] };
  const values = [...(rows["values"] ?? []), ...(rows["refused_bytes"] ?? [])].map(({ wire }) => wire);
  const frames = (vectors("frames") as { bytes: string }[]).map(({ bytes }) => bytes);
  const streams = (vectors("records") as { bytes: string }[]).map(({ bytes }) => `0f${bytes}`);
  const short = (texts: string[]) => texts.filter((text) => text.length < 1_000).map(fromHex);
  return [
    { name: "payload", run: runValue, seeds: short(values), longest: 400 },
    { name: "values", run: (data) => runValue(value(new Choices(data))), seeds: [], longest: 300 },
    { name: "frames", run: runFrame, seeds: short(frames), longest: 400 },
    { name: "messages", run: runMessage, seeds: [], longest: 120 },
    { name: "records", run: runRecords, seeds: short(streams), longest: 400 },
  ];
}
