/** The engines against a peer whose frames are well formed and lie. */

import * as Frame from "../../src/generated/frame.js";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS, type Limits } from "../../src/generated/protocol.js";
import { Connection } from "../../src/session/connection.js";
import { type Arrival, Session } from "../../src/session/session.js";
import { decodeFrame, MalformedFrame } from "../../src/wire/frames.js";
import { encodeCall, encodeEvent } from "../../src/wire/messages.js";
import { Choices } from "./choices.js";
import { check, type Outcome, type Target } from "./driver.js";
import { control, damaged, Known, pack } from "./grammar.js";

/** Limits that a short conversation reaches. */
const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  maxFrameElements: 12,
  ackElements: 3,
  batchElements: 4,
  batchBytes: 200,
  replayBytes: 600,
  replayElements: 8,
  creditBytes: 100,
  creditMessages: 6,
  transferThresholdBytes: 100,
  transferPartBytes: 40,
  maxMessageBytes: 1_000,
  maxAssemblyBytes: 1_000,
  maxLatestKeys: 2,
  heartbeatMs: 1_000,
  silenceMs: 3_000,
};
/** Steps of one conversation. */
const LONGEST = 40;

/** What the hostile side sends, near what would be right. */
class Peer {
  readonly #choices: Choices;
  readonly #known = new Known();
  #number = 0;

  constructor(choices: Choices) {
    this.#choices = choices;
  }

