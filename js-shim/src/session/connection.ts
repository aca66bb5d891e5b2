/**
 * The client's connection: greeting, resume, states and retry around a `Session` (docs/protocol.md, section 8).
 *
 * Pure, like the session: inputs come with the time, `effects` says what to do, `nextFrame` what to send.
 */

import * as Frame from "../generated/frame.js";
import { type Limits, VERSION } from "../generated/protocol.js";
import type { ConnectionState, Effect, Input } from "../generated/states.js";
import {
  closeFields,
  decodeFrame,
  encodeClose,
  encodeControl,
  greetingMap,
  isMap,
  isUint,
  MalformedFrame,
  shortened,
} from "../wire/frames.js";
import { nameOf } from "../wire/refusal.js";
import type { Entry } from "./outbox.js";
import {
  type Counts,
  type Credit,
  count,
  type Delivered,
  type Rejected,
  Session,
  type Violation,
} from "./session.js";
import { StateMachine, shown } from "./states.js";

/** What became of the session at a WELCOME: it goes on, it is the first, or it is a new one in place of one that ended. */
export type Outcome = "resumed" | "fresh" | "lost";

/** Open a channel; answer with `opened` or `failed`. */
export interface OpenChannel {
  readonly type: "open_channel";
}

/** Send what `nextFrame` still gives, then close the channel, if there is one; what comes from it later is to be ignored. */
export interface CloseChannel {
  readonly type: "close_channel";
  readonly code: string;
  readonly message: string;
  readonly over: boolean;
}

/** The public state is another. */
export interface StateChange {
  readonly type: "state_change";
  readonly before: ConnectionState;
  readonly after: ConnectionState;
  /** Why, as a code of docs/protocol.md, section 9. */
  readonly code: string;
  /** Why, in words. */
  readonly reason: string;
  /** Where a WELCOME made it so: what became of the session. */
  readonly outcome: Outcome | undefined;
  /** Of a session that was resumed: how many elements are sent again, since they had not arrived. */
  readonly replayed: number;
  /** Of a session that was lost: how many events of ours may not have arrived. */
  readonly lostEvents: number;
  /** Likewise: the events for us that we had not acknowledged, by name; undefined where the broker does not know. */
  readonly missed: Missed | undefined;
}

/** How many events, by name; others under "*". */
export type Missed = Readonly<Record<string, number>>;

/** The old session ended (`code`); `Connection.session` is new. Make subscriptions again, then send `unnumbered` as far as it still has sense. */
export interface SessionReplaced {
  readonly type: "session_replaced";
  readonly code: string;
  readonly unnumbered: readonly Entry[];
  readonly lostEvents: number;
  readonly missed: Missed | undefined;
}

/** It is over for good: everything that waits fails with this code. */
export interface SessionEnded {
  readonly type: "session_ended";
  readonly code: string;
  readonly message: string;
}

export type ConnectionEffect =
  | OpenChannel
  | CloseChannel
  | StateChange
  | SessionReplaced
  | SessionEnded
  | Delivered
  | Rejected;

/** Name, version and fingerprint of a contract. */
export type ContractTriple = readonly [name: string, version: string, fingerprint: string];

/** The map of WELCOME (docs/protocol.md, section 8.2): what is needed was checked, the rest was not. */
export interface Welcome {
  readonly session: Uint8Array;
  readonly epoch: Uint8Array;
  readonly secret: Uint8Array;
  readonly received: number;
  readonly credit: readonly [number, number];
  readonly heartbeat: readonly [number, number];
  readonly reason?: string | null;
  readonly missed?: Missed | null;
  readonly limits?: unknown;
  readonly contracts?: unknown;
  readonly names?: unknown;
  readonly rights?: unknown;
}

const NEVER = Number.POSITIVE_INFINITY;

/** A client's session with its greeting, retries and states. */
export class Connection {
  readonly #limits: Limits;
  readonly #entropy: (count: number) => Uint8Array;
  readonly #random: () => number;
  readonly #agent: string;
  readonly #mayRenewToken: boolean;
  /** Announced in HELLO; may grow. */
  readonly contracts: ContractTriple[];
  readonly #machine = new StateMachine();
  #waitingEffects: ConnectionEffect[] = [{ type: "open_channel" }];
  /** HELLO and CLOSE: what does not belong to the session. */
  #frames: Uint8Array[] = [];

