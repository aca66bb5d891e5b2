/** A broker in memory with fake handlers. What lies between it and a bus is the real thing: codec, engine, reconnection. */

import type { Accept, Opener } from "../channels/base.js";
import { MemoryListener } from "../channels/memory.js";
import {
  type Answered,
  type Bus,
  type BusOptions,
  type CallOptions,
  createBus,
  type RequestArguments,
} from "../client/bus.js";
import type {
  AnyCall,
  AnyEvent,
  AnyStream,
  CallDescriptor,
  EventDescriptor,
  StreamDescriptor,
} from "../contract.js";
import { serve } from "../dispatch/answer.js";
import type { Handler, HandlerContext } from "../dispatch/answers.js";
import type { Owner } from "../dispatch/peer.js";
import type { ItemStream } from "../dispatch/reader.js";
import {
  createListening,
  createSubscription,
  type Listening,
  type Subscription,
} from "../dispatch/subscription.js";
import { ConnectionLost, type IonbusError, NotFound } from "../errors.js";
import { matcher, patternProblem } from "../events/patterns.js";
import * as Message from "../generated/message.js";
import { DEFAULT_LIMITS, type Limits } from "../generated/protocol.js";
import { allValues } from "../wire/all_values.js";
import type { Bigints } from "../wire/bigints.js";
import { isMap } from "../wire/frames.js";
import { encodeEnvelope, encodeEvent, encodeMessage } from "../wire/messages.js";
import { decode, encode, know } from "../wire/values.js";
import { type Accepted, createAcceptor } from "./acceptor.js";
import { asksForSome, Share } from "./share.js";

export interface FakeBrokerOptions {
  /** Bounds and times of both sides, other than the default ones. */
  readonly limits?: Partial<Limits> | undefined;
}

export interface FakeConnectOptions extends BusOptions {
  /** Opens a channel that leads to `accept`, once an attempt. Default: one of memory, which `cut` cuts. */
  readonly open?: Opener | undefined;
  /** A number from 0 to below 1 each time, for the spread of retries. Default: `Math.random`. */
  readonly spread?: (() => number) | undefined;
}

export interface FakeBroker {
  /** A client of this broker, which connects when it is first asked for. */
  readonly bus: Bus;
  /** Another client. */
  connect(options?: FakeConnectOptions): Bus;
  /** Takes the broker's end of a channel: for channels of your own. */
  readonly accept: Accept;

  /** Answer a call; a later handler takes the place of an earlier one until it is closed. */
  handle<Name extends string, Request, Response>(
    call: CallDescriptor<Name, Request, Response, "broker">,
    handler: (request: Request, context: HandlerContext) => Answered<NoInfer<Response>>,
  ): Subscription;
  /** Answer a stream. */
  handle<Name extends string, Request, Item>(
    stream: StreamDescriptor<Name, Request, Item, "broker">,
    handler: (request: Request, context: HandlerContext) => AsyncIterable<Item>,
  ): Subscription;

  /** Listen to what clients publish. */
  on<Name extends string, Payload, Sent>(
    event: EventDescriptor<Name, Payload, Sent, "client" | "any">,
    listener: (payload: Payload) => void,
  ): Subscription;

  /** Publish an event to every client that listens. */
  emit<Name extends string, Payload, Sent>(
    event: EventDescriptor<Name, Payload, Sent, "broker" | "any">,
    ...payload: null extends Payload ? [payload?: Payload] : [payload: Payload]
  ): Promise<void>;

  /** Call the client that connected last. */
  call<Name extends string, Request, Response>(
    call: CallDescriptor<Name, Request, Response, "client">,
    ...request: RequestArguments<Request>
  ): Promise<Response>;
  /** Ask the client that connected last for a stream. */
  stream<Name extends string, Request, Item>(
    stream: StreamDescriptor<Name, Request, Item, "client">,
    ...request: RequestArguments<Request>
  ): ItemStream<Item>;

  /** Cut the channel that was opened last: its client reconnects, and its session goes on. */
  cut(): void;
  /** Be another process: every channel is cut, and every client that returns gets a new session. */
  restart(): void;
  /** Whether connections are refused. */
  isRefusing: boolean;
  /** How often somebody has tried to connect. */
  readonly attempts: number;
  /** Close every bus. */
  close(): Promise<void>;
}

/**
 * Make a broker in memory.
 *
 * ```ts
 * const broker = fakeBroker();
 * broker.handle(Conductor.execute, () => ({ files: 12 }));
 * await run(broker.bus);
 * ```
 */
