/**
 * Joins a connection's engine to its channels, the event loop's timers and the application.
 *
 * Flushing: the first message of a turn asks for a flush in a microtask, behind the code that runs now. When that comes it steps back
 * behind the microtasks that are queued then (continuations of other answers of the same frame, a loop that awaits each `emit`), until
 * nothing was sent for a few steps. So messages of one turn leave in one frame, and a lone message leaves before the event loop
 * turns: a macrotask would make it wait behind whatever is queued, 4 ms in a page's nested timers.
 */

import { createAlarm, now } from "../alarm.js";
import type { Channel, Opener, Receiver } from "../channels/base.js";
import { ConnectionLost, errorFromWire, type IonbusError, isIonbusError, SessionLost } from "../errors.js";
import { FINAL_CODES } from "../generated/errors.js";
import type { Limits } from "../generated/protocol.js";
import type { ConnectionState } from "../generated/states.js";
import { entropy } from "../platform.js";
import {
  Connection,
  type ConnectionEffect,
  type ContractTriple,
  type Missed,
  type Outcome,
  type Welcome,
} from "../session/connection.js";
import type { Entry } from "../session/outbox.js";
import type { Counts, Session } from "../session/session.js";
import { MalformedFrame } from "../wire/frames.js";

/** In a page it tells when the network is back; Node.js does not. */
const page = globalThis as Partial<Pick<EventTarget, "addEventListener" | "removeEventListener">>;

/** Program and version, told to the other side for its log. */
export const AGENT = "ionbus-js/0.1.0";

/** How many steps without a message a flush waits for the next: what awaits in an `async` function comes back after up to three. */
const IDLE_STEPS = 4;

/** How often a flush steps back at most, though messages are still being made. */
const MAX_STEPS = 128;

/** Its `then` is a microtask; Node.js's `queueMicrotask` costs several times as much. */
const SETTLED = Promise.resolve();

/** What WELCOME tells the application's side. */
export interface Welcomed {
  readonly names: readonly string[];
  /** Patterns of what this client has no right to. */
  readonly withheld: readonly string[];
  readonly maxMessageBytes: number | undefined;
}

/** A step from one state of the connection to another. */
export interface StateChange {
  readonly from: ConnectionState;
  readonly to: ConnectionState;
  /** Why, in words; undefined where there is nothing to tell. */
  readonly reason: string | undefined;
  /** Why, as a code of docs/protocol.md, section 9; undefined where there is none. */
  readonly code: string | undefined;
  /** On becoming open: the session goes on, is the first, or is a new one in place of one that was lost. */
  readonly outcome: Outcome | undefined;
  /** Whether the session goes on where it was: nothing was lost, doubled or reordered. */
  readonly resumed: boolean;
  /** Of a session that goes on: how many messages are sent again, since they had not arrived. */
  readonly replayed: number;
  /** Of a lost session: how many of our events may not have arrived. */
  readonly lostEvents: number;
  /** Likewise: how many of our requests were rejected with SessionLost. */
  readonly lostCalls: number;
  /** Likewise: the events for us that we had not acknowledged, by name (others under "*"); undefined where the broker does not know. */
  readonly missed: Missed | undefined;
}

/** Who is above a link. */
export interface Application {
  /** @throws MalformedFrame the message breaks the protocol. */
  delivered(seq: number, message: readonly unknown[]): void;
  rejected(tag: unknown, code: string, message: string): void;
  /** A frame was taken: credit may have come. */
  frameReceived(): void;
  welcomed(welcome: Welcomed): void;
  /** A channel could not be opened, was not greeted, or is lost. */
  attemptFailed(code: string, message: string): void;
  stateChanged(change: StateChange): void;
  replaced(session: Session, code: string, unnumbered: readonly Entry[]): void;
  ended(code: string, message: string): void;
}