  frame(session: Session): Uint8Array {
    const choices = this.#choices;
    let frame: Uint8Array;
    if (choices.below(8) === 7) {
      frame = pack(control(choices, session.sent, session.acked, ...session.credit, ...session.granted));
    } else {
      let first = session.received + 1;
      if (choices.oneIn(8))
        first = Math.max(0, choices.number(session.received, first, session.received - 2));
      let ack = choices.oneIn(2) ? session.sent : session.acked;
      if (choices.oneIn(12)) ack = choices.number(session.sent, session.acked);
      const count = choices.oneIn(20) ? choices.pick([11, 12, 13, 40]) : choices.below(5);
      frame = pack([0, first, ack, ...Array.from({ length: count }, () => this.#element(session))]);
    }
    return choices.oneIn(30) ? damaged(choices, frame) : frame;
  }

  #element(session: Session): unknown {
    const choices = this.#choices;
    const known = this.#known;
    const kind = choices.below(20);
    if (kind === 0) return null;
    if (kind === 1) return choices.anything();
    if (kind < 4) {
      known.ids = [1, known.transfer, session.sent, session.received];
      return known.message(
        choices,
        choices.pick([Message.Grant, Message.Abort, Message.Reject, Message.Chunk]),
      );
    }
    if (kind < 8) return known.message(choices, choices.pick([Message.Begin, Message.Chunk, Message.Chunk]));
    return known.message(choices);
  }

  /** Something that our own side's application does. */
  own(session: Session): void {
    const choices = this.#choices;
    const number = ++this.#number;
    const size = choices.pick([1, 20, 99, 101, 130, 500, 1_200]);
    switch (choices.below(6)) {
      case 0:
      case 1: {
        const entry = session.send(
          encodeCall(number, "a.call", new Uint8Array(size)),
          choices.below(3) + 1,
          number,
        );
        if (choices.oneIn(4)) session.withdraw(entry);
        break;
      }
      case 2:
      case 3:
      case 4: {
        const delivery = choices.pick(["session", "volatile", "latest"] as const);
        const key = delivery === "latest" ? choices.pick(["k", "l", "m"]) : undefined;
        const entry = session.emit(encodeEvent("a.event", new Uint8Array(size)), size, delivery, key, number);
        if (entry !== undefined && choices.oneIn(4)) session.withdraw(entry);
        break;
      }
      default:
        session.consumed(choices.pick([1, 30, 100]));
    }
  }
}

function runSession(data: Uint8Array): Outcome {
  const choices = new Choices(data);
  const session = new Session(LIMITS);
  const peer = new Peer(choices);
  let now = 0;
  let received = 0;
  let label = "";
  session.attach(0, [choices.pick([0, 50, 10_000]), choices.pick([0, 3, 1_000])], now);
  const resume = (acked: number) => {
    session.detach();
    try {
      session.attach(acked, session.credit, now);
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw error;
      session.attach(session.acked, session.credit, now);
    }
  };
  for (let step = 0; step < LONGEST && !choices.isOver; step++) {
    const before = session.received;
    switch (choices.below(10)) {
      case 0:
      case 1:
        peer.own(session);
        break;
      case 2:
        now += choices.pick([0, 1, 49, 50, 999, 1_000, 3_000]);
        session.tick(now);
        drain(session, now);
        break;
      case 3:
        drain(session, now);
        break;
      case 4:
        if (choices.oneIn(3)) resume(Math.max(0, choices.number(session.acked, session.sent)));
        break;
      default: {
        received++;
        const arrivals = session.receiveBytes(peer.frame(session), now);
        const violation = checkArrivals(arrivals);
        label = arrivals
          .map(({ type }) => type)
          .slice(-2)
          .join(" ");
        if (violation?.over) return { label: `over, ${received}`, inputs: received };
        if (violation !== undefined) {
          resume(session.acked);
          if (!choices.oneIn(4))
            session.receiveBytes(pack([0, session.received + 1, session.acked, null]), now);
        }
      }
    }
    check(session.received >= before, "received has fallen");
    checkBounds(session);
  }
  return { label: `${label} of ${Math.min(received, 9)}`, inputs: Math.max(1, received) };
}

/** Numbers rise, and nothing comes behind a violation, which is given. */
function checkArrivals(arrivals: readonly Arrival[]): Extract<Arrival, { type: "violation" }> | undefined {
  let last = 0;
  for (const arrival of arrivals) {
    if (arrival.type !== "delivered") continue;
    check(arrival.seq > last, "delivered out of order");
    last = arrival.seq;
  }
  check(
    arrivals.slice(0, -1).every(({ type }) => type !== "violation"),
    "something comes behind a violation",
  );
  const end = arrivals[arrivals.length - 1];
  return end?.type === "violation" ? end : undefined;
}

/** What a session keeps is within its limits, and no count has been counted wrong. */
function checkBounds(session: Session): void {
  const { queuedEvents, queuedBytes, queuedMessages, queuedMessageBytes, acked, sent, heldBytes } = session;
  check(
    Math.min(queuedEvents, queuedBytes, queuedMessages, queuedMessageBytes) >= 0,
    "a count below nothing",
  );
  check(acked >= 0 && acked <= sent, "acknowledged more than was sent");
  const kept = heldBytes - queuedBytes - queuedMessageBytes;
  check(kept >= 0 && kept < 3_000 + LONGEST * 1_200, `keeps ${kept} bytes`);
}

/** What is sent are frames, within the limits. */
function drain(engine: Session | Connection, now: number): void {
  for (let count = 0; ; count++) {
    check(count < 80, "it does not come to rest");
    const frame = engine.nextFrame(now);
    if (frame === undefined) return;
    check(frame.length <= DEFAULT_LIMITS.maxGreetingBytes, `a frame of ${frame.length} bytes`);
    const decoded = decodeFrame(frame);
    if (decoded[0] === Frame.Data) check(decoded.length - 3 <= LIMITS.batchElements, "too many elements");
  }
}

function runConnection(data: Uint8Array): Outcome {
  const choices = new Choices(data);
  let draws = 0;
  const entropy = (size: number) => new Uint8Array(size).fill(++draws);
  const connection = new Connection(LIMITS, entropy, () => 0.5, "client", [["a", "1.0", "f".repeat(32)]]);
  const peer = new Peer(choices);
  const states = new Set<string>();
  let now = 0;
  let received = 0;
  let channel = "none" as "none" | "opening" | "open";
  const obey = () => {
    for (const effect of connection.effects()) {
      if (effect.type === "open_channel") {
        check(channel === "none", "two channels at a time");
        channel = "opening";
      } else if (effect.type === "close_channel") channel = "none";
    }
    drain(connection, now);
    checkBounds(connection.session);
    states.add(connection.state);
    check(connection.deadline() >= 0, "a deadline below nothing");
  };
  obey();
  for (let step = 0; step < LONGEST && !choices.isOver; step++) {
    const what = choices.below(12);
    if (what === 0) peer.own(connection.session);
    else if (what === 1 && choices.oneIn(6)) choices.oneIn(2) ? connection.close(now) : connection.retry(now);
    else if (what < 3) {
      now += choices.pick([0, 50, 100, 1_000, 3_000, 5_000, 10_000, 100_000]);
      connection.tick(now);
    } else if (channel === "opening") {
      const isRefused = choices.oneIn(6);
      channel = isRefused ? "none" : "open";
      if (isRefused) connection.failed("refused", now);
      else connection.opened(choices.pick([undefined, "token"]), choices.oneIn(2), now);
    } else if (channel === "none") {
      now += 20_000;
      connection.tick(now);
    } else if (what === 3) {
      channel = "none";
      connection.lost("connection_lost", "cut", now);
    } else {
      received++;
      connection.receive(frameTo(connection, choices, peer), now);
    }
    obey();
  }
  return { label: [...states].join(" "), inputs: Math.max(1, received) };
}

/** Mostly a WELCOME or a CLOSE where one may come. */
function frameTo(connection: Connection, choices: Choices, peer: Peer): Uint8Array {
  if (choices.oneIn(16)) {
    const options = { final: choices.oneIn(4), over: choices.oneIn(3), retry_after: choices.number() };
    return pack([3, choices.pick(["stopping", "unauthenticated", "evicted"]), choices.text(), options]);
  }
  const isGreeting = connection.state === "connecting" || connection.state === "reconnecting";
  if (!isGreeting || choices.oneIn(5)) return peer.frame(connection.session);
  const welcome: Record<string, unknown> = {
    protocol: 1,
    agent: "broker",
    session: connection.id,
    resumed: true,
    epoch: new Uint8Array(16).fill(choices.pick([1, 2])),
    secret: new Uint8Array(32),
    received: connection.session.acked,
    credit: [1_000, 100],
    heartbeat: [1_000, 3_000],
  };
  if (choices.oneIn(3)) {
    const key = choices.pick(Object.keys(welcome));
    welcome[key] = choices.pick([
      choices.anything(),
      [choices.number(), choices.number()],
      choices.number(connection.session.sent),
    ]);
  }
  if (choices.oneIn(4)) {
    for (const key of ["reason", "limits", "contracts", "names", "rights", "missed"])
      welcome[key] = choices.anything();
  }
  return pack([Frame.Welcome, welcome]);
}

export function engineTargets(): Target[] {
  return [
    { name: "session", run: runSession, seeds: [], longest: 600 },
    { name: "connection", run: runConnection, seeds: [], longest: 600 },
  ];
}
