/** Records of the raw pipe: a length, 4 bytes, and that many of content. */

export function recordOf(content) {
  const record = new Uint8Array(4 + content.length);
  new DataView(record.buffer).setUint32(0, content.length, true);
  record.set(content, 4);
  return record;
}

/** Give what takes chunks, and tells each record's content in a buffer of its own. */
export function recordReader(listener) {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (bytes.length - at >= 4) {
      const end = at + 4 + bytes.readUInt32LE(at);
      if (bytes.length < end) break;
      listener(new Uint8Array(bytes.subarray(at + 4, end)));
      at = end;
    }
    rest = bytes.subarray(at);
  };
}