export function fakeBroker(options: FakeBrokerOptions = {}): FakeBroker {
  know(allValues);
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const handlers = new Map<string, Handler[]>();
  const listeners = new Map<string, Listening<unknown>>();
  const bigintsOf = new Map<string, Bigints>();
  /** The newest message of each key of each "latest" event. */
  const latest = new Map<
    string,
    {
      readonly name: string;
      readonly message: Uint8Array;
      readonly packed: Uint8Array;
      readonly fields: readonly string[];
    }
  >();
  /** What subscriptions with options get. */
  const shares = new Map<Accepted, Map<number, { readonly pattern: string; readonly share: Share }>>();
  const buses: Bus[] = [];

  function find(name: string, kind: Handler["kind"]): Handler | IonbusError {
    const handler = handlers.get(name)?.find((each) => each.kind === kind);
    return handler ?? new NotFound(`${name}: the fake broker has no handler for this ${kind}`);
  }

  function subscribe(session: Accepted, number: number, pattern: string, options: unknown): void {
    const problem = patternProblem(pattern);
    if (problem !== undefined) {
      session.peer.send(encodeMessage(Message.Subscribed, number, "not_found", problem));
      return;
    }
    const isSnapshot = isMap(options) && options["snapshot"] === true;
    if (asksForSome(options)) {
      subscribeToSome(session, number, pattern, options, isSnapshot);
      return;
    }
    if (!isSnapshot) session.subscriptions.set(number, pattern);
    session.peer.send(encodeMessage(Message.Subscribed, number));
    const matches = matcher(pattern);
    for (const [key, { name, message, packed }] of latest) {
      const cost = packed.length;
      if (!matches(name)) continue;
      if (isSnapshot)
        void session.peer.emit(encodeEnvelope([number], message), cost, "latest", `${number} ${key}`);
      else void session.peer.emit(message, cost, "latest", key);
    }
  }

  function subscribeToSome(
    session: Accepted,
    number: number,
    pattern: string,
    options: Readonly<Record<string, unknown>>,
    isSnapshot: boolean,
  ): void {
    let share: Share;
    try {
      share = new Share(options, (name, values) => {
        const payload = encode(share.isBatched ? values : values[0]);
        const told = share.isBatched ? { batch: values.length } : undefined;
        const message = encodeEnvelope([number], encodeEvent(name, payload), told);
        session.peer.emit(message, payload.length, "session").catch(() => {}); // its session has ended
      });
    } catch (error) {
      const told = `${pattern}: ${(error as Error).message}`;
      session.peer.send(encodeMessage(Message.Subscribed, number, "invalid_payload", told));
      return;
    }
    session.peer.send(encodeMessage(Message.Subscribed, number));
    if (!isSnapshot) {
      const those = shares.get(session) ?? new Map();
      shares.set(session, those.set(number, { pattern, share }));
    }
    const newest = [...latest.values()].filter(({ name }) => matcher(pattern)(name));
    for (const event of new Set(newest.map(({ name }) => name))) {
      const those = newest.filter(({ name }) => name === event);
      share.begin(
        event,
        those.map(({ packed }) => packed),
        those[0]?.fields ?? [],
      );
    }
    if (isSnapshot) share.close();
  }

  /** Give an event to the subscriptions of a session that asked for some. */
  function giveSome(session: Accepted, name: string, packed: Uint8Array, fields: readonly string[]): void {
    for (const { pattern, share } of shares.get(session)?.values() ?? []) {
      if (matcher(pattern)(name)) share.add(name, packed, fields);
    }
  }

  function forgetShares(): void {
    for (const those of shares.values()) for (const { share } of those.values()) share.close();
    shares.clear();
  }

  function isSubscribed({ subscriptions }: Accepted, name: string): boolean {
    return [...subscriptions.values()].some((pattern) => matcher(pattern)(name));
  }

  function ownerOf(session: Accepted): Owner {
    return {
      findHandler: find,
      event(_seq, name, payload, options) {
        listeners.get(name)?.call(decodeSent(payload, bigintsOf.get(name)));
        session.peer.consumed(payload.length);
        for (const other of acceptor.sessions) {
          if (other === session) continue;
          giveSome(other, name, payload, []);
          if (!isSubscribed(other, name)) continue;
          void other.peer.emit(encodeEvent(name, payload, traceOf(options)), payload.length, "session");
        }
      },
      other(_seq, [kind, number, pattern, options]) {
        if (kind === Message.Subscribe) subscribe(session, number as number, pattern as string, options);
        else if (kind === Message.Unsubscribe) {
          session.subscriptions.delete(number as number);
          shares
            .get(session)
            ?.get(number as number)
            ?.share.close();
          shares.get(session)?.delete(number as number);
        } else return kind === Message.Announce || kind === Message.Description;
        return true;
      },
      refused(error) {
        console.error("ionbus: a client refused what the fake broker sent:", error);
      },
    };
  }

  const acceptor = createAcceptor(limits, ownerOf);
  const listener = new MemoryListener(acceptor.accept);

  function connect({
    open = listener.open,
    spread = Math.random,
    ...busOptions
  }: FakeConnectOptions = {}): Bus {
    const connected = createBus(
      { open, spread, mayRenewToken: false },
      { ...busOptions, limits: { ...options.limits, ...busOptions.limits } },
    );
    buses.push(connected);
    return connected;
  }

  function newest(): Accepted {
    const session = acceptor.sessions[acceptor.sessions.length - 1];
    if (session === undefined) throw new ConnectionLost("no client has connected to the fake broker yet");
    return session;
  }

  function request(member: AnyCall | AnyStream, payload: unknown, { timeoutMs, signal, trace }: CallOptions) {
    const { name, raises, idempotent } = member;
    return {
      name,
      payload: encode(payload),
      timeoutMs: timeoutMs === undefined ? member.timeoutMs : timeoutMs,
      signal,
      raises,
      isIdempotent: idempotent,
      trace,
    };
  }

  function answerOf({ bigints }: AnyCall | AnyStream): (payload: Uint8Array) => unknown {
    return (payload) => decodeSent(payload, bigints);
  }

  let bus: Bus | undefined;

  return {
    get bus() {
      bus ??= connect();
      return bus;
    },
    connect,
    accept: acceptor.accept,
    handle(
      { kind, name, raises, bigints }: AnyCall | AnyStream,
      handler: (request: never, context: HandlerContext) => unknown,
    ) {
      const added: Handler = {
        kind,
        name,
        raises,
        decodeRequest: (payload) => decodeSent(payload, bigints),
        encodeAnswer: encode,
        run: handler as Handler["run"], // the overloads vouch for it
        serve,
      };
      handlers.set(name, [added, ...(handlers.get(name) ?? [])]);
      return createSubscription(() => {
        handlers.set(name, handlers.get(name)?.filter((each) => each !== added) ?? []);
      });
    },
    on(event: AnyEvent, listen: (payload: never) => void) {
      if (event.bigints !== undefined) bigintsOf.set(event.name, event.bigints);
      let listening = listeners.get(event.name);
      if (listening === undefined) {
        listening = createListening((error) =>
          console.error(`ionbus: a listener of ${event.name} failed:`, error),
        );
        listeners.set(event.name, listening);
      }
      return listening.add(listen as (payload: unknown) => void);
    },
    async emit({ name, delivery, key: fields }: AnyEvent, payload?: unknown) {
      const packed = encode(payload);
      const message = encodeEvent(name, packed);
      const values = payload as Readonly<Record<string, unknown>>;
      const key =
        delivery === "latest" ? JSON.stringify([name, ...fields.map((field) => values[field])]) : undefined;
      if (key !== undefined) latest.set(key, { name, message, packed, fields });
      for (const session of acceptor.sessions) giveSome(session, name, packed, fields);
      const receivers = acceptor.sessions.filter((session) => isSubscribed(session, name));
      await Promise.all(receivers.map(({ peer }) => peer.emit(message, packed.length, delivery, key)));
    },
    async call(call: AnyCall, payload?: unknown, options: CallOptions = {}) {
      return newest().peer.requests.call(request(call, payload, options), answerOf(call)) as Promise<never>;
    },
    stream(stream: AnyStream, payload?: unknown, options: CallOptions = {}) {
      return newest().peer.requests.stream(
        request(stream, payload, options),
        stream.read,
        answerOf(stream),
      ) as ItemStream<never>;
    },
    cut: () => listener.wire?.cut(),
    restart() {
      forgetShares();
      acceptor.restart();
      listener.wire?.cut("the broker was restarted");
    },
    get isRefusing() {
      return listener.isRefusing;
    },
    set isRefusing(isRefusing) {
      listener.isRefusing = isRefusing;
    },
    get attempts() {
      return listener.attempts;
    },
    async close() {
      forgetShares();
      await Promise.all(buses.map((each) => each.close()));
    },
  };
}

/** The one option that goes on from an event's sender to its receivers. */
function traceOf(options: unknown): { readonly trace: unknown } | undefined {
  const { trace } = (options ?? {}) as { readonly trace?: unknown };
  return trace === undefined ? undefined : { trace };
}

/** The value that a client has sent. */
function decodeSent(payload: Uint8Array, bigints: Bigints | undefined): unknown {
  const value = decode(payload);
  return bigints?.sent === undefined ? value : bigints.sent(value);
}
