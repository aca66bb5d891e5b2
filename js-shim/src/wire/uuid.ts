/** UUIDs. */

import * as Extension from "../generated/extension.js";
import { toHex } from "./hex.js";
import { Refusal } from "./refusal.js";
import { BODY, CODE, type ValueKind } from "./values.js";
import { required, Written } from "./written.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A UUID, in lower case. */
export class Uuid extends Written {
  get [CODE](): number {
    return Extension.Uuid;
  }

  /**
   * @param text - `8-4-4-4-12` hexadecimal digits.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(required(UUID.test(text) ? text.toLowerCase() : undefined, text, "a UUID"));
  }

  /** @param bytes - 16 of them. */
  static fromBytes(bytes: Uint8Array): Uuid {
    const hex = toHex(bytes, 0, bytes.length);
    return new Uuid(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));
  }

  toBytes(): Uint8Array {
    const hex = this.text.replace(/-/g, "");
    return Uint8Array.from({ length: 16 }, (_, index) =>
      Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
    );
  }

  override get [BODY](): Uint8Array {
    return this.toBytes();
  }
}

/** How it is read. */
export const uuids: ValueKind = {
  code: Extension.Uuid,
  read(reader, length) {
    if (length !== 16) throw new Refusal(`a UUID has 16 bytes, not ${length}`);
    return Uuid.fromBytes(reader.bin(16));
  },
};
