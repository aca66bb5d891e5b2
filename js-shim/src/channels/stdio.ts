/**
 * The parent's side of a child's pipes: many channels over one pair (docs/protocol.md, section 2.2).
 *
 * A dead pipe is a change of state, never an exception: whoever listens to a channel is told, and so is the pipe's owner.
 */

import type { Readable, Writable } from "node:stream";
import { DEFAULT_LIMITS, Record } from "../generated/protocol.js";
import { shortened } from "../wire/frames.js";
import { encodeRecord, MalformedRecord, RecordReader } from "../wire/records.js";
import { decode, encode } from "../wire/values.js";
import { type Channel, type PeerIdentity, type Receiver, tooLarge } from "./base.js";

/** How many of the first bytes are shown of what is no record. */
const SHOWN_BYTES = 200;

/** Units of a CLOSE record's texts: it has to be small. */
const LONGEST_CODE = 64;
const LONGEST_REASON = 900;

/** A channel for which more than this waits, since nobody reads the pipe, is lost: twice what a session keeps for replay. */
const MAX_QUEUED_BYTES = 2 * DEFAULT_LIMITS.replayBytes;

/** A child's pipes with ionbus's records on them. */
export interface Pipe {
  /** False once either direction has ended. */
  readonly isOpen: boolean;
  /** Open one more channel. On a pipe that has ended it is lost at once. */
  open(identity: PeerIdentity, receiver: Receiver): Channel;
  /** End the child's input, which ends the broker; every channel is lost, for this reason. */
  close(reason: string): void;
}

/** Why a pipe has ended by itself. */
export interface PipeEnd {
  /** Whether the child wrote what is not ionbus's; else an end was closed. */
  readonly isViolation: boolean;
  /** What the child has done, to be said of it: "has closed its standard output". */
  readonly deed: string;
}

interface Lane {
  readonly receiver: Receiver;
  readonly channel: Channel;
  readonly waiting: Uint8Array[];
  waitingBytes: number;
  isTold: boolean;
}

/**
 * Speak ionbus over the pipes of a child process.
 *
 * @param input - the child's standard input.
 * @param output - the child's standard output; it is read without pause.
 * @param ended - called once when the pipe has ended by itself. Its channels are told when it is closed: until then the last
 * words of a child that reads no more are taken.
 */
