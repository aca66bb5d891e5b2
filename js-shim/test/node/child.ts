/** A small broker to launch: it speaks on its pipes as `ionbus` for Python does. The tests bundle it. */

import type { Channel, Receiver } from "../../src/channels/base.js";
import { serve } from "../../src/dispatch/answer.js";
import { DEFAULT_LIMITS, Record } from "../../src/generated/protocol.js";
import { createAcceptor } from "../../src/testing/acceptor.js";
import { encodeRecord, RecordReader } from "../../src/wire/records.js";
import { encode } from "../../src/wire/values.js";

const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
  findHandler: (name) => ({
    kind: "call",
    name,
    raises: [],
    serve,
    decodeRequest: () => null,
    encodeAnswer: encode,
    run() {
      if (name === "conductor.ping") return null;
      return {
        files: process.pid,
        launch: process.env["IONBUS_LAUNCH"],
        token: process.env["IONBUS_TOKEN"]?.length,
        extra: process.env["EXTRA"],
      };
    },
  }),
  event() {},
  other: () => true,
  refused() {},
}));

const reader = new RecordReader();
const receivers = new Map<number, Receiver>();

function channelOf(id: number): Channel {
  return {
    kind: "stdio",
    silenceIsFatal: false,
    isWritable: true,
    maxFrameBytes: DEFAULT_LIMITS.maxFrameBytes,
    send: (frame) => void process.stdout.write(encodeRecord(Record.Data, id, frame)),
    close() {},
  };
}

process.stderr.write("a broker begins\n");
if (process.env["LEAKY"] !== undefined) process.stderr.write(`${JSON.stringify(process.env)}\n`);
process.stdin.on("data", (chunk) => {
  if (process.env["MUTE"] !== undefined) return;
  for (const { kind, channel: id, body } of reader.feed(chunk)) {
    if (kind === Record.Open) receivers.set(id, acceptor.accept(channelOf(id), { role: "client" }));
    else if (kind === Record.Data) receivers.get(id)?.frameReceived(body);
    else receivers.delete(id);
  }
});
process.stdin.on("end", () => {
  if (process.env["DEAF"] === undefined) process.exit(0);
});
if (process.env["DEAF"] !== undefined) {
  process.on("SIGTERM", () => {});
  setInterval(() => {}, 1000);
}