  session: Session;
  #sessionId: Uint8Array;
  #secret: Uint8Array;
  #fresh: readonly [id: Uint8Array, secret: Uint8Array] | undefined = undefined;
  #attempt = 0;
  /** By the newest HELLO; undefined where that was of a session that is gone. */
  #creditTold: Credit | undefined = undefined;
  /** The broker's epoch, once there was a WELCOME. */
  epoch: Uint8Array | undefined = undefined;
  /** The newest WELCOME. */
  welcome: Welcome | undefined = undefined;
  /** The URL that a stopping broker sent us to; whoever opens channels takes it from here. */
  elsewhere: string | undefined = undefined;
  /** Our events of sessions that were replaced, which will never arrive. */
  readonly #droppedBefore: Counts = new Map();

  #token: string | undefined = undefined;
  #silenceIsFatal = false;
  #failures = 0;
  #retryAfter = 0;
  #retryAt = NEVER;
  #greetingEnds = NEVER;
  #stableAt = NEVER;

  /**
   * @param limits - bounds and times of this side.
   * @param entropy - gives so many random bytes, from a cryptographic source.
   * @param random - a number in [0, 1), for the spread of retries.
   * @param agent - program and version, for the other side's log.
   * @param contracts - each contract to announce; may grow.
   * @param mayRenewToken - the token is asked for anew at each attempt, so that a refused one is no reason to give up.
   */
  constructor(
    limits: Limits,
    entropy: (count: number) => Uint8Array,
    random: () => number,
    agent: string,
    contracts: readonly ContractTriple[] = [],
    mayRenewToken = false,
  ) {
    this.#limits = limits;
    this.#entropy = entropy;
    this.#random = random;
    this.#agent = agent;
    this.#mayRenewToken = mayRenewToken;
    this.contracts = [...contracts];
    this.session = new Session(limits);
    this.#sessionId = entropy(16);
    this.#secret = entropy(32);
  }

  /** What `bus.state` shows. */
  get state(): ConnectionState {
    return this.#machine.shown;
  }

  /** The session's id. */
  get id(): Uint8Array {
    return this.#sessionId;
  }

