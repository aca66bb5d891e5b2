/** A client: its calls, streams, events and handlers, over one session that outlives its channels. */

import { BUILT_IN, type Discontinuity, Ionbus } from "../builtin.js";
import type { Opener } from "../channels/base.js";
import { functionOf, listenerOf, memberOf, milliseconds, type What, wanted } from "../checks.js";
import {
  type AnyCall,
  type AnyEvent,
  type AnyMember,
  type AnyStream,
  type CallDescriptor,
  type ContractNamespace,
  type ContractReference,
  type EventDescriptor,
  isContract,
  membersOf,
  type Source,
  type StreamDescriptor,
} from "../contract.js";
import type { Handler, HandlerContext } from "../dispatch/answers.js";
import { reportListenerError, type Target } from "../dispatch/listeners.js";
import { Peer } from "../dispatch/peer.js";
import type { ItemStream } from "../dispatch/reader.js";
import type { Requests } from "../dispatch/requests.js";
import {
  createListening,
  createSubscription,
  type EventSubscription,
  type Subscription,
} from "../dispatch/subscription.js";
import { errorFromWire, type IonbusError, NotAllowed, NotFound } from "../errors.js";
import type { ListenOptions } from "../events/lifetimes.js";
import type { Given } from "../events/listener.js";
import type { ListenToSome } from "../events/listening.js";
import type { Asked } from "../events/options.js";
import { PatternTable } from "../events/patterns.js";
import { type WaitOptions, waitFor } from "../events/waiting.js";
import * as Message from "../generated/message.js";
import { DEFAULT_LIMITS, type Limits } from "../generated/protocol.js";
import type { ConnectionState } from "../generated/states.js";
import { entropy } from "../platform.js";
import type { Session } from "../session/session.js";
import { startTimer, stopTimer } from "../time.js";
import { toHex } from "../wire/hex.js";
import { encodeEvent, encodeMessage } from "../wire/messages.js";
import { encode } from "../wire/values.js";
import { descriptionOf } from "./description.js";
import type { Interposed, Through } from "./interposed.js";
import { createLink, endError, type StateChange } from "./link.js";
import { createPayloads, type PayloadPart, type Validator, type Validators } from "./payloads.js";
import { createSubscriptions } from "./subscriptions.js";

export type { PayloadPart, StateChange, Validator, Validators };

export interface CallOptions {
  /** How long to wait for the answer, in milliseconds; null: for ever. Default: what the contract says. */
  readonly timeoutMs?: number | null | undefined;
  /** Aborting it gives the call up; it rejects with `CallCancelled`, whose `cause` is the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** The trace that it belongs to, as a W3C traceparent. Default: none, or what a middleware says. */
  readonly trace?: string | undefined;
}

/** What middleware says of a call besides. */
export interface SentOptions extends CallOptions {
  /** The idempotency key of all attempts of one call. */
  readonly key?: string | undefined;
}

export interface EmitOptions {
  /** The trace that it belongs to, as a W3C traceparent. Default: none, or what a middleware says. */
  readonly trace?: string | undefined;
}

/** A payload that may be nothing may be left out. */
export type RequestArguments<Request> = null extends Request
  ? [request?: Request | undefined, options?: CallOptions | undefined]
  : [request: Request, options?: CallOptions | undefined];

/** What a handler gives; where nothing is answered, it may return nothing. */
export type Answered<Response> = OrNothing<Response> | PromiseLike<OrNothing<Response>>;
// biome-ignore lint/suspicious/noConfusingVoidType: what a function without `return` returns
type OrNothing<Response> = null extends Response ? Response | void : Response;

export interface BusOptions {
  /** Contracts to announce at once; others are when first used. */
  readonly contracts?: readonly ContractNamespace[] | undefined;
  /** What to check payloads with, sent and received. Default: the generated types are trusted. */
  readonly validators?: Validators | undefined;
  /** Other bounds than the default ones. */
  readonly limits?: Partial<Limits> | undefined;
  /** What everything passes that is sent and received: `compose(…)` of `ionbus/middleware`. Default: nothing. */
  readonly middleware?: Interposed | undefined;
}

