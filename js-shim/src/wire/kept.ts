/** Bytes out of a frame that are to outlive it. */

/** `payload`, or a copy where it is a small part of its buffer: a view keeps the whole of its frame in memory. */
export function kept(payload: Uint8Array): Uint8Array {
  return payload.length * 2 < payload.buffer.byteLength ? new Uint8Array(payload) : payload;
}
