/** What passes through middleware: a message, what is known about it, and what may become of it (docs/middleware.md). */

import type { AnyMember } from "../contract.js";

export type Kind = "call" | "stream" | "event";
export type Direction = "inbound" | "outbound";

/** What is known about a message besides its payload. */
export interface MessageContext {
  /** The request's number in its session; 0 for an event, and for what has not left. */
  readonly requestId: number;
  /** When the caller gives up, in milliseconds of `performance.now()`; null: never. */
  readonly deadline: number | null;
  /** A W3C traceparent. */
  readonly trace: string | undefined;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal | undefined;
}

/** What `replace` can change; what is left out stays. */
export interface Changes<Payload> {
  /** Validated again before a handler gets it, or before it leaves. */
  readonly payload?: Payload;
  readonly deadline?: number | null;
  readonly trace?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One message on its way through middleware. It is never changed: `replace` gives another one of the same passage. */
export interface Message<Payload = unknown> {
  readonly kind: Kind;
  /** "inbound": it has arrived; "outbound": it is about to leave. */
  readonly direction: Direction;
  /** The member's full name, e.g. "conductor.execute". */
  readonly name: string;
  /** Its descriptor; undefined for an event that is known by its name alone. */
  readonly member: AnyMember | undefined;
  /** The request, or the event's value. */
  readonly payload: Payload;
  readonly context: MessageContext;
  /** What middleware notes; it lives as long as the passage. */
  readonly state: State;
  replace(changes: Changes<Payload>): Message<Payload>;
}

/** The rest of the way. Gives a call's answer, an async iterator of a stream's items, and for an event nothing, or `Dropped`. */
export type Next<Payload, Answer> = (message: Message<Payload>) => Promise<Answer>;

/** What a middleware may give. */
export type Passed<Answer> = Answer | Dropped | PromiseLike<Answer | Dropped>;

/** For a member whose payload and answer are these. */
export type MiddlewareOf<Payload, Answer> = (
  message: Message<Payload>,
  next: Next<Payload, Answer>,
) => Passed<Answer>;

/** For whatever passes: it knows of no payload and no answer what it is. */
export type Middleware = <Payload, Answer>(
  message: Message<Payload>,
  next: Next<Payload, Answer>,
) => Passed<Answer>;

/** The same without its types, as what runs it sees it. */
export type Layer = (message: Message, next: Next<unknown, unknown>) => unknown;

/** What stands innermost: runs the handler, or sends. */
export type End = (message: Message) => Promise<unknown>;

/** A middleware broke the rules of docs/middleware.md: a mistake in the program, named after who made it. */
export class MiddlewareError extends Error {
  override readonly name = "MiddlewareError";
}

/** A typed key of a passage's state: `const USER = key<User>("user")`. Two keys of one name are two keys. */
export interface Key<Value> {
  readonly name: string;
  readonly "~value"?: (value: Value) => Value;
}

/** What middleware notes on the way of one message, for other middleware and for the handler. */
export interface State {
  get<Value>(key: Key<Value>): Value | undefined;
  set<Value>(key: Key<Value>, value: Value): unknown;
  has(key: Key<never>): boolean;
}

/** Make a key; `name` is for people. */
export function key<Value>(name: string): Key<Value> {
  return { name };
}

/** What `drop` gives, and what `next` gives for an event that was dropped further in. */
export class Dropped {
  constructor(readonly reason: string) {}
}

/**
 * Let an event go no further: `return drop("too_old")`. `bus.dropped` counts by the reason.
 *
 * @throws TypeError there is no reason.
 */
export function drop(reason: string): Dropped {
  if (typeof reason !== "string" || reason === "")
    throw new TypeError('drop() takes a reason, as drop("too_old")');
  return new Dropped(reason);
}

/** Make the message with which a passage begins. */
export function createMessage(fields: Omit<Message, "state" | "replace">, state: State = new Map()): Message {
  return {
    ...fields,
    state,
    replace({ payload = fields.payload, ...changes }) {
      return createMessage({ ...fields, payload, context: { ...fields.context, ...changes } }, state);
    },
  };
}