export function stdioPipe(input: Writable, output: Readable, ended: (end: PipeEnd) => void): Pipe {
  const lanes = new Map<number, Lane>();
  const reader = new RecordReader();
  let lastChannel = 0;
  let isOpen = true;
  let isHeard = true;
  let isBlocked = false;
  let hasHeard = false;

  function write(record: Uint8Array): void {
    if (isOpen && !input.write(record)) isBlocked = true;
  }

  /** Each channel with something to send gets one frame, in turns, until the pipe is behind again. */
  function drained(): void {
    isBlocked = false;
    let hasMore = true;
    while (hasMore && !isBlocked) {
      hasMore = false;
      for (const lane of lanes.values()) {
        const record = lane.waiting.shift();
        if (record === undefined) continue;
        lane.waitingBytes -= record.length;
        write(record);
        hasMore = true;
        if (isBlocked) return;
      }
    }
    for (const lane of [...lanes.values()]) {
      if (isBlocked) return;
      if (!lane.isTold) continue;
      lane.isTold = false;
      lane.receiver.writable();
    }
  }

  function end(deed: string, isViolation = false): void {
    if (isViolation) isHeard = false;
    if (!isOpen) return;
    isOpen = false;
    input.end();
    ended({ deed, isViolation });
  }

  function refuse(found: Uint8Array, why: string): void {
    const advice = "that pipe belongs to ionbus, so print to standard error instead";
    end(
      `printed something that is no record on its standard output: ${shown(found)} (${why}); ${advice}`,
      true,
    );
  }

  function take(chunk: Buffer): void {
    if (!isHeard) return;
    let records: ReturnType<RecordReader["feed"]>;
    try {
      records = reader.feed(chunk);
    } catch (error) {
      if (!(error instanceof MalformedRecord)) throw error;
      refuse(chunk, error.message);
      return;
    }
    if (records.length > 0) hasHeard = true;
    for (const { kind, channel: id, body } of records) {
      const lane = lanes.get(id);
      if (lane === undefined) {
        // A channel that was closed. One that was never opened means that we do not understand each other.
        if (id <= lastChannel) continue;
        end(`wrote to channel ${id}, which was never opened`, true);
        return;
      }
      if (kind === Record.Data) deliver(id, lane, body);
      else if (kind === Record.Close) closedByChild(id, lane, body);
    }
  }

  function deliver(id: number, lane: Lane, frame: Uint8Array): void {
    const { maxFrameBytes } = lane.channel;
    if (frame.length <= maxFrameBytes) lane.receiver.frameReceived(frame);
    else drop(id, lane, "too_large", tooLarge(frame.length, maxFrameBytes));
  }

  function drop(id: number, { receiver }: Lane, code: string, message: string): void {
    lanes.delete(id);
    write(closeRecord(id, false, code, message));
    receiver.closed(false, code, message);
  }

  function closedByChild(id: number, { receiver }: Lane, body: Uint8Array): void {
    lanes.delete(id);
    const [over, code, message] = closeFields(body);
    receiver.closed(over, code, message);
  }

  function outputEnded(): void {
    // Where there were records before, it was killed while it wrote one more.
    if (!hasHeard && reader.carried.length > 0) refuse(reader.carried, "it ends within a record");
    else end("has closed its standard output");
  }

  input.on("drain", drained);
  input.on("error", ({ code, message }: NodeJS.ErrnoException) =>
    end(`has closed its standard input (${code ?? message})`),
  );
  input.on("close", () => end("has closed its standard input"));
  output.on("data", take);
  output.on("error", ({ message }: Error) => end(`has a standard output that cannot be read (${message})`));
  output.on("end", outputEnded);
  output.on("close", outputEnded);

  return {
    get isOpen() {
      return isOpen;
    },
    open(identity, receiver) {
      lastChannel += 1;
      const id = lastChannel;
      const waiting: Uint8Array[] = [];
      const channel: Channel = {
        kind: "stdio",
        silenceIsFatal: false,
        get isWritable() {
          if (!isBlocked) return true;
          lane.isTold = true;
          return false;
        },
        maxFrameBytes: DEFAULT_LIMITS.maxGreetingBytes,
        send(frame) {
          if (!lanes.has(id)) return;
          const record = encodeRecord(Record.Data, id, frame);
          if (!isBlocked) {
            write(record);
            return;
          }
          waiting.push(record);
          lane.waitingBytes += record.length;
          if (lane.waitingBytes > MAX_QUEUED_BYTES) {
            const message = `more than ${MAX_QUEUED_BYTES} bytes wait and nobody reads them`;
            drop(id, lane, "connection_lost", message);
          }
        },
        close(over = false, code = "closed", message = "") {
          if (!lanes.delete(id)) return;
          for (const record of waiting.splice(0)) write(record);
          write(closeRecord(id, over, code, message));
        },
      };
      const lane: Lane = { receiver, channel, waiting, waitingBytes: 0, isTold: false };
      if (!isOpen) {
        queueMicrotask(() => receiver.closed(false, "connection_lost", "the broker's pipe has ended"));
        return channel;
      }
      lanes.set(id, lane);
      const { role, origin, roles, details } = identity;
      const told = { role, ...details, origin, roles: roles?.length ? roles : undefined }; // what is undefined is left out
      write(encodeRecord(Record.Open, id, encode(told)));
      return channel;
    },
    close(reason) {
      isOpen = isHeard = false;
      input.end();
      const open = [...lanes.values()];
      lanes.clear();
      for (const { receiver } of open) receiver.closed(false, "connection_lost", reason);
    },
  };
}

function closeRecord(channel: number, over: boolean, code: string, message: string): Uint8Array {
  const fields = [over, shortened(code, LONGEST_CODE), shortened(message, LONGEST_REASON)]; // both may be the other side's
  return encodeRecord(Record.Close, channel, encode(fields));
}

function closeFields(body: Uint8Array): [over: boolean, code: string, message: string] {
  try {
    const fields = decode(body);
    if (Array.isArray(fields)) {
      const [over, code, message] = fields as unknown[];
      if (typeof code === "string" && typeof message === "string") return [over === true, code, message];
    }
  } catch {
    // Told below.
  }
  return [false, "protocol_error", "the broker closed the channel without saying properly why"];
}

/** The first bytes of a chunk, as text where they are text. */
function shown(chunk: Uint8Array): string {
  const start = Buffer.from(chunk.subarray(0, SHOWN_BYTES));
  const more = chunk.length > SHOWN_BYTES ? "…" : "";
  const text = start.toString("utf8");
  const isText = !/[^\P{C}\t\r\n]|\uFFFD/u.test(text);
  return isText ? JSON.stringify(text + more) : `the bytes ${start.subarray(0, 32).toString("hex")}${more}`;
}
