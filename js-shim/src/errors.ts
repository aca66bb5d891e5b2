/**
 * Every error that ionbus raises, one class per thing that a caller could do differently (schemas/errors.toml).
 *
 * `code` names the class on the wire and is the same in both languages. `instanceof` goes by the code too, so that two
 * copies of this package in one program agree.
 */

import type { ErrorCode } from "./generated/errors.js";
import type { Bigints } from "./wire/bigints.js";
import type { ValueKind } from "./wire/values.js";

const MARK = Symbol.for("ionbus.error");

/** What travels beside an error's code and message, as plain data. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

export interface IonbusErrorOptions {
  /** What led to the error on this side; it does not travel. */
  readonly cause?: unknown;
}

/** The base of all errors of ionbus, and the class of a code that this side does not know. */
export class IonbusError<Code extends string = string> extends Error {
  static readonly code: string = "ionbus_error";
  readonly code: Code;
  override readonly cause?: unknown;
  /** Middleware refuses a request with it: its caller is told, also where the member does not declare it. */
  declare isRefusal?: boolean;

  /** @param message - what happened, to which thing, and what to do. */
  constructor(message = "", options?: IonbusErrorOptions) {
    super(message);
    this.code = new.target.code as Code; // a subclass gives its code and its type together
    this.name = className(this.code);
    Object.defineProperty(this, MARK, { value: "ionbus", configurable: true });
    if (options !== undefined && "cause" in options) {
      Object.defineProperty(this, "cause", { value: options.cause, writable: true, configurable: true });
    }
  }

  /** What travels beside the code and the message. */
  details(): ErrorDetails {
    return {};
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: the class that stands right of `instanceof`
    return isInstance(this, value);
  }
}

/** Whether a value is an error of ionbus, whichever copy of the package made it. */
export function isIonbusError(value: unknown): value is IonbusError {
  return typeof value === "object" && value !== null && MARK in value;
}

/** The answer did not come in time; the handler was told to stop. */
export class CallTimeout extends IonbusError<"call_timeout"> {
  static override readonly code = "call_timeout";
}

/** The call was given up, by its caller (then `cause` is the signal's reason) or because its handler was stopped. */
export class CallCancelled extends IonbusError<"call_cancelled"> {
  static override readonly code = "call_cancelled";
}

/** No channel could be opened, or the one that there was is gone and will not come back. */
export class ConnectionLost extends IonbusError<"connection_lost"> {
  static override readonly code = "connection_lost";
}

/** The session ended before this was answered: what the other side did of it is unknown. */
export class SessionLost extends IonbusError<"session_lost"> {
  static override readonly code = "session_lost";
}

/** A receiver fell so far behind that what waited for it passed its bound. */
export class SlowConsumer extends IonbusError<"slow_consumer"> {
  static override readonly code = "slow_consumer";
}

/** One problem of a payload: where in it ("" is the whole), and what is wrong there. */
export type PayloadProblem = readonly [path: string, problem: string];

export interface InvalidPayloadOptions extends IonbusErrorOptions {
  readonly paths?: readonly PayloadProblem[] | undefined;
}

/** A payload does not fit its contract; refused before it was sent, or on arrival. */
export class InvalidPayload extends IonbusError<"invalid_payload"> {
  static override readonly code = "invalid_payload";
  /** Every problem; the message tells the first. */
  readonly paths: readonly PayloadProblem[];

  constructor(message = "", options?: InvalidPayloadOptions) {
    super(message, options);
    this.paths = options?.paths ?? [];
  }

  override details(): ErrorDetails {
    return { paths: this.paths };
  }
}

/** A message is larger than the other side takes. */
export class TooLarge extends IonbusError<"too_large"> {
  static override readonly code = "too_large";
}

/** The principal has no right to do this, or this side may not do it under the contract. */
export class NotAllowed extends IonbusError<"not_allowed"> {
  static override readonly code = "not_allowed";
}

/** Nothing by this name is served. */
export class NotFound extends IonbusError<"not_found"> {
  static override readonly code = "not_found";
}

/** The token is missing, wrong, or spent. */
export class Unauthenticated extends IonbusError<"unauthenticated"> {
  static override readonly code = "unauthenticated";
}

/** The two sides' versions of a contract cannot work together. */
export class ContractMismatch extends IonbusError<"contract_mismatch"> {
  static override readonly code = "contract_mismatch";
}

/** The wire's rules were broken (docs/protocol.md). */
export class ProtocolError extends IonbusError<"protocol_error"> {
  static override readonly code = "protocol_error";
}

/** This side was about to break the wire's rules; nothing was sent. */
export class LocalProtocolError extends ProtocolError {
  override readonly name = "LocalProtocolError";
}

/** The other side broke the wire's rules. */
export class RemoteProtocolError extends ProtocolError {
  override readonly name = "RemoteProtocolError";
}

export interface InternalErrorOptions extends IonbusErrorOptions {
  readonly incidentId?: string | undefined;
}

