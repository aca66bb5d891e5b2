/** Channels whose other end is hostile, and a whole bus behind one. */

import { EventEmitter } from "node:events";
import type { Readable, Writable } from "node:stream";
import type { Channel, Opened, Receiver } from "../../src/channels/base.js";
import { CLOSED, type PortLike, portChannel } from "../../src/channels/port.js";
import { stdioPipe } from "../../src/channels/stdio.js";
import { createBus } from "../../src/client/bus.js";
import { isIonbusError } from "../../src/errors.js";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { decodeFrame } from "../../src/wire/frames.js";
import { RecordReader } from "../../src/wire/records.js";
import { encode } from "../../src/wire/values.js";
import { Conductor } from "../conductor.js";
import { Choices } from "./choices.js";
import { check, type Outcome, type Target } from "./driver.js";
import { control, damaged, Known, pack } from "./grammar.js";
import { stream } from "./wire-targets.js";

/** Who listens to a channel: it is told of its end exactly once. */
class Listener implements Receiver {
  channel: Channel | undefined;
  frames = 0;
  end: string | undefined;

  frameReceived(frame: Uint8Array): void {
    check(this.end === undefined, "a frame behind the end");
    const { channel } = this;
    if (channel === undefined) return;
    check(frame.length <= channel.maxFrameBytes, "a frame above the limit");
    this.frames++;
    channel.send(frame);
    if (this.frames === 3) channel.maxFrameBytes = DEFAULT_LIMITS.maxFrameBytes;
  }

  writable(): void {}

  closed(_over: boolean, code: string, _message: string): void {
    check(this.end === undefined, "told of its end twice");
    this.end = code;
  }
}

/** A port of which both ends are ours. */
class Port extends EventEmitter implements PortLike {
  readonly sent: unknown[] = [];
  isClosed = false;

  postMessage(message: unknown): void {
    check(!this.isClosed, "posted to a closed port");
    if (message instanceof Uint8Array)
      check(message.byteLength === message.buffer.byteLength, "a view is posted");
    else check(message === CLOSED, `posted ${String(message)}`);
    this.sent.push(message);
  }

  start(): void {}

  close(): void {
    this.isClosed = true;
    this.emit("close");
  }
}

/** Messages of any type through a port: bytes are frames, the word is the end, all else ends it. */
function runPort(data: Uint8Array): Outcome {
  const choices = new Choices(data);
  const port = new Port();
  const listener = new Listener();
  listener.channel = portChannel(port, listener);
  let messages = 0;
  while (!choices.isOver && messages < 20 && !port.isClosed) {
    messages++;
    const kind = choices.below(16);
    let message: unknown = choices.blob(choices.below(30));
    if (kind === 0) message = choices.anything();
    else if (kind === 1)
      message = choices.pick([
        CLOSED,
        "close",
        undefined,
        new ArrayBuffer(3),
        new DataView(new ArrayBuffer(2)),
      ]);
    else if (kind < 4) message = new Uint8Array(choices.pick([16_384, 16_385, 1_048_576, 1_048_577]));
    port.emit("message", { data: message });
    if (choices.oneIn(30)) listener.channel.close();
  }
  const wasClosed = port.isClosed;
  if (choices.oneIn(2)) port.emit("close");
  check(listener.frames <= messages, "more frames than messages");
  return {
    label: `${listener.end} ${wasClosed} ${Math.min(listener.frames, 5)} ${port.sent.includes(CLOSED)}`,
    inputs: Math.max(1, messages),
  };
}

