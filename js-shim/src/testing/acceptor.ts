/**
 * The broker's side of sessions, as little of it as tests need: it opens and resumes them over memory channels with the
 * real engine. It checks neither tokens nor secrets, and ends no session for its absence.
 */

import { type Alarm, createAlarm, now } from "../alarm.js";
import type { Accept, Channel } from "../channels/base.js";
import { type Owner, Peer } from "../dispatch/peer.js";
import { ConnectionLost } from "../errors.js";
import * as Frame from "../generated/frame.js";
import type { Limits } from "../generated/protocol.js";
import { entropy } from "../platform.js";
import { type Credit, Session } from "../session/session.js";
import { decodeFrame, encodeClose, encodeControl, greetingMap, MalformedFrame } from "../wire/frames.js";
import { toHex } from "../wire/hex.js";

/** One client's session. */
export interface Accepted {
  readonly peer: Peer;
  /** Pattern by the client's number for it. */
  readonly subscriptions: Map<number, string>;
}

export interface Acceptor {
  /** The broker's end of each channel. */
  readonly accept: Accept;
  readonly sessions: readonly Accepted[];
  /** Forget every session and be another process: clients that return are told so. */
  restart(): void;
}

interface Live extends Accepted {
  readonly id: string;
  readonly engine: Session;
  readonly alarm: Alarm;
  readonly flush: () => void;
  channel: Channel | undefined;
}

/** @param ownerOf - who a new session belongs to. */
export function createAcceptor(limits: Limits, ownerOf: (session: Accepted) => Owner): Acceptor {
  let live = new Map<string, Live>();
  /** The codes with which sessions of this epoch have ended. */
  let ended = new Map<string, string>();
  let epoch = entropy(16);

  /** Why a session that a client had is not resumed. */
  function reasonFor(id: Uint8Array, itsEpoch: Uint8Array): string {
    return toHex(itsEpoch) === toHex(epoch) ? (ended.get(toHex(id)) ?? "unknown") : "new_epoch";
  }

  function createLive(id: string): Live {
    const engine = new Session(limits);
    const alarm = createAlarm(() => {
      engine.tick(now());
      flush();
    });
    let isDue = false;
    function flush(): void {
      isDue = false;
      while (session.channel?.isWritable) {
        const frame = engine.nextFrame(now());
        if (frame === undefined) break;
        session.channel.send(frame);
      }
      if (session.channel !== undefined) alarm.wantBy(engine.deadline());
    }
    function flushSoon(): void {
      if (isDue) return;
      isDue = true;
      queueMicrotask(flush);
    }
    const owner: Owner = {
      findHandler: (name, kind) => ownerOf(session).findHandler(name, kind),
      event: (...event) => ownerOf(session).event(...event),
      other: (seq, message) => ownerOf(session).other(seq, message),
      refused: (error) => ownerOf(session).refused(error),
    };
    const peer = new Peer(owner, engine, flushSoon, limits, toHex(entropy(8)));
    const session: Live = { id, engine, peer, alarm, flush, channel: undefined, subscriptions: new Map() };
    return session;
  }

  function greet(channel: Channel, frame: Uint8Array): Live {
    const decoded = decodeFrame(frame);
    if (decoded[0] !== Frame.Hello) throw new MalformedFrame("HELLO comes first");
    const hello = greetingMap(decoded) as {
      session: Uint8Array;
      epoch?: Uint8Array;
      fresh?: [Uint8Array, Uint8Array];
      received: number;
      credit: Credit;
    };
    let id = hello.session;
    let received = hello.received;
    let session = live.get(toHex(id));
    const resumed = session !== undefined;
    if (session === undefined) {
      if (hello.fresh !== undefined) [id] = hello.fresh;
      received = hello.fresh === undefined ? hello.received : 0;
      session = createLive(toHex(id));
      live.set(session.id, session);
    }
    session.channel?.send(encodeClose("evicted", "a newer channel carries this session", { final: true }));
    session.channel?.close();
    session.channel = channel;
    channel.maxFrameBytes = limits.maxFrameBytes;
    const { engine } = session;
    channel.send(
      encodeControl(Frame.Welcome, {
        protocol: 1,
        agent: "ionbus-js/fake",
        session: id,
        resumed,
        ...(hello.epoch !== undefined && !resumed ? { reason: reasonFor(hello.session, hello.epoch) } : {}),
        epoch,
        secret: entropy(32),
        received: engine.received,
        credit: engine.granted,
        heartbeat: [limits.heartbeatMs, limits.silenceMs],
      }),
    );
    // HELLO's credit is that of the session that it wants to resume; for a fresh one CREDIT follows.
    engine.attach(received, id === hello.session ? hello.credit : [0, 0], now());
    return session;
  }

  function end(session: Live, code: string): void {
    live.delete(session.id);
    ended.set(session.id, code);
    forgetChannel(session);
    session.peer.end(new ConnectionLost("the client has ended the session"));
  }

  function forgetChannel(session: Live): void {
    session.channel = undefined;
    session.alarm.stop(); // a timer that nobody needs would keep Node.js alive
  }

  function accept(channel: Channel): ReturnType<Accept> {
    let session: Live | undefined;

    function take(frame: Uint8Array): void {
      if (session === undefined) {
        session = greet(channel, frame);
        session.flush();
        return;
      }
      const [kind, code, , options] = decodeFrame(frame);
      if (kind === Frame.Close) {
        // A client that has met something wrong leaves the channel, and comes back to its session.
        if ((options as { over?: boolean } | undefined)?.over) end(session, String(code));
        else lost();
        return;
      }
      for (const arrival of session.engine.receiveBytes(frame, now())) {
        if (arrival.type === "delivered") session.peer.receive(arrival.seq, arrival.message);
        else if (arrival.type === "rejected")
          session.peer.rejected(arrival.tag, arrival.code, arrival.message);
        else throw new MalformedFrame(arrival.message);
      }
      session.peer.creditChanged();
      session.flush();
    }

    return {
      frameReceived(frame) {
        if (session !== undefined && session.channel !== channel) return;
        try {
          take(frame);
        } catch (error) {
          if (!(error instanceof MalformedFrame)) throw error;
          channel.send(encodeClose("protocol_error", error.message));
          channel.close();
          lost();
        }
      },
      writable: () => session?.flush(),
      closed: lost,
    };

    function lost(): void {
      if (session?.channel !== channel) return;
      forgetChannel(session);
      session.engine.detach();
    }
  }

  return {
    accept,
    get sessions() {
      return [...live.values()];
    },
    restart() {
      for (const { peer, channel } of live.values()) {
        peer.end(new ConnectionLost("the broker was restarted"));
        channel?.close(false, "connection_lost", "the broker was restarted");
      }
      live = new Map();
      ended = new Map();
      epoch = entropy(16);
    },
  };
}
