/** What a WebSocket connection carries in one direction: an HTTP head, then frames (RFC 6455, section 5.2). Pure; Node.js only. */

const HEAD_END = "\r\n\r\n";

/** Cuts it into its head and its frames. */
export class WebSocketFrames {
  /** The beginning of a frame whose end has not come. */
  rest: Uint8Array = new Uint8Array();
  #isInHead = true;

  /** Take bytes; gives what is whole by now. */
  feed(bytes: Uint8Array): Uint8Array[] {
    let rest = Buffer.concat([this.rest, bytes]);
    const frames: Uint8Array[] = [];
    for (let size = this.#size(rest); size <= rest.length; size = this.#size(rest)) {
      frames.push(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
    this.rest = rest;
    return frames;
  }

  /** How many bytes the frame has that begins here; infinity while that is not known. */
  #size(rest: Buffer): number {
    if (this.#isInHead) {
      const end = rest.indexOf(HEAD_END);
      if (end < 0) return Number.POSITIVE_INFINITY;
      this.#isInHead = false;
      return end + HEAD_END.length;
    }
    const second = rest[1];
    if (second === undefined) return Number.POSITIVE_INFINITY;
    const mask = second & 0x80 ? 4 : 0;
    const length = second & 0x7f;
    if (length < 126) return 2 + mask + length;
    if (length === 126) return rest.length < 4 ? Number.POSITIVE_INFINITY : 4 + mask + rest.readUInt16BE(2);
    return rest.length < 10 ? Number.POSITIVE_INFINITY : 10 + mask + Number(rest.readBigUInt64BE(2));
  }
}

/** A request, and what follows it, with the `Host` of its head replaced; undefined while its head is not all there. */
export function withHost(request: Buffer, host: string): Uint8Array | undefined {
  const end = request.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = request.toString("latin1", 0, end).replace(/^host:[^\r\n]*/im, () => `Host: ${host}`);
  return Buffer.concat([Buffer.from(head, "latin1"), request.subarray(end)]);
}