/** A child's pipes: what it writes is decided, what is written to it is read again. */
function runStdio(data: Uint8Array): Outcome {
  const choices = new Choices(data.subarray(0, 8));
  const input = new EventEmitter() as EventEmitter & {
    write: (chunk: Uint8Array) => boolean;
    end: () => void;
  };
  const output = new EventEmitter();
  const written = new RecordReader();
  let records = 0;
  let isEnded = false;
  input.write = (chunk) => {
    check(!isEnded, "written behind the end");
    records += written.feed(chunk).length;
    return !choices.oneIn(3);
  };
  input.end = () => {
    isEnded = true;
  };
  let ends = 0;
  const pipe = stdioPipe(input as unknown as Writable, output as unknown as Readable, () => {
    ends++;
  });
  const listeners = Array.from({ length: 3 }, () => {
    const listener = new Listener();
    listener.channel = pipe.open({ role: "client", details: {} }, listener);
    return listener;
  });
  const whole = choices.oneIn(4) ? data : stream(new Choices(data.subarray(8)));
  const size = choices.pick([3, 9, 50, 1 << 20]);
  for (let at = 0; at < whole.length && pipe.isOpen; at += whole.length < 2_000 ? size : 4_096) {
    output.emit("data", Buffer.from(whole.subarray(at, at + (whole.length < 2_000 ? size : 4_096))));
    if (choices.oneIn(4)) input.emit("drain");
    if (choices.oneIn(12)) listeners[1]?.channel?.close(false, "closed", "x".repeat(5_000));
  }
  const wasOpen = pipe.isOpen;
  output.emit("end");
  output.emit("close");
  check(ends === 1, `told of the end ${ends} times`);
  pipe.close("over");
  check(
    listeners[0]?.end !== undefined && listeners[2]?.end !== undefined,
    "a channel that was not told of its end",
  );
  return {
    label: `${listeners.map(({ end }) => end).join(" ")} ${wasOpen} ${Math.min(records, 9)}`,
    inputs: 1,
  };
}

const NAMES = Object.values(Conductor).flatMap((member) =>
  "name" in member && "contract" in member ? [String(member.name)] : [],
);
const PAYLOADS = [{ node: "a", percent: 1 }, { files: 3 }, null, { line: 1 }, 7, "x", { title: "t" }].map(
  encode,
);
const FROM_BROKER = [
  ...[Message.Event, Message.Event, Message.Envelope, Message.Subscribed, Message.Refused, Message.Describe],
  ...[Message.Call, Message.Stream, Message.Cancel, Message.StreamCredit, Message.Begin, Message.Chunk],
];
const ANSWERS = [Message.Result, Message.Error, Message.Item, Message.End];

/** The hostile end of a bus: opens channels and sends what is decided. */
class Broker {
  receiver: Receiver | undefined;
  sent: unknown[][] = [];
  received = 0;
  isGreeted = false;
  isOpen = false;
  readonly #choices: Choices;
  readonly #known: Known;

  constructor(choices: Choices) {
    this.#choices = choices;
    this.#known = new Known(100, NAMES, PAYLOADS, [262_145, 300_000, 2 ** 28]);
  }

