/** Bytes, messages and frames that are well formed and hostile, made from decisions. The twin of tests/fuzz/grammar.py. */

import * as Extension from "../../src/generated/extension.js";
import * as Frame from "../../src/generated/frame.js";
import * as Message from "../../src/generated/message.js";
import { FIELDS } from "../../src/generated/protocol.js";
import { Writer } from "../../src/wire/writer.js";
import { fromHex } from "../replay.js";
import type { Choices } from "./choices.js";
import { joined } from "./mutation.js";

/** Writes what the shim's own writer refuses, too: integers of 64 bits and half characters are what a hostile peer sends. */
class HostileWriter extends Writer {
  override number(value: number): void {
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) <= 2 ** 63) {
      this.reserve(9);
      this.bytes[this.at] = value < 0 ? 0xd3 : 0xcf;
      if (value < 0) this.view.setBigInt64(this.at + 1, BigInt(value));
      else this.view.setBigUint64(this.at + 1, BigInt(value));
      this.at += 9;
    } else super.number(value);
  }
}

const writer = new HostileWriter();

export function pack(value: unknown): Uint8Array {
  writer.start().value(value);
  return writer.finish();
}

const REPEATED = [2, 16, 17, 65, 200, 257, 1_030];
/** About how many bytes one value has at most. */
const LONGEST = 1_500;
const LEAVES = (
  "c0 c2 c3 00 ff cd0100 cf001fffffffffffff cf0020000000000000 d3ffe0000000000000 cb3ff0000000000000 " +
  "cb7ff8000000000000 ca3f800000 a0 a161 a95f5f70726f746f5f5f c400 c40161"
)
  .split(" ")
  .map(fromHex);
const ascii = (text: string) => new TextEncoder().encode(text);
const BODIES: readonly (readonly [code: number, bodies: readonly Uint8Array[]])[] = [
  [
    Extension.DateTime,
    ["2024-02-29T12:00:00+00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z"].map(ascii),
  ],
  [Extension.Date, ["2024-02-29", "2023-02-29", "0000-01-01"].map(ascii)],
  [Extension.Time, ["12:00:00", "23:59:59.999999Z", "24:00:00"].map(ascii)],
  [Extension.Duration, ["0000000000000000", "8000000000000000", "7fffffffffffffff"].map(fromHex)],
  [Extension.WideInteger, ["20000000000000", `7f${"ff".repeat(1_023)}`, "00", ""].map(fromHex)],
  [
    Extension.Decimal,
    ["1.5", "sNaN", "NaN123", "1E+9999", "-0E-9999", "Infinity", "9".repeat(1_024)].map(ascii),
  ],
  [Extension.Uuid, ["00".repeat(16), "ff".repeat(16), "00".repeat(15)].map(fromHex)],
  [Extension.TypedArray, ["00", "020000", `09${"ff".repeat(16)}`, "0a00", "0700"].map(fromHex)],
];

/** One value of msgpack, most often a right one. */
export function value(choices: Choices, depth = 0): Uint8Array {
  switch (choices.below(depth < 70 ? 14 : 6)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return choices.pick(LEAVES);
    case 4: {
      const [code, bodies] = choices.pick(BODIES);
      return extension(code, choices.pick(bodies));
    }
    case 5:
      return pack(choices.text());
    case 6:
    case 7: {
      const count = choices.below(6);
      return joined(head(choices, 0x90, 0xdc, count), ...many(count, () => value(choices, depth + 1)));
    }
    case 8: {
      const count = choices.below(4);
      const parts = many(count, () => joined(pack(choices.text()), value(choices, depth + 1)));
      return joined(head(choices, 0x80, 0xde, count), ...parts);
    }
    case 9:
    case 10: {
      const count = choices.below(6);
      const members = many(count, () => value(choices, depth + 1));
      const code = choices.pick([Extension.Set, Extension.Mapping]);
      return extension(code, joined(head(choices, 0x90, 0xdc, count), ...members));
    }
    case 11: {
      const member = value(choices, 70);
      const count = Math.min(choices.pick(REPEATED), Math.floor(LONGEST / member.length));
      return joined(head(choices, 0x90, 0xdc, count), ...many(count, () => member));
    }
    case 12: {
      let nested = value(choices, depth + 4);
      const wrap = choices.below(3);
      for (let level = choices.pick([3, 60, 62, 63, 64, 65, 66, 300]); level > 0; level--) {
        if (wrap === 0) nested = joined(Uint8Array.of(0x91), nested);
        else if (wrap === 1) nested = joined(Uint8Array.of(0x81, 0xa1, 0x6b), nested);
        else nested = extension(Extension.Set, joined(Uint8Array.of(0x91), nested));
        if (nested.length > LONGEST) break;
      }
      return nested;
    }
    default:
      return extension(choices.below(256), choices.blob(choices.below(20)));
  }
}

function many<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}

/** An extension in its longest form. */
export function extension(code: number, body: Uint8Array): Uint8Array {
  const { length } = body;
  return joined(Uint8Array.of(0xc9, length >>> 24, length >>> 16, length >>> 8, length, code), body);
}

/** A container's head; about one in sixteen lies. */
function head(choices: Choices, short: number, long: number, count: number): Uint8Array {
  if (choices.oneIn(16)) {
    const lie = Math.trunc(choices.number(count)) >>> 0;
    return Uint8Array.of(long + 1, lie >>> 24, lie >>> 16, lie >>> 8, lie);
  }
  return count < 16 ? Uint8Array.of(short | count) : Uint8Array.of(long, count >>> 8, count);
}

