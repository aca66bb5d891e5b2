/**
 * Records on a pipe, to bytes and back (docs/protocol.md, section 2.2).
 *
 *     uint32 length (big-endian) | uint8 kind | uint32 channel (big-endian) | body
 */

import { DEFAULT_LIMITS, Record as RecordKind } from "../generated/protocol.js";

/** Length, kind and channel id together. */
export const HEADER_BYTES = 9;

/** What `length` counts besides the body: kind and channel id. */
export const COUNTED_HEADER_BYTES = 5;

/** The largest body of a record. */
export const MAX_BODY_BYTES = DEFAULT_LIMITS.maxFrameBytes;

const LARGEST_KIND = Math.max(...Object.values(RecordKind));

/** Bytes that are no record: what follows them cannot be found, so the pipe is over. The text says what is wrong. */
export class MalformedRecord extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MalformedRecord";
  }
}

/** One record as it was read. */
export interface PipeRecord {
  readonly kind: number;
  readonly channel: number;
  readonly body: Uint8Array;
}

/** One record as bytes; `channel` is 0 to 2^32 - 1. They may lie in a buffer with others'. */
export function encodeRecord(kind: number, channel: number, body: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(HEADER_BYTES + body.length); // whoever has pipes is Node.js
  record.writeUInt32BE(COUNTED_HEADER_BYTES + body.length);
  record[4] = kind;
  record.writeUInt32BE(channel, 5);
  record.set(body, HEADER_BYTES);
  return record;
}

/** Cuts a byte stream into records, however it arrives. */
export class RecordReader {
  private readonly maxLength: number;
  /** Pieces of a record whose end has not arrived, joined only when there is enough. */
  private pieces: Uint8Array[] = [];
  private carriedBytes = 0;
  private needed = COUNTED_HEADER_BYTES;

  /** @param maxBodyBytes - the largest body to take; larger ones are refused before they are read. */
  constructor(maxBodyBytes = MAX_BODY_BYTES) {
    this.maxLength = COUNTED_HEADER_BYTES + maxBodyBytes;
  }

  /** The beginning of a record whose end has not arrived. */
  get carried(): Uint8Array {
    return joined(this.pieces, this.carriedBytes);
  }

  /**
   * Take what arrived; give the records that are whole now, in order. Their bodies are views of it where it holds all of the record.
   *
   * @throws MalformedRecord where a length or a kind is wrong. Whole records in front of it in this `chunk` are lost with the pipe;
   * nothing may be fed afterwards.
   */
  feed(chunk: Uint8Array): PipeRecord[] {
    let bytes = chunk;
    if (this.carriedBytes > 0) {
      this.carry(chunk);
      if (this.carriedBytes < this.needed) return [];
      bytes = this.carried;
      this.pieces = [];
      this.carriedBytes = 0;
    }
    const records: PipeRecord[] = [];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const available = bytes.length;
    let start = 0;
    this.needed = COUNTED_HEADER_BYTES;
    while (available - start >= COUNTED_HEADER_BYTES) {
      // Length and kind are checked as soon as they are there.
      const length = view.getUint32(start);
      if (length < COUNTED_HEADER_BYTES || length > this.maxLength) {
        throw new MalformedRecord(
          `a record's length is ${COUNTED_HEADER_BYTES} to ${this.maxLength}, not ${length}`,
        );
      }
      const kind = view.getUint8(start + 4);
      if (kind < RecordKind.Open || kind > LARGEST_KIND)
        throw new MalformedRecord(`${kind} is no kind of record`);
      const end = start + 4 + length;
      if (end > available) {
        this.needed = end - start;
        break;
      }
      records.push({
        kind,
        channel: view.getUint32(start + 5),
        body: new Uint8Array(
          bytes.buffer,
          bytes.byteOffset + start + HEADER_BYTES,
          length - COUNTED_HEADER_BYTES,
        ),
      });
      start = end;
    }
    if (start < available) this.carry(bytes.subarray(start));
    return records;
  }

  private carry(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.carriedBytes += piece.length;
  }
}

/** Pieces in one array of their own, which are `length` bytes together. */
export function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
