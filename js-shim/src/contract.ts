/**
 * What generated contracts are made of: descriptors of events, calls and streams. A descriptor is a constant that names its
 * member and carries its payloads' types, which exist for the compiler only, and what code it takes to use the member: a
 * page's bundle has none for what no member of the page needs.
 */

import type { Serve } from "./dispatch/answers.js";
import { type CreateReader, createReader } from "./dispatch/reader.js";
import type { ContractErrorClass } from "./errors.js";
import type { Bigints } from "./wire/bigints.js";
import type { ValueKind } from "./wire/values.js";

/** Who may publish an event. */
export type Source = "broker" | "client" | "any";

/** Who handles a call or a stream. */
export type ServedBy = "broker" | "client";

/**
 * What is promised about an event's delivery: in order and exactly once while the session lives; dropped rather than
 * queued; or only the newest for each key.
 */
export type Delivery = "session" | "volatile" | "latest";

/** Which contract a member belongs to, and exactly which form of it this side was built with. */
export interface ContractReference {
  readonly name: string;
  readonly version: string;
  readonly fingerprint: string;
  /** Loads its canonical description, for a broker that serves another form of it (docs/protocol.md, section 11). */
  readonly schema?: () => Promise<string>;
}

// Properties with "~" that no descriptor has: only types. A type that is both an argument and a result makes descriptors invariant.
// Their names are text, so that two copies of this package in one program (ESM's and CommonJS's) agree.

/** An event: a typed message with no answer. */
export interface EventDescriptor<
  Name extends string,
  Received,
  Sent = Received,
  By extends Source = "broker",
> {
  readonly kind: "event";
  /** The full name on the wire, e.g. "conductor.progress". */
  readonly name: Name;
  readonly contract: ContractReference;
  readonly source: By;
  readonly delivery: Delivery;
  /** The fields that tell values of a "latest" event apart, as they are spelled on the wire. */
  readonly key: readonly string[];
  /** Where its payload holds integers of 64 bits. */
  readonly bigints?: Bigints;
  /** The kinds of values in it that msgpack lacks. */
  readonly values?: readonly ValueKind[];
  readonly "~received"?: (payload: Received) => Received;
  readonly "~sent"?: (payload: Sent) => Sent;
}

/** A call: a typed request with one typed answer or one typed error. */
export interface CallDescriptor<Name extends string, Request, Response, By extends ServedBy = "broker"> {
  readonly kind: "call";
  /** The full name on the wire, e.g. "conductor.execute". */
  readonly name: Name;
  readonly contract: ContractReference;
  readonly servedBy: By;
  /** How long a caller waits unless it says otherwise; null: for ever. */
  readonly timeoutMs: number | null;
  /** The errors that reach the caller with their fields. */
  readonly raises: readonly ContractErrorClass[];
  /** Whether it may be sent again when it is unknown whether it was carried out. */
  readonly idempotent: boolean;
  /** Where its payloads hold integers of 64 bits. */
  readonly bigints?: Bigints;
  /** The kinds of values in them that msgpack lacks. */
  readonly values?: readonly ValueKind[];
  /** Answers it; a client cannot handle a member without. */
  readonly serve?: Serve;
  readonly "~request"?: (payload: Request) => Request;
  readonly "~response"?: (payload: Response) => Response;
}

/** A stream: a typed request with many typed answers, then an end or an error. */
export interface StreamDescriptor<Name extends string, Request, Item, By extends ServedBy = "broker"> {
  readonly kind: "stream";
  /** The full name on the wire, e.g. "conductor.logs". */
  readonly name: Name;
  readonly contract: ContractReference;
  readonly servedBy: By;
  /** How long the whole stream may take unless its reader says otherwise; null: for ever. */
  readonly timeoutMs: number | null;
  /** The errors that reach the reader with their fields. */
  readonly raises: readonly ContractErrorClass[];
  /** Whether it may be asked for again when it is unknown whether it was carried out. */
  readonly idempotent: boolean;
  /** Where its payloads hold integers of 64 bits. */
  readonly bigints?: Bigints;
  /** The kinds of values in them that msgpack lacks. */
  readonly values?: readonly ValueKind[];
  /** Answers it; a client cannot handle a member without. */
  readonly serve?: Serve;
  /** Makes what reads it. */
  readonly read: CreateReader;
  readonly "~request"?: (payload: Request) => Request;
  readonly "~item"?: (payload: Item) => Item;
}