export interface Bus {
  readonly state: ConnectionState;
  /** How many of this client's events never reached the broker, and how many middleware dropped, by name and reason (docs/delivery.md). */
  readonly dropped: Readonly<Record<string, Readonly<Record<string, number>>>>;

  /** Listen. Listeners are started in order; one that returns a promise does not make others wait. */
  readonly on: ListenToSome<EventSubscription>;
  /** Listen to the next only: closed before it is called. */
  readonly once: ListenToSome<EventSubscription>;
  /** Close what was added for exactly this: all, or one listener's. Gives how many subscriptions. */
  off(what: What, listener?: ((value: never) => unknown) | undefined): number;
  /**
   * Wait for the next event.
   *
   * @throws DOMException "TimeoutError"; @throws CallCancelled given up; @throws the error with which the session ended.
   */
  waitFor<Name extends string, Payload, Sent, By extends Source>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    options?: WaitOptions<NoInfer<Payload>> | undefined,
  ): Promise<Payload>;

  /**
   * Publish an event. Resolves when it is accepted: valid, permitted, and in credit.
   *
   * @throws InvalidPayload; @throws NotAllowed the broker's event, or no right to it.
   */
  emit<Name extends string, Payload, Sent>(
    event: EventDescriptor<Name, Payload, Sent, "client" | "any">,
    ...payload: null extends Sent
      ? [payload?: Sent, options?: EmitOptions | undefined]
      : [payload: Sent, options?: EmitOptions | undefined]
  ): Promise<void>;

  /**
   * Call the broker.
   *
   * @throws the errors that the call declares; @throws CallTimeout, CallCancelled, SessionLost, InvalidPayload, …
   */
  call<Name extends string, Request, Response>(
    call: CallDescriptor<Name, Request, Response, "broker">,
    ...request: RequestArguments<NoInfer<Request>>
  ): Promise<Response>;

  /** Ask the broker for a stream; it is asked for at once, and ends when the loop over it is left. */
  stream<Name extends string, Request, Item>(
    stream: StreamDescriptor<Name, Request, Item, "broker">,
    ...request: RequestArguments<NoInfer<Request>>
  ): ItemStream<Item>;

  /** Answer a call that the broker makes. @throws NotAllowed it has a handler already. */
  handle<Name extends string, Request, Response>(
    call: CallDescriptor<Name, Request, Response, "client">,
    handler: (request: Request, context: HandlerContext) => Answered<NoInfer<Response>>,
  ): Subscription;
  /** Answer a stream that the broker asks for. @throws NotAllowed it has a handler already. */
  handle<Name extends string, Request, Item>(
    stream: StreamDescriptor<Name, Request, Item, "client">,
    handler: (request: Request, context: HandlerContext) => AsyncIterable<Item>,
  ): Subscription;

  /** Be told of each change of the connection's state. */
  onState(listener: (change: StateChange) => void): Subscription;
  /** Be told what the broker refused later: an event, a subscription. Without a listener it goes to the console. */
  onError(listener: (refused: IonbusError) => void): Subscription;
  /** Try now instead of after the wait: the network is back, or the user asks for it. */
  reconnect(): void;
  /** End the session, once events that were accepted have left. What still waits is rejected. */
  close(): Promise<void>;
}

/** What finds a channel at each attempt, and whether it also finds a new token. */
export interface Route {
  readonly open: Opener;
  readonly mayRenewToken: boolean;
  /** A broker that stops says where to go on; only WebSocket can. */
  readonly redirect?: (url: string) => void;
  /** A number from 0 to below 1 each time, for the spread of retries. Default: `Math.random`. */
  readonly spread?: () => number;
}

/** By which `ionbus/metrics` looks into a bus: with all of it there, a page that does not ask carries none of it. */
export const FACTS: unique symbol = Symbol.for("ionbus.facts");