  /** Our events that will never arrive, by name and reason with a space between, over all sessions. */
  get dropped(): Counts {
    const total: Counts = new Map(this.#droppedBefore);
    for (const [what, times] of this.session.dropped) total.set(what, (total.get(what) ?? 0) + times);
    return total;
  }

  // Inputs.

  /** The channel is open. `token`: for HELLO. `silenceIsFatal`: whether a silent channel is given up. */
  opened(token: string | undefined, silenceIsFatal: boolean, now: number): void {
    this.#token = token;
    this.#silenceIsFatal = silenceIsFatal;
    this.#take("opened", now);
  }

  /** The channel could not be opened. */
  failed(reason: string, now: number): void {
    this.#take("failed", now, "connection_lost", reason);
  }

  /** The channel has ended by itself. */
  lost(code: string, reason: string, now: number): void {
    this.#take("lost", now, code, reason);
  }

  /** There is no sense in trying again: for whoever opens channels and knows so. */
  refused(code: string, message: string, now: number): void {
    this.#take("refused", now, code, message);
  }

  /** Try now: the platform says that the network is back. */
  retry(now: number): void {
    this.#take("retry", now);
  }

  /** End the session and the connection for good. */
  close(now: number, message = "closed by the application"): void {
    this.#take("close", now, "closed", message);
  }

  /** A frame has arrived on the channel. */
  receive(frame: Uint8Array, now: number): void {
    try {
      const decoded = decodeFrame(frame);
      if (this.#machine.state === "unresponsive") this.#take("heard", now);
      if (decoded[0] === Frame.Close) {
        this.#receiveClose(decoded, now);
      } else if (this.#machine.state.endsWith(".greeting")) {
        this.#receiveWelcome(decoded, now);
      } else {
        for (const arrival of this.session.receive(decoded, frame.length, now)) {
          if (arrival.type === "violation") this.#giveUp(arrival, now);
          else this.#waitingEffects.push(arrival);
        }
      }
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw error;
      this.#giveUp(this.session.violation(error.message), now);
    }
  }

  /** What `effects` gave breaks the protocol, says whoever understands it. */
  violated(message: string, now: number): void {
    this.#giveUp(this.session.violation(message), now);
  }

  /** Call at `deadline`, then ask `effects` and `nextFrame`. */
  tick(now: number): void {
    if (now >= this.#retryAt) {
      this.#take("retry", now);
    } else if (now >= this.#greetingEnds) {
      this.#take("failed", now, "handshake_timeout", `no WELCOME within ${this.#limits.handshakeMs} ms`);
    }
    if (now >= this.#stableAt) {
      this.#stableAt = NEVER;
      this.#failures = 0;
    }
    if (this.session.tick(now) === "silent") {
      const reason = `nothing heard for ${this.welcome?.heartbeat[1]} ms`;
      this.#take(this.#silenceIsFatal ? "dead" : "silent", now, "connection_lost", reason);
    }
  }

  // Outputs.

  /** What to do, in order, since the last call. */
  effects(): ConnectionEffect[] {
    if (this.#waitingEffects.length === 0) return NO_EFFECTS;
    const effects = this.#waitingEffects;
    this.#waitingEffects = [];
    return effects;
  }

  /** What to send now; call again until it gives undefined, while the channel is writable. */
  nextFrame(now: number): Uint8Array | undefined {
    return this.#frames.length > 0 ? this.#frames.shift() : this.session.nextFrame(now);
  }

  /** When `tick` wants to be called: milliseconds, or infinity. */
  deadline(): number {
    return Math.min(this.#retryAt, this.#greetingEnds, this.#stableAt, this.session.deadline());
  }

  // Inside.

  #take(
    given: Input,
    now: number,
    code = "",
    reason = "",
    outcome: Outcome | undefined = undefined,
    replaced: SessionReplaced | undefined = undefined,
  ): void {
    const before = this.#machine.state;
    const effects = this.#machine.take(given);
    const after = this.#machine.state;
    if (before === after) return;
    this.#retryAt = NEVER;
    this.#greetingEnds = NEVER;
    if (after !== "unresponsive" && after !== "open") this.#stableAt = NEVER;
    for (const effect of effects) this.#obey(effect, now, code, reason);
    if (shown(before) !== shown(after) || outcome !== undefined) {
      this.#waitingEffects.push({
        type: "state_change",
        before: shown(before),
        after: shown(after),
        code,
        reason,
        outcome,
        replayed: outcome === "resumed" ? this.session.replayed : 0,
        lostEvents: replaced?.lostEvents ?? 0,
        missed: replaced?.missed,
      });
    }
  }

  #obey(effect: Effect, now: number, code: string, reason: string): void {
    switch (effect) {
      case "open_channel":
        this.#waitingEffects.push({ type: "open_channel" });
        break;
      case "drop_channel":
        this.#waitingEffects.push({ type: "close_channel", code, message: reason, over: false });
        break;
      case "say_close":
        this.#frames.push(encodeClose("closed", reason, { final: true, over: true }));
        this.session.detach();
        this.#waitingEffects.push({ type: "close_channel", code, message: reason, over: true });
        break;
      case "send_hello":
        this.#greetingEnds = now + this.#limits.handshakeMs;
        this.#frames = [this.#hello()];
        break;
      case "attach":
        this.#stableAt = now + this.#limits.stableMs;
        break;
      case "detach":
        this.session.detach();
        this.#frames = [];
        break;
      case "wait":
        this.#retryAt = now + this.#delay();
        break;
      case "end":
        for (const name of this.session.undelivered()) count(this.session.dropped, `${name} ${code}`);
        this.#waitingEffects.push({ type: "session_ended", code, message: reason });
        break;
    }
  }

