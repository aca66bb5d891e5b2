/** Days, times of day and lengths of time, to the microsecond. */

import * as Extension from "../generated/extension.js";
import { Refusal } from "./refusal.js";
import { BODY, CODE, type Extended, integerOf, isExtended, type ValueKind } from "./values.js";
import { kindOf, required, Written } from "./written.js";

const CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]";
const FRACTION = "(?:\\.([0-9]{1,6}))?";
const OFFSET = "(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?";
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const TIME = new RegExp(`^(${CLOCK})${FRACTION}${OFFSET}$`);
const DATE_TIME = new RegExp(`^([0-9]{4}-[0-9]{2}-[0-9]{2})T(${CLOCK})${FRACTION}${OFFSET}$`);
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isDate(text: string): boolean {
  const match = DATE.exec(text);
  if (match === null) return false;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (year === 0 || day === 0 || day > (DAYS[month - 1] ?? 0)) return false;
  return !(month === 2 && day === 29) || (year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0));
}

/** A time of day as Python writes it, or undefined. */
function clockOf(clock: string, fraction = "", offset = ""): string {
  const six = fraction.padEnd(6, "0");
  const zero = offset === "Z" || offset === "-00:00";
  return `${clock}${six === "000000" ? "" : `.${six}`}${zero ? "+00:00" : offset}`;
}

function dateTimeOf(text: string): string | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null || !isDate(match[1] as string)) return undefined;
  return `${match[1]}T${clockOf(match[2] as string, match[3], match[4])}`;
}

function timeOf(text: string): string | undefined {
  const match = TIME.exec(text);
  return match === null ? undefined : clockOf(match[1] as string, match[2], match[3]);
}

/** A date and a time to the microsecond, with an offset from UTC or without one. Python's `datetime`. */
export class DateTime extends Written {
  get [CODE](): number {
    return Extension.DateTime;
  }

  /**
   * @param text - RFC 3339, as `2024-02-29T12:30:00.5+01:00`; without offset where it has none. At most six digits of a second.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(
      required(dateTimeOf(text), text, "a date and time (YYYY-MM-DDTHH:MM:SS, up to six decimals, offset)"),
    );
  }

  /** A `Date`, in UTC. */
  static from(date: Date): DateTime {
    return new DateTime(date.toISOString());
  }

  /** Whether it says how far from UTC it is; where it does not, it means no instant. */
  get hasOffset(): boolean {
    return /[+-][0-9]{2}:[0-9]{2}$/.test(this.text);
  }

  /** To the millisecond. Without an offset it is taken for local time, as JavaScript does everywhere. */
  toDate(): Date {
    return new Date(this.text);
  }
}

/** A day of the calendar. Python's `date`. */
export class PlainDate extends Written {
  get [CODE](): number {
    return Extension.Date;
  }

  /**
   * @param text - `YYYY-MM-DD`.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(required(isDate(text) ? text : undefined, text, "a date (YYYY-MM-DD)"));
  }

  /** `month` and `day` count from 1. */
  static of(year: number, month: number, day: number): PlainDate {
    return new PlainDate(`${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`);
  }

  get year(): number {
    return Number(this.text.slice(0, 4));
  }

  /** From 1. */
  get month(): number {
    return Number(this.text.slice(5, 7));
  }

  /** From 1. */
  get day(): number {
    return Number(this.text.slice(8, 10));
  }
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, "0");
}

/** A time of day to the microsecond, with an offset from UTC or without one. Python's `time`. */
export class PlainTime extends Written {
  get [CODE](): number {
    return Extension.Time;
  }

  /**
   * @param text - `HH:MM:SS`, with up to six decimals, with an offset where it has one.
   * @throws RangeError where it is not.
   */
  constructor(text: string) {
    super(required(timeOf(text), text, "a time of day (HH:MM:SS, up to six decimals, offset)"));
  }

  static of(hour: number, minute: number, second = 0, microsecond = 0): PlainTime {
    return new PlainTime(
      `${digits(hour, 2)}:${digits(minute, 2)}:${digits(second, 2)}.${digits(microsecond, 6)}`,
    );
  }

  get hour(): number {
    return Number(this.text.slice(0, 2));
  }

  get minute(): number {
    return Number(this.text.slice(3, 5));
  }

  get second(): number {
    return Number(this.text.slice(6, 8));
  }

  get microsecond(): number {
    return this.text[8] === "." ? Number(this.text.slice(9, 15)) : 0;
  }
}

/** How each is read, for the descriptors of contracts that have it. */
export const dateTimes: ValueKind = /*#__PURE__*/ kindOf(Extension.DateTime, DateTime, "not a date and time");
export const plainDates: ValueKind = /*#__PURE__*/ kindOf(Extension.Date, PlainDate, "not a date");
export const plainTimes: ValueKind = /*#__PURE__*/ kindOf(Extension.Time, PlainTime, "not a time of day");

const MICROSECONDS_PER_DAY = 86_400_000_000n;

/** A length of time to the microsecond, at most 2^63 of them. Python's `timedelta`. Immutable. */
export class Duration implements Extended {
  readonly microseconds: bigint;

  get [CODE](): number {
    return Extension.Duration;
  }

  /** @throws RangeError where it is not a whole number within 64 bits. */
  constructor(microseconds: bigint | number) {
    this.microseconds = BigInt(microseconds);
    if (BigInt.asIntN(64, this.microseconds) !== this.microseconds) {
      throw new RangeError(`${this.microseconds} microseconds are more than 64 bits hold`);
    }
  }

  /** Rounded to the microsecond. */
  static fromMilliseconds(milliseconds: number): Duration {
    return new Duration(Math.round(milliseconds * 1_000));
  }

  toMilliseconds(): number {
    return Number(this.microseconds) / 1_000;
  }

  get [BODY](): Uint8Array {
    const body = new Uint8Array(8);
    new DataView(body.buffer).setBigInt64(0, this.microseconds);
    return body;
  }

  /** ISO 8601 with days as the largest unit, as pydantic writes it: `P1DT2H3M4.5S`. */
  toString(): string {
    const isNegative = this.microseconds < 0n;
    const all = isNegative ? -this.microseconds : this.microseconds;
    const days = all / MICROSECONDS_PER_DAY;
    const rest = Number(all % MICROSECONDS_PER_DAY);
    const seconds = Math.floor(rest / 1_000_000);
    const fraction = rest % 1_000_000;
    let clock = "";
    if (seconds >= 3_600) clock += `${Math.floor(seconds / 3_600)}H`;
    if (Math.floor(seconds / 60) % 60 > 0) clock += `${Math.floor(seconds / 60) % 60}M`;
    if (seconds % 60 > 0 || fraction > 0 || (clock === "" && days === 0n)) {
      clock += `${seconds % 60}${fraction > 0 ? `.${digits(fraction, 6).replace(/0+$/, "")}` : ""}S`;
    }
    return `${isNegative ? "-" : ""}P${days > 0n ? `${days}D` : ""}${clock === "" ? "" : `T${clock}`}`;
  }

  toJSON(): string {
    return this.toString();
  }

  equals(other: unknown): boolean {
    return isExtended(other) && other[CODE] === this[CODE] && String(other) === this.toString();
  }
}

/** How it is read. */
export const durations: ValueKind = {
  code: Extension.Duration,
  read(reader, length) {
    if (length !== 8) throw new Refusal(`a duration has 8 bytes, not ${length}`);
    return new Duration(integerOf(reader, 8));
  },
};