// Descriptors are invariant: nothing but `any` stands for every payload.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyEvent = EventDescriptor<string, any, any, Source>;
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyCall = CallDescriptor<string, any, any, ServedBy>;
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyStream = StreamDescriptor<string, any, any, ServedBy>;
export type AnyMember = AnyEvent | AnyCall | AnyStream;

/** A generated contract, `import { Conductor } from "./generated/conductor"`: its members and the contracts in it. */
export interface ContractNamespace {
  readonly __contract__: ContractReference;
}

/** One event as a listener to many gets it: `received.name` tells which, and narrows `received.payload`. */
export interface Received<Name extends string = string, Payload = unknown> {
  readonly name: Name;
  readonly payload: Payload;
}

/** The events of a contract and of those in it, as a listener to all of them gets them. */
export type ReceivedOf<Contract> = {
  [Member in keyof Contract]: Contract[Member] extends EventDescriptor<
    infer Name,
    infer Payload,
    infer _,
    Source
  >
    ? Received<Name, Payload>
    : Contract[Member] extends ContractNamespace
      ? ReceivedOf<Contract[Member]>
      : never;
}[keyof Contract];

interface EventOptions<Name extends string, By extends Source> {
  readonly name: Name;
  readonly contract: ContractReference;
  readonly source?: By;
  readonly delivery?: Delivery;
  readonly key?: readonly string[];
  readonly bigints?: Bigints;
  readonly values?: readonly ValueKind[];
}

interface AnsweredOptions<Name extends string, By extends ServedBy> {
  readonly name: Name;
  readonly contract: ContractReference;
  readonly servedBy?: By;
  readonly timeoutMs?: number | null;
  readonly raises?: readonly ContractErrorClass[];
  readonly idempotent?: boolean;
  readonly bigints?: Bigints;
  readonly values?: readonly ValueKind[];
  readonly serve?: Serve;
}

/** How long a call waits for its answer unless its contract or its caller says otherwise. */
export const DEFAULT_CALL_TIMEOUT_MS = 30_000;

/** Make an event's descriptor; what is left out is as in Python: `source: "broker"`, `delivery: "session"`. */
export function event<Name extends string, Received, Sent, By extends Source>(
  options: EventOptions<Name, By>,
): EventDescriptor<Name, Received, Sent, By> {
  return { kind: "event", source: "broker" as By, delivery: "session", key: [], ...options };
}

/** Make a call's descriptor; what is left out is as in Python: `servedBy: "broker"`, 30 s, no declared errors. */
export function call<Name extends string, Request, Response, By extends ServedBy>(
  options: AnsweredOptions<Name, By>,
): CallDescriptor<Name, Request, Response, By> {
  return {
    kind: "call",
    servedBy: "broker" as By,
    timeoutMs: DEFAULT_CALL_TIMEOUT_MS,
    raises: [],
    idempotent: false,
    ...options,
  };
}

/** Make a stream's descriptor; what is left out is as in Python: `servedBy: "broker"`, no time-out, no declared errors. */
export function stream<Name extends string, Request, Item, By extends ServedBy>(
  options: AnsweredOptions<Name, By>,
): StreamDescriptor<Name, Request, Item, By> {
  return {
    kind: "stream",
    servedBy: "broker" as By,
    timeoutMs: null,
    raises: [],
    idempotent: false,
    read: createReader,
    ...options,
  };
}

/** Every member of a generated contract and of those in it. */
export function membersOf(contract: ContractNamespace): AnyMember[] {
  return Object.values(contract).flatMap((part: unknown) =>
    isMember(part) ? [part] : isContract(part) ? membersOf(part) : [],
  );
}

function isMember(value: unknown): value is AnyMember {
  return typeof value === "object" && value !== null && "kind" in value && "contract" in value;
}

/** Whether it is a generated contract. */
export function isContract(value: unknown): value is ContractNamespace {
  return typeof value === "object" && value !== null && "__contract__" in value;
}