  /** Exponential with full jitter, capped (docs/protocol.md, section 8.6); what CLOSE asked for at least. */
  #delay(): number {
    const { retryBaseMs, retryCapMs } = this.#limits;
    const ceiling = Math.min(retryCapMs, retryBaseMs * 2 ** Math.min(this.#failures, 30));
    this.#failures++;
    const asked = this.#retryAfter;
    this.#retryAfter = 0;
    return asked + this.#random() * ceiling;
  }

  #hello(): Uint8Array {
    this.#attempt++;
    this.#creditTold = this.session.granted;
    if (this.epoch !== undefined) this.#fresh ??= [this.#entropy(16), this.#entropy(32)];
    return encodeControl(Frame.Hello, {
      protocol: VERSION,
      agent: this.#agent,
      session: this.#sessionId,
      secret: this.#secret,
      attempt: this.#attempt,
      received: this.session.received,
      credit: this.session.granted,
      limits: { message: this.#limits.maxMessageBytes },
      contracts: this.contracts,
      epoch: this.epoch,
      fresh: this.epoch === undefined ? undefined : this.#fresh,
      token: this.#token,
    });
  }

  #receiveWelcome(frame: readonly unknown[], now: number): void {
    if (frame[0] !== Frame.Welcome) throw new MalformedFrame(`frame kind ${frame[0]} before WELCOME`);
    const welcome = checkedWelcome(greetingMap(frame));
    const wasWelcomed = this.epoch !== undefined;
    let replaced: SessionReplaced | undefined;
    if (!isSame(welcome.session, this.#sessionId)) {
      if (this.#fresh === undefined || !isSame(welcome.session, this.#fresh[0])) {
        throw new MalformedFrame("WELCOME names another session than HELLO");
      }
      replaced = {
        type: "session_replaced",
        code: welcome.reason || "unknown",
        unnumbered: this.session.unnumbered(),
        lostEvents: this.session.unacknowledgedEvents,
        missed: welcome.missed ?? undefined,
      };
      for (const [what, times] of this.dropped) this.#droppedBefore.set(what, times);
      for (const name of this.session.unacknowledged())
        count(this.#droppedBefore, `${name} ${replaced.code}`);
      this.session = new Session(this.#limits);
      this.#sessionId = this.#fresh[0];
      this.#creditTold = undefined;
    }
    this.session.setHeartbeat(...welcome.heartbeat);
    this.session.attach(welcome.received, welcome.credit, now);
    if (this.session.granted !== this.#creditTold) this.session.tellCredit();
    this.#secret = welcome.secret;
    this.#fresh = undefined;
    this.epoch = welcome.epoch;
    this.welcome = welcome;
    if (replaced !== undefined) {
      this.#waitingEffects.push(replaced);
      this.#take("welcomed", now, replaced.code, "the session was replaced", "lost", replaced);
    } else {
      this.#take("welcomed", now, "", "", wasWelcomed ? "resumed" : "fresh");
    }
  }

  #receiveClose(frame: readonly unknown[], now: number): void {
    const [code, message, options] = closeFields(frame);
    if (options["final"] === true && !(code === "unauthenticated" && this.#mayRenewToken)) {
      this.#take("refused", now, code, message);
      return;
    }
    if (options["over"] === true) {
      this.#fresh = undefined; // if it was refused, the broker remembers it as ended: offer another
      if (this.epoch === undefined) {
        // No WELCOME has named an epoch, so HELLO offers none: begin anew under another id.
        this.#sessionId = this.#entropy(16);
        this.#secret = this.#entropy(32);
        this.#attempt = 0;
      }
    }
    const { elsewhere } = options;
    this.elsewhere = typeof elsewhere === "string" ? elsewhere : undefined;
    const after = options["retry_after"];
    this.#retryAfter = isUint(after) ? after : 0;
    this.#waitingEffects.push({ type: "close_channel", code, message, over: false });
    this.#take("lost", now, code, message);
  }

  /** Say so and give the channel up; the session lives on, unless it was the second time without progress. */
  #giveUp(violation: Violation, now: number): void {
    const { code, message, over } = violation;
    const frames = [encodeClose(code, message, over ? { over: true } : {})];
    this.#waitingEffects.push({ type: "close_channel", code, message, over });
    this.#take("lost", now, code, message);
    this.#frames = frames;
  }
}

const NO_EFFECTS: ConnectionEffect[] = [];

/** Which fields of WELCOME are looked at, and what they have to be. */
const WELCOME: Readonly<Record<string, (value: unknown) => boolean>> = {
  protocol: (value) => value === VERSION,
  session: (value) => isId(value, 16),
  epoch: (value) => isId(value, 16),
  secret: (value) => isId(value, 32),
  received: isUint,
  credit: isPair,
  reason: (value) => typeof (value ?? "") === "string",
  missed: (value) => areCounts(value ?? {}),
  heartbeat: (value) => isPair(value) && Math.min(...value) > 0,
};

/** Throw MalformedFrame unless the fields that are needed are there, of their types. */
function checkedWelcome(welcome: Readonly<Record<string, unknown>>): Welcome {
  for (const [name, isRight] of Object.entries(WELCOME)) {
    if (!isRight(welcome[name]))
      throw new MalformedFrame(`WELCOME: ${name} is missing or wrong: ${told(welcome[name])}`);
  }
  return welcome as unknown as Welcome; // its fields were checked one by one
}

/** A value of the other side's, for a message: what is no scalar may not let itself be made a text. */
function told(value: unknown): string {
  return typeof value === "object" && value !== null ? nameOf(value) : shortened(String(value), 60);
}

function areCounts(value: unknown): boolean {
  return isMap(value) && Object.values(value).every(isUint);
}

/** Whether `value` is a byte string of `size` bytes. */
export function isId(value: unknown, size: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length === size;
}

/** Whether `value` is an array of two uints. */
export function isPair(value: unknown): value is readonly [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(isUint);
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
