/** Decimal numbers. */

import * as Extension from "../generated/extension.js";
import { Refusal } from "./refusal.js";
import { CODE, MAX_NUMBER_BYTES, type ValueKind } from "./values.js";
import { kindOf, required, Written } from "./written.js";

const DECIMAL = /^-?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:E[+-]?[0-9]{1,4})?|Infinity|s?NaN[0-9]*)$/;
const DECIMAL_FORM = `a decimal (at most ${MAX_NUMBER_BYTES} characters, an exponent of at most four digits)`;
const LONG_DECIMAL = `a decimal of more than ${MAX_NUMBER_BYTES} characters, or with an exponent beyond ±9999`;

/** A decimal number, exact. Python's `Decimal`. It is carried, not calculated with: for that, give its text to a library. */
export class Decimal extends Written {
  get [CODE](): number {
    return Extension.Decimal;
  }

  /**
   * @param value - text as Python's `str(Decimal)`, as `-1.50`, `1E+3`, `NaN`, `Infinity`; or a number, as JavaScript writes it.
   * @throws RangeError where it is none.
   */
  constructor(value: string | number | bigint) {
    const text = typeof value === "string" ? value : String(value).replace("e", "E");
    const isDecimal = text.length <= MAX_NUMBER_BYTES && DECIMAL.test(text);
    super(required(isDecimal ? text : undefined, value, DECIMAL_FORM));
  }

  /** The nearest number. */
  toNumber(): number {
    return Number(this.text.replace(/^(-?)s?NaN.*$/, "NaN"));
  }
}

const written = /*#__PURE__*/ kindOf(Extension.Decimal, Decimal, "not a decimal");

/** How it is read. */
export const decimals: ValueKind = {
  code: Extension.Decimal,
  read(reader, length, depth) {
    if (length > MAX_NUMBER_BYTES) throw new Refusal(LONG_DECIMAL);
    return written.read(reader, length, depth);
  },
};
