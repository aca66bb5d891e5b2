/** Bytes as hexadecimal digits. */

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Those of `bytes` from `start` on, up to `end`. */
export function toHex(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
  let hex = "";
  for (let at = start; at < end; at++) hex += DIGITS[bytes[at] as number];
  return hex;
}