  readonly open = async (receiver: Receiver): Promise<Opened> => {
    if (this.#choices.oneIn(12)) throw new Error("refused");
    this.receiver = receiver;
    this.sent = [];
    this.received = 0;
    this.isGreeted = false;
    this.isOpen = true;
    const channel: Channel = {
      kind: "memory",
      silenceIsFatal: false,
      isWritable: true,
      maxFrameBytes: DEFAULT_LIMITS.maxGreetingBytes,
      send: (frame) => {
        if (this.receiver === receiver) this.sent.push(decodeFrame(frame));
      },
      close: () => {
        if (this.receiver === receiver) this.isOpen = false;
      },
    };
    return { channel, token: this.#choices.pick([undefined, "token"]) };
  };

  cut(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.receiver?.closed(false, "connection_lost", "cut");
  }

  /** One frame. */
  send(): void {
    if (!this.isOpen) return;
    const choices = this.#choices;
    const hello = this.sent.find(([kind]) => kind === 1)?.[1] as Record<string, unknown> | undefined;
    let frame: Uint8Array;
    if (hello !== undefined && !this.isGreeted && !choices.oneIn(20)) {
      this.isGreeted = true;
      frame = pack([2, this.#welcome(hello)]);
    } else if (choices.oneIn(20)) frame = pack(control(choices, 1, 2));
    else {
      const elements = Array.from({ length: choices.below(4) + 1 }, () => this.#message());
      frame = pack([0, this.received + 1, 0, ...elements]);
      this.received += elements.length;
    }
    this.receiver?.frameReceived(choices.oneIn(60) ? damaged(choices, frame) : frame);
  }

  #asked(...kinds: number[]): unknown[] {
    const elements = this.sent
      .filter(([kind]) => kind === 0)
      .flatMap((frame) => frame.slice(3)) as unknown[][];
    return elements
      .filter((each) => Array.isArray(each) && kinds.includes(each[0] as number))
      .map(([, id]) => id);
  }

  #message(): unknown[] {
    const choices = this.#choices;
    const known = this.#known;
    if (choices.oneIn(40)) return known.message(choices);
    const asked = this.#asked(Message.Call, Message.Stream);
    if (asked.length > 0 && choices.oneIn(2)) {
      const [kind, , ...rest] = known.message(choices, choices.pick(ANSWERS));
      return [kind, choices.pick(asked), ...rest];
    }
    const kind = choices.pick(FROM_BROKER);
    const message = known.message(choices, kind);
    const numbers = this.#asked(Message.Subscribe);
    if (numbers.length === 0) return message;
    if (kind === Message.Subscribed) return [kind, choices.pick(numbers), ...message.slice(2)];
    if (kind === Message.Envelope) return [kind, [choices.pick(numbers)], ...message.slice(2)];
    return message;
  }

  #welcome(hello: Record<string, unknown>): Record<string, unknown> {
    const choices = this.#choices;
    const welcome: Record<string, unknown> = {
      protocol: 1,
      agent: "fuzz",
      session: hello["session"],
      resumed: false,
      epoch: new Uint8Array(16),
      secret: new Uint8Array(32),
      received: 0,
      credit: [1_000_000, 1_000],
      heartbeat: [5_000, 15_000],
    };
    for (const key of ["limits", "contracts", "names", "rights", "missed", "reason"]) {
      if (choices.oneIn(6)) {
        const odd = [
          choices.anything(),
          NAMES,
          { emit: ["**"], call: [1] },
          [["conductor", "2.0", "f"]],
          { message: choices.number() },
        ];
        welcome[key] = choices.pick(odd);
      }
    }
    if (choices.oneIn(30)) welcome[choices.pick(Object.keys(welcome))] = choices.anything();
    return welcome;
  }
}

/** A bus at work: calls, a stream, subscriptions and handlers, and whatever the broker sends. */
async function runBus(data: Uint8Array): Promise<Outcome> {
  const choices = new Choices(data);
  const broker = new Broker(choices);
  const states = new Set<string>();
  const bus = createBus(
    { open: broker.open, mayRenewToken: true },
    { limits: { maxRequests: 12, creditMessages: 20 } },
  );
  bus.onError(() => {});
  bus.handle(Conductor.pickFile, async () => ({ path: null }));
  bus.handle(Conductor.upload, async function* () {
    yield 1;
  });
  bus.on(Conductor.progress, () => {});
  bus.on("conductor.*", () => {});
  const results = [
    bus.call(Conductor.execute, { flow: "a" }),
    bus.call(Conductor.ping),
    bus.call(Conductor.echo, new Uint8Array(choices.oneIn(25) ? 300_000 : 3)),
    bus.emit(Conductor.cancelled, { id: "x" }),
    (async () => {
      let count = 0;
      for await (const _ of bus.stream(Conductor.logs, { count: 2 })) count++;
      return count;
    })(),
  ];
  const ended = Promise.allSettled(results);
  let sent = 0;
  try {
    while (!choices.isOver && sent < 25) {
      sent++;
      await turn();
      broker.send();
      states.add(bus.state);
      if (choices.oneIn(12)) broker.cut();
    }
  } finally {
    broker.cut();
    await bus.close();
  }
  const codes = new Set<string>();
  for (const each of await ended) {
    if (each.status === "fulfilled") codes.add("answered");
    else if (isIonbusError(each.reason)) codes.add(each.reason.code);
    else throw each.reason;
  }
  return { label: `${[...states].join(" ")}: ${[...codes].sort().join(" ")}`, inputs: Math.max(1, sent) };
}

/** Lets what was begun go on; microtasks are what the shim waits by. */
async function turn(): Promise<void> {
  for (let count = 0; count < 12; count++) await undefined;
}

export function channelTargets(): Target[] {
  return [
    { name: "port", run: runPort, seeds: [], longest: 300 },
    { name: "stdio", run: runStdio, seeds: [], longest: 400 },
    { name: "bus", run: runBus, seeds: [], longest: 1_200 },
  ];
}