/** What `metrics` asks. */
export interface Known {
  [FACTS](): readonly [session: Session, requests: Requests];
}

/** Make a bus over what `route` opens. */
export function createBus(route: Route, options: BusOptions = {}): Bus {
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { validators = {}, middleware } = options;
  const { members, learn, pack, unpack } = createPayloads(validators);
  const handlers = new Map<string, Handler>();
  const contracts = new Set<ContractReference>();
  const stateListeners = createListening<StateChange>((error) => reportListenerError("the state", error));
  const errorListeners = createListening<IonbusError>((error) => reportListenerError("refusals", error));
  let lostCalls = 0;
  let isWithheld = anyOf([]);
  let through: Through = (targets) => targets;

  const link = createLink(route, limits, {
    delivered: (seq, message) => peer.receive(seq, message),
    rejected: (tag, code, message) => peer.rejected(tag, code, message),
    frameReceived: () => peer.creditChanged(),
    welcomed(welcome) {
      peer.maxMessageBytes = welcome.maxMessageBytes ?? limits.maxMessageBytes;
      peer.names = welcome.names;
      peer.disconnected = undefined;
      isWithheld = anyOf(welcome.withheld);
      peer.creditChanged();
    },
    attemptFailed(code, message) {
      peer.disconnected = message || code;
    },
    stateChanged(told) {
      const change = told.outcome === "lost" ? { ...told, lostCalls } : told;
      if (change.outcome === "lost") tellOfDiscontinuity(change);
      stateListeners.call(change);
    },
    replaced(session, code, unnumbered) {
      lostCalls = peer.replace(session, unnumbered, lostWith(code), renew);
    },
    ended(code, message) {
      const error = endError(code, message);
      peer.end(error);
      subscriptions.end(error);
    },
  });

  const peer = new Peer(
    {
      findHandler(name, kind) {
        const handler = handlers.get(name);
        if (handler !== undefined && handler.kind === kind) return handler;
        return new NotFound(`${name}: no ${kind} by this name is handled here`);
      },
      event(seq, name, payload, eventOptions) {
        arrive(seq, name, payload, subscriptions.matching(name), eventOptions);
      },
      other(seq, message) {
        const [kind, first, second, third] = message;
        if (kind === Message.Envelope) {
          const [, name, payload, eventOptions] = second as [number, string | number, Uint8Array, unknown];
          arrive(seq, peer.nameOf(name), payload, subscriptions.under(first as number[]), eventOptions);
          return true;
        }
        if (kind === Message.Describe) {
          for (const fingerprint of first as string[]) void tellDescription(fingerprint);
          return true;
        }
        if (kind !== Message.Subscribed) return false;
        const error =
          typeof second === "string"
            ? errorFromWire(second, typeof third === "string" ? third : "")
            : undefined;
        subscriptions.answered(first as number, error);
        if (error !== undefined) refused(error);
        return true;
      },
      refused,
    },
    link.session,
    link.flushSoon,
    limits,
    toHex(entropy(8)),
  );

  const subscriptions = createSubscriptions(peer, (name, payload, isBatch) =>
    unpack(name, "event", payload, isBatch),
  );

  for (const contract of options.contracts ?? []) useContract(contract);
  link.start();

  function arrive(
    seq: number,
    name: string,
    payload: Uint8Array,
    targets: readonly Target[],
    eventOptions: unknown,
  ): void {
    if (targets.length === 0) peer.consumed(payload.length);
    else peer.listeners.arrive(seq, name, payload, through(targets, eventOptions));
  }

  /** Wait until what was accepted has left, a while at most: past it, or if the session ends first, it is lost with the session. */
  async function allLeft(session: Session): Promise<void> {
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = startTimer(resolve, CLOSING_MS);
    });
    const left = peer.until(() => session.unnumbered().length === 0).catch(() => undefined);
    await Promise.race([left, late]);
    stopTimer(timer);
  }

  function refused(error: IonbusError): void {
    if (errorListeners.size === 0) console.error("ionbus: refused by the broker:", error);
    errorListeners.call(error);
  }

  /** Publish, to our own listeners, that what comes next does not follow on what came before. */
  function tellOfDiscontinuity({ code, missed, lostEvents }: StateChange): void {
    const { name } = Ionbus.discontinuity;
    const payload: Discontinuity = {
      reason: code ?? "unknown",
      missed: missed ?? null,
      lost_events: lostEvents,
      lost_calls: lostCalls,
    };
    const targets = subscriptions.matching(name);
    if (targets.length > 0) peer.listeners.arriveFromHere(name, encode(payload), through(targets));
  }

  function lostWith(code: string): IonbusError {
    return errorFromWire("session_lost", `the session was lost (${code}) before this was answered`);
  }

  function announce(contract: ContractReference): void {
    if (contracts.has(contract) || contract === BUILT_IN) return;
    contracts.add(contract);
    const { name, version, fingerprint } = contract;
    if (link.announce([name, version, fingerprint])) {
      peer.send(encodeMessage(Message.Announce, [[name, version, fingerprint]]));
    }
  }

  /** A member is used: announce its contract, and learn what its payloads hold. */
  function use(member: AnyMember): void {
    announce(member.contract);
    learn(member);
  }

  function useContract(contract: ContractNamespace): void {
    announce(contract.__contract__);
    membersOf(contract).forEach(learn);
  }

  async function tellDescription(fingerprint: string): Promise<void> {
    const description = await descriptionOf(contracts, fingerprint);
    if (peer.endedWith !== undefined) return;
    peer.send(encodeMessage(Message.Description, fingerprint, description));
  }

  /** Say to a new session what the old one knew. */
  function renew(): void {
    const late = link.announcedLate();
    if (late.length > 0) peer.send(encodeMessage(Message.Announce, late));
    subscriptions.renew();
  }

  function listen(
    where: string,
    what: What,
    listener: Given,
    listenOptions: ListenOptions & Asked = {},
    isOnce = false,
    closed = () => {},
  ): EventSubscription {
    const asked = wanted(what, where);
    listenerOf(listener, where);
    if (isContract(what)) useContract(what);
    else if (typeof what !== "string") use(what);
    return subscriptions.listen(asked, listener, listenOptions, isOnce, closed);
  }

  function request(
    member: AnyCall | AnyStream,
    payload: unknown,
    { timeoutMs, signal, trace, key }: SentOptions,
  ) {
    const { name, servedBy, raises, idempotent } = member;
    use(member);
    if (servedBy === "client") throw new NotAllowed(`${name}: is served by clients; the broker calls it`);
    if (isWithheld(name)) throw new NotAllowed(`${name}: the broker gave no right to use it`);
    return {
      name,
      payload: pack(name, "request", payload),
      timeoutMs: milliseconds(name, timeoutMs === undefined ? member.timeoutMs : timeoutMs),
      signal,
      raises,
      isIdempotent: idempotent,
      key,
      trace,
    };
  }

  const bus: Bus & Known = {
    [FACTS]: () => [link.session, peer.requests],
    get state() {
      return link.state;
    },
    get dropped() {
      const names: Record<string, Record<string, number>> = {};
      for (const [what, times] of link.dropped) {
        const [name, reason] = what.split(" ") as [string, string];
        names[name] = { ...names[name], [reason]: times };
      }
      return names;
    },
    on: (what: What, listener: Given, listenOptions?: ListenOptions & Asked) =>
      listen("bus.on", what, listener, listenOptions),
    once: (what: What, listener: Given, listenOptions?: ListenOptions & Asked) =>
      listen("bus.once", what, listener, listenOptions, true),
    off: (what, listener) => subscriptions.off(wanted(what, "bus.off"), listener),
    waitFor: (event, waitOptions) =>
      waitFor(
        memberOf(event, "event", "bus.waitFor").name,
        (listener, listenOptions, closed) => {
          const ended = (): void => closed(peer.endedWith);
          const subscription = listen("bus.waitFor", event, listener, listenOptions, false, ended);
          subscription.confirmed().catch(closed);
          return subscription;
        },
        waitOptions,
      ),
    emit(event: AnyEvent, payload?: unknown, { trace }: EmitOptions = {}): Promise<void> {
      try {
        const { name, source, delivery, key } = memberOf(event, "event", "bus.emit");
        use(event);
        if (source === "broker") throw new NotAllowed(`${name}: is published by the broker only`);
        if (isWithheld(name)) throw new NotAllowed(`${name}: the broker gave no right to publish it`);
        const packed = pack(name, "event", payload);
        const latest = delivery === "latest" ? `${name} ${keyOf(payload, key)}` : undefined;
        const message = encodeEvent(name, packed, trace === undefined ? trace : { trace });
        return peer.emit(message, packed.length, delivery, latest);
      } catch (error) {
        return Promise.reject(error);
      }
    },
    call(call: AnyCall, payload?: unknown, callOptions: CallOptions = {}) {
      try {
        const { name } = memberOf(call, "call", "bus.call");
        // The result's type is the descriptor's.
        return peer.requests.call(
          request(call, payload, callOptions),
          (result) => unpack(name, "answer", result) as never,
        );
      } catch (error) {
        return Promise.reject(error);
      }
    },
    stream(stream: AnyStream, payload?: unknown, callOptions: CallOptions = {}) {
      const { name, read } = memberOf(stream, "stream", "bus.stream");
      return peer.requests.stream(
        request(stream, payload, callOptions),
        read,
        (item) => unpack(name, "answer", item) as never,
      );
    },
    handle(
      member: AnyCall | AnyStream,
      handler: (request: never, context: HandlerContext) => unknown,
    ): Subscription {
      const expected = member?.kind === "stream" ? "stream" : "call";
      const { kind, name, servedBy, raises, serve } = memberOf(member, expected, "bus.handle");
      functionOf(handler, `bus.handle: ${name}`);
      if (servedBy !== "client")
        throw new NotAllowed(`${name}: is served by the broker; a client cannot handle it`);
      if (serve === undefined)
        throw new TypeError(`${name}: its descriptor has no \`serve\`; generate it again`);
      if (handlers.has(name)) throw new NotAllowed(`${name}: has a handler already; close that one first`);
      use(member);
      const added: Handler = {
        kind,
        name,
        raises,
        decodeRequest: (payload) => unpack(name, "request", payload),
        encodeAnswer: (value) => pack(name, "answer", value),
        run: handler as Handler["run"], // the overloads vouch for it
        serve,
      };
      handlers.set(name, added);
      return createSubscription(() => {
        if (handlers.get(name) === added) handlers.delete(name);
      });
    },
    onState: (listener) => stateListeners.add(functionOf(listener, "bus.onState")),
    onError: (listener) => errorListeners.add(functionOf(listener, "bus.onError")),
    reconnect: link.retry,
    async close() {
      const { session } = link;
      if (link.state === "open" && session.unnumbered().length > 0) await allLeft(session);
      link.close();
    },
  };
  const interposed = middleware?.interpose({ bus, members, validators });
  if (interposed === undefined) return bus;
  through = interposed.through;
  return interposed.bus;
}

/** How long `close` waits for what was accepted to leave, in milliseconds. */
const CLOSING_MS = 2_000;

function keyOf(payload: unknown, fields: readonly string[]): string {
  const values = payload as Record<string, unknown> | null | undefined;
  return fields.map((field) => toHex(encode(values?.[field] ?? null))).join(" ");
}

function anyOf(patterns: readonly string[]): (name: string) => boolean {
  const table = new PatternTable<string>();
  for (const pattern of patterns) table.add(pattern, pattern);
  return (name) => table.matching(name).length > 0;
}