export interface Link {
  readonly state: ConnectionState;
  readonly session: Session;
  /** Our events that will never arrive, by name and reason with a space between. */
  readonly dropped: Counts;
  /** Open the first channel. */
  start(): void;
  /** Send what there is at the end of this turn. */
  flushSoon(): void;
  /** Try now, where the next attempt is due later. */
  retry(): void;
  /** Tell of a contract in every HELLO from now on. True: one has left, so this one has to be announced by message. */
  announce(contract: ContractTriple): boolean;
  /** Contracts that the newest HELLO did not tell of. */
  announcedLate(): readonly ContractTriple[];
  close(): void;
}

/** Make a link; nothing happens before `start`. */
export function createLink(
  route: {
    readonly open: Opener;
    readonly mayRenewToken: boolean;
    readonly redirect?: (url: string) => void;
    readonly spread?: () => number;
  },
  limits: Limits,
  application: Application,
): Link {
  const connection = new Connection(
    limits,
    entropy,
    route.spread ?? Math.random,
    AGENT,
    [],
    route.mayRenewToken,
  );
  const alarm = createAlarm(() => {
    const time = now();
    if (connection.deadline() <= time) connection.tick(time);
    settle();
  });
  let channel: Channel | undefined;
  let attempt = 0;
  let announced = 0;
  /** Steps that a flush takes back; 0: none is due. */
  let stepsLeft = 0;
  let idleStepsLeft = 0;
  let isSettling = false;

  /** Open a channel; what comes from an older one is ignored from now on. */
  async function openChannel(): Promise<void> {
    attempt += 1;
    const own = attempt;
    const receiver: Receiver = {
      frameReceived(frame) {
        if (own === attempt) take(frame);
      },
      writable() {
        if (own === attempt) flush();
      },
      closed(_over, code, message) {
        if (own !== attempt) return;
        forgetChannel();
        application.attemptFailed(code, message);
        connection.lost(code, message, now());
        settle();
      },
    };
    if (connection.elsewhere !== undefined) {
      route.redirect?.(connection.elsewhere);
      connection.elsewhere = undefined;
    }
    try {
      const opened = await route.open(receiver);
      if (own !== attempt) {
        opened.channel.close();
        return;
      }
      channel = opened.channel;
      announced = connection.contracts.length;
      connection.opened(opened.token, channel.silenceIsFatal, now());
    } catch (error) {
      if (own !== attempt) return;
      attempt += 1;
      const message = error instanceof Error ? error.message : String(error);
      application.attemptFailed("connection_lost", message);
      if (isFinal(error))
        connection.refused(isIonbusError(error) ? error.code : "connection_lost", message, now());
      else connection.failed(message, now());
    }
    settle();
  }

  /** The network is back: no reason to wait for the next attempt. */
  function retry(): void {
    connection.retry(now());
    settle();
  }

  function forgetChannel(): void {
    attempt += 1;
    channel = undefined;
  }

  function closeChannel(over: boolean, code: string, message: string): void {
    const closing = channel;
    forgetChannel();
    if (closing === undefined) return;
    const time = now();
    // CLOSE leaves also where the channel is behind.
    for (let last = connection.nextFrame(time); last !== undefined; last = connection.nextFrame(time)) {
      closing.send(last);
    }
    closing.close(over, code, message);
  }

  function take(frame: Uint8Array): void {
    connection.receive(frame, now());
    settle();
    application.frameReceived();
    flushSoon();
  }

  /** Do what the engine wants done, then send what it has. */
  function settle(): void {
    if (isSettling) return; // an application that calls back in: the loop below goes on
    isSettling = true;
    try {
      for (let effects = connection.effects(); effects.length > 0; effects = connection.effects()) {
        let problem: string | undefined;
        for (const effect of effects) problem = perform(effect) ?? problem;
        if (problem !== undefined) connection.violated(problem, now());
      }
    } finally {
      isSettling = false;
    }
    flushSoon();
  }

  /** Do one thing; what it gives is how a message breaks the protocol. */
  function perform(effect: ConnectionEffect): string | undefined {
    switch (effect.type) {
      case "delivered":
        try {
          application.delivered(effect.seq, effect.message);
        } catch (error) {
          if (!(error instanceof MalformedFrame)) throw error;
          return error.message;
        }
        break;
      case "rejected":
        application.rejected(effect.tag, effect.code, effect.message);
        break;
      case "open_channel":
        void openChannel();
        break;
      case "close_channel":
        closeChannel(effect.over, effect.code, effect.message);
        application.attemptFailed(effect.code, effect.message);
        break;
      case "state_change": {
        if (effect.outcome !== undefined) {
          if (channel !== undefined) channel.maxFrameBytes = limits.maxFrameBytes;
          application.welcomed(welcomedOf(connection.welcome));
        }
        application.stateChanged({
          from: effect.before,
          to: effect.after,
          reason: effect.reason || undefined,
          code: effect.code || undefined,
          outcome: effect.outcome,
          resumed: effect.outcome === "resumed",
          replayed: effect.replayed,
          lostEvents: effect.lostEvents,
          lostCalls: 0, // known above
          missed: effect.missed,
        });
        break;
      }
      case "session_replaced":
        application.replaced(connection.session, effect.code, effect.unnumbered);
        break;
      case "session_ended":
        alarm.stop();
        page.removeEventListener?.("online", retry);
        application.ended(effect.code, effect.message);
        break;
    }
    return undefined;
  }

  function flush(): void {
    const time = now();
    while (channel?.isWritable) {
      const frame = connection.nextFrame(time);
      if (frame === undefined) break;
      channel.send(frame); // which may tell at once that the channel is gone
    }
    alarm.wantBy(connection.deadline());
  }

  function flushSoon(): void {
    idleStepsLeft = IDLE_STEPS;
    if (stepsLeft > 0) return;
    stepsLeft = MAX_STEPS;
    void SETTLED.then(step);
  }

  function step(): void {
    stepsLeft -= 1;
    idleStepsLeft -= 1;
    if (stepsLeft > 0 && idleStepsLeft > 0) {
      void SETTLED.then(step);
    } else {
      stepsLeft = 0;
      flush();
    }
  }

  return {
    get state() {
      return connection.state;
    },
    get session() {
      return connection.session;
    },
    get dropped() {
      return connection.dropped;
    },
    start() {
      page.addEventListener?.("online", retry);
      settle();
    },
    flushSoon,
    retry,
    announce(contract) {
      connection.contracts.push(contract);
      return announced > 0 || channel !== undefined;
    },
    announcedLate: () => connection.contracts.slice(announced),
    close() {
      flush(); // what was sent before leaves first
      connection.close(now());
      settle();
    },
  };
}

/** Whether there is no sense in trying again after an opener's error. */
function isFinal(error: unknown): boolean {
  if (isIonbusError(error) && (error.code === "not_found" || FINAL_CODES.has(error.code))) return true;
  return typeof error === "object" && error !== null && Reflect.get(error, "isFinal") === true;
}

/** What everything that waits fails with when the connection has ended for good. */
export function endError(code: string, message: string): IonbusError {
  if (code === "closed") return new ConnectionLost(`the bus is closed: ${message}`);
  const error = errorFromWire(code, message);
  return error.constructor === SessionLost || error.name !== "IonbusError"
    ? error
    : new SessionLost(`${message} (${code})`);
}

function welcomedOf(welcome: Welcome | undefined): Welcomed {
  const rights = recordOf(welcome?.rights);
  const { message } = recordOf(welcome?.limits) as { message?: unknown };
  return {
    names: textsOf(welcome?.names) ?? [],
    withheld: textsOf(rights["withheld"]) ?? [],
    maxMessageBytes: typeof message === "number" ? message : undefined,
  };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === "string") : undefined;
}