type Fields = unknown[];

/** What a hostile peer knows of a session: numbers near those that are right. */
export class Known {
  ids: number[] = [1];
  transfer = 0;
  readonly #names: readonly string[];
  readonly #payloads: readonly Uint8Array[];
  readonly #totals: readonly number[];
  readonly #wrong: number;
  #last = 0;
  #rest = 0;

  /**
   * @param wrong - a field has the wrong type once in so many times.
   * @param totals - sizes of transfers.
   */
  constructor(
    wrong = 30,
    names: readonly string[] = ["a.b"],
    payloads: readonly Uint8Array[] = [Uint8Array.of(0xc0)],
    totals: readonly number[] = [101, 150, 1_000, 1_001],
  ) {
    this.#wrong = wrong;
    this.#names = names;
    this.#payloads = payloads;
    this.#totals = totals;
  }

  #field(choices: Choices, kind: string): unknown {
    if (choices.oneIn(this.#wrong)) return choices.anything();
    switch (kind.replace("?", "")) {
      case "uint":
        return choices.oneIn(this.#wrong >> 2) ? choices.number(...this.ids) : choices.pick(this.ids);
      case "text":
        return choices.oneIn(2)
          ? choices.pick([...this.#names, "*", "**", "a.*", "too_large"])
          : choices.text();
      case "name":
        return choices.oneIn(this.#wrong) ? choices.anything() : choices.pick(this.#names);
      case "bin":
        return choices.oneIn(2) ? choices.pick(this.#payloads) : value(choices, 60);
      case "map":
        return choices.pick([
          null,
          {},
          { deadline: choices.number() },
          { credit: [choices.number(), choices.number()] },
          { trace: choices.text() },
        ]);
      case "message":
        return this.message(choices, Message.Event);
      case "uints":
        return many(choices.below(5), () => choices.number(...this.ids));
      case "texts":
        return many(choices.below(5), () => choices.text());
      case "triples":
        return many(choices.below(4), () => [choices.pick(this.#names), choices.text(), choices.text()]);
      default:
        throw new Error(kind);
    }
  }

  /** One message; now and then it has fewer fields, more, or a type that nobody knows. */
  message(choices: Choices, wanted?: number): Fields {
    const kind = wanted ?? 1 + choices.below(22);
    const isPart = kind === Message.Begin || kind === Message.Chunk;
    if (isPart && !choices.oneIn(this.#wrong)) return this.#part(choices, kind);
    const fields = FIELDS[kind] as readonly string[];
    const message: Fields = [kind, ...fields.map((each) => this.#field(choices, each))];
    if (kind === Message.Call || kind === Message.Stream || kind === Message.Subscribe) {
      if (!choices.oneIn(this.#wrong)) message[1] = ++this.#last;
      this.ids = [...this.ids.slice(-4), Number(message[1]) || 0];
    }
    if (!choices.oneIn(Math.ceil(this.#wrong / 3))) return message;
    const how = choices.below(3);
    if (how === 0) message.length = choices.below(message.length);
    else if (how === 1) message.push(choices.anything());
    else message[0] = choices.number();
    return message;
  }

  #part(choices: Choices, wanted: number): Fields {
    let kind = wanted;
    if (kind === Message.Begin || this.transfer === 0) {
      this.transfer++;
      this.#rest = choices.oneIn(this.#wrong) ? choices.number() : choices.pick(this.#totals);
      kind = Message.Begin;
    }
    const total = this.#rest;
    const most = (this.#totals[0] as number) < 1_000 ? 40 : 65_536;
    const size = choices.oneIn(this.#wrong) ? most + 1 : choices.pick([1, 4, most >> 1, most, most]);
    const part = new Uint8Array(Math.max(0, Math.min(this.#rest, size)) || 0).fill(0x70);
    if (kind === Message.Begin) part.set(Uint8Array.of(0x93, 0x03, 0x01, 0xc4).subarray(0, part.length));
    this.#rest -= part.length;
    return kind === Message.Begin ? [kind, this.transfer, total, part] : [kind, this.transfer, part];
  }
}

/** A frame that is not DATA, most often with the fields that it should have. */
export function control(choices: Choices, ...near: readonly number[]): unknown[] {
  const kind = choices.pick([
    Frame.Ack,
    Frame.Credit,
    Frame.Ping,
    Frame.Pong,
    Frame.Close,
    Frame.Hello,
    Frame.Welcome,
    8,
  ]);
  switch (kind) {
    case Frame.Close: {
      const options = { over: choices.oneIn(2), final: choices.oneIn(2), retry_after: choices.number() };
      return [3, choices.text(), choices.text(), choices.pick([options, null, {}, choices.anything()])];
    }
    case Frame.Hello:
    case Frame.Welcome:
      return [kind, choices.anything()];
    case 8:
      return [choices.number(), ...many(choices.below(3), () => choices.anything())];
    default:
      return [kind, ...many(choices.below(4) || 2, () => choices.number(...near))];
  }
}

/** A frame with some bytes changed, cut off or added. */
export function damaged(choices: Choices, frame: Uint8Array): Uint8Array {
  const at = choices.below(frame.length + 1);
  switch (choices.below(4)) {
    case 0:
      return frame.slice(0, at);
    case 1:
      return joined(frame.subarray(0, at), Uint8Array.of(choices.byte()), frame.subarray(at + 1));
    case 2:
      return joined(frame, choices.blob(3));
    default:
      return joined(frame.subarray(0, at), choices.blob(4), frame.subarray(at));
  }
}