/** A handler failed in a way that its contract does not declare; the reason is in the log of the side that ran it. */
export class InternalError extends IonbusError<"internal_error"> {
  static override readonly code = "internal_error";
  /** Finds the reason in that log. */
  readonly incidentId: string;

  constructor(message = "", options?: InternalErrorOptions) {
    super(message, options);
    this.incidentId = options?.incidentId ?? "";
  }

  override details(): ErrorDetails {
    return { incident_id: this.incidentId };
  }
}

export interface ContractErrorOptions extends IonbusErrorOptions {
  /** What to say; the class's own sentence where it is left out. */
  readonly message?: string | undefined;
}

/** The base of the errors that contracts declare; `ionbus codegen` writes the subclasses. */
export abstract class ContractError<
  Code extends string = string,
  Fields extends object = object,
> extends IonbusError<Code> {
  /** The error's fields, as they travel; each is a property of the error too. */
  readonly fields: Fields;

  constructor(message: string, fields: Fields, options?: ContractErrorOptions) {
    super(options?.message || message, options);
    Object.defineProperty(this, MARK, { value: "contract", configurable: true });
    this.fields = fields;
    for (const [name, value] of Object.entries(fields)) {
      Object.defineProperty(this, name, { value, enumerable: true, configurable: true });
    }
  }

  override details(): ErrorDetails {
    return Object.fromEntries(Object.entries(this.fields));
  }
}

/** A generated class of a declared error. */
export interface ContractErrorClass {
  readonly code: string;
  /** Where its fields hold integers of 64 bits. */
  readonly bigints?: Bigints;
  /** The kinds of values in its fields that msgpack lacks. */
  readonly values?: readonly ValueKind[];
  // `never`: each class has its own fields, and the generated types vouch for those that arrive.
  new (fields: never, options?: ContractErrorOptions): ContractError;
}

/** Every code has its class here; those with details of their own are made where the details are read. */
const CLASSES = [
  CallTimeout,
  CallCancelled,
  ConnectionLost,
  SessionLost,
  SlowConsumer,
  TooLarge,
  NotAllowed,
  NotFound,
  Unauthenticated,
  ContractMismatch,
  ProtocolError,
] as const;
type Coded = (typeof CLASSES)[number]["code"] | "ionbus_error" | "invalid_payload" | "internal_error";
const BY_CODE = new Map<string, new (message: string) => IonbusError>(
  CLASSES.map((each) => [each.code satisfies ErrorCode extends Coded ? ErrorCode : never, each]),
);

/** Give the error as it travels: its code, its message and its details. */
export function errorToWire(error: IonbusError): [code: string, message: string, details: ErrorDetails] {
  return [error.code, wellFormed(error.message), error.details()];
}

/** The text with lone surrogates, which no wire can carry, as question marks. */
function wellFormed(text: string): string {
  return text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "?");
}

/**
 * Make the error that the other side reported; never throws, whatever arrived.
 *
 * @param code - the error's code; an unknown one gives an `IonbusError` whose `code` it is.
 * @param message - the error's message.
 * @param details - what travelled beside it.
 * @param raises - the error classes that the call declares; they are looked at first.
 */
export function errorFromWire(
  code: string,
  message: string,
  details: unknown = {},
  raises: readonly ContractErrorClass[] = [],
): IonbusError {
  const fields = isRecord(details) ? details : {};
  const { paths, incident_id: incidentId } = fields;
  const Declared = raises.find((error) => error.code === code);
  if (Declared !== undefined)
    return new Declared((Declared.bigints?.received?.(fields) ?? fields) as never, { message });
  if (code === InvalidPayload.code) return new InvalidPayload(message, { paths: pathsOf(paths) });
  if (code === InternalError.code) {
    return new InternalError(message, { incidentId: typeof incidentId === "string" ? incidentId : "" });
  }
  const Known = BY_CODE.get(code);
  if (Known !== undefined) return new Known(message);
  const unknown = new IonbusError(message);
  return Object.defineProperty(unknown, "code", { value: code, enumerable: true, configurable: true });
}

function pathsOf(received: unknown): PayloadProblem[] {
  if (!Array.isArray(received)) return [];
  return received.filter(
    (pair): pair is [string, string] =>
      Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string" && typeof pair[1] === "string",
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What `instanceof` means: a class with a code of its own is told by it, one without by its prototype. */
function isInstance(
  errorClass: { readonly code: string; readonly prototype: object },
  value: unknown,
): boolean {
  if (!isIonbusError(value)) return false;
  if (errorClass === IonbusError) return true;
  if (errorClass === ContractError) return Reflect.get(value, MARK) === "contract";
  if (Object.getOwnPropertyDescriptor(errorClass, "code") !== undefined)
    return value.code === errorClass.code;
  return Object.prototype.isPrototypeOf.call(errorClass.prototype, value);
}

/** `call_timeout` is the code of `CallTimeout`; names do not come from the classes, which minifiers rename. */
function className(code: string): string {
  return code.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
