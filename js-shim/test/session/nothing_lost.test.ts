/** Over a channel that is cut anywhere, everything arrives once and in order, in both directions. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS, type Limits } from "../../src/generated/protocol.js";
import type { Delivery } from "../../src/session/outbox.js";
import { type Arrival, Session } from "../../src/session/session.js";
import { decodeFrame, encodeData } from "../../src/wire/frames.js";
import { encodeEvent, encodeItem } from "../../src/wire/messages.js";

/** Limits that a short run reaches. */
const SMALL: Limits = {
  ...DEFAULT_LIMITS,
  ackElements: 4,
  batchElements: 5,
  batchBytes: 300,
  replayBytes: 2_000,
  replayElements: 20,
  creditBytes: 400,
  creditMessages: 12,
  transferThresholdBytes: 200,
  transferPartBytes: 90,
  maxMessageBytes: 5_000,
  maxAssemblyBytes: 6_000,
};

type Side = 0 | 1;
const LANE = 7;

/** Two sessions and the frames under way between them; a greeting is two calls of `attach`. */
class World {
  now = 0;
  readonly sides: readonly [Session, Session] = [new Session(SMALL), new Session(SMALL)];
  readonly underWay: readonly [Uint8Array[], Uint8Array[]] = [[], []];
  readonly arrived: readonly [(readonly unknown[])[], (readonly unknown[])[]] = [[], []];
  isOpen = false;

  /** A new channel. */
  open(): void {
    const [left, right] = this.sides;
    const [fromLeft, fromRight] = [left.received, right.received];
    left.attach(fromRight, right.granted, this.now);
    right.attach(fromLeft, left.granted, this.now);
    this.isOpen = true;
  }

  /** The channel ends; whatever is under way is lost. */
  cut(): void {
    for (const frames of this.underWay) frames.length = 0;
    for (const side of this.sides) side.detach();
    this.isOpen = false;
  }

  /** The side's frames go on their way. */
  pump(side: Side): void {
    const session = this.sides[side];
    for (let frame = session.nextFrame(this.now); frame !== undefined; frame = session.nextFrame(this.now)) {
      this.underWay[side].push(frame);
    }
  }

  /** One frame of the side arrives; `doubled`: twice, as when a replay sends again what had arrived. */
  step(side: Side, isDoubled = false): void {
    const frame = this.underWay[side].shift();
    if (frame === undefined) return;
    this.take(side, this.sides[1 - side] as Session, frame);
    if (isDoubled && frame[1] === 0) this.take(side, this.sides[1 - side] as Session, frame);
  }

  private take(side: Side, receiver: Session, frame: Uint8Array): void {
    for (const arrival of receiver.receiveBytes(frame, this.now)) {
      expect(arrival.type).toBe("delivered");
      if (arrival.type !== "delivered") continue;
      this.arrived[side].push(arrival.message);
      if (arrival.message[0] === Message.Event) receiver.consumed((arrival.message[2] as Uint8Array).length);
    }
  }

  advance(milliseconds: number): void {
    this.now += milliseconds;
    if (this.isOpen) for (const side of this.sides) side.tick(this.now);
  }

  /** Let everything arrive: bounded, so that an engine that never comes to rest fails the test. */
  settle(): void {
    for (let round = 0; round < 3_000; round++) {
      if (!this.isOpen) this.open();
      this.pump(0);
      this.pump(1);
      if (this.underWay[0].length + this.underWay[1].length === 0) {
        if (this.sides.every((side) => side.sent === side.acked && side.unnumbered().length === 0)) return;
        this.advance(60);
      }
      while (this.underWay[0].length > 0) this.step(0);
      while (this.underWay[1].length > 0) this.step(1);
    }
    throw new Error("does not settle");
  }
}

type Step =
  | { do: "event" | "item"; side: Side; size: number; delivery: Delivery; key: number }
  | { do: "pump"; side: Side }
  | { do: "step"; side: Side; count: number; isDoubled: boolean }
  | { do: "cut" | "open" }
  | { do: "advance"; milliseconds: number };

const side = fc.constantFrom<Side>(0, 1);
const size = fc.constantFrom(0, 1, 30, 150, 250, 700);
const steps = (deliveries: Delivery[]) =>
  fc.array(
    fc.oneof<fc.Arbitrary<Step>[]>(
      fc.record({
        do: fc.constantFrom("event" as const, "item" as const),
        side,
        size,
        delivery: fc.constantFrom(...deliveries),
        key: fc.nat(2),
      }),
      fc.record({ do: fc.constant("pump" as const), side }),
      fc.record({
        do: fc.constant("step" as const),
        side,
        count: fc.integer({ min: 1, max: 4 }),
        isDoubled: fc.boolean(),
      }),
      fc.record({ do: fc.constantFrom("cut" as const, "open" as const) }),
      fc.record({ do: fc.constant("advance" as const), milliseconds: fc.constantFrom(1, 49, 200, 6_000) }),
    ),
    { maxLength: 150 },
  );

interface Sent {
  readonly side: Side;
  readonly kind: number;
  readonly number: number;
  readonly delivery: Delivery;
  readonly key: number;
}

function play(world: World, script: readonly Step[]): Sent[] {
  const sent: Sent[] = [];
  for (const [number, step] of script.entries()) {
    switch (step.do) {
      case "event": {
        const payload = numbered(number, step.size);
        const message = encodeEvent("a.event", payload);
        const entry = world.sides[step.side].emit(message, payload.length, step.delivery, `key ${step.key}`);
        if (entry !== undefined) {
          sent.push({ side: step.side, kind: Message.Event, number, delivery: step.delivery, key: step.key });
        }
        break;
      }
      case "item":
        world.sides[step.side].send(encodeItem(LANE, numbered(number, step.size)), LANE);
        sent.push({ side: step.side, kind: Message.Item, number, delivery: "session", key: 0 });
        break;
      case "pump":
        world.pump(step.side);
        break;
      case "step":
        for (let count = step.count; count > 0; count--) world.step(step.side, step.isDoubled);
        break;
      case "cut":
        world.cut();
        break;
      case "open":
        if (!world.isOpen) world.open();
        break;
      case "advance":
        world.advance(step.milliseconds);
    }
  }
  world.settle();
  return sent;
}

function numbered(number: number, size: number): Uint8Array {
  const payload = new Uint8Array(4 + size).fill(number);
  new DataView(payload.buffer).setUint32(0, number);
  return payload;
}

function numberIn(message: readonly unknown[]): number {
  const payload = message[2] as Uint8Array;
  const number = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
  expect(payload.subarray(4).every((byte) => byte === (number & 0xff))).toBe(true);
  return number;
}

function arrivedNumbers(world: World, from: Side, kind: number): number[] {
  return world.arrived[from].filter((message) => message[0] === kind).map(numberIn);
}

test("everything arrives once and in order", () => {
  fc.assert(
    fc.property(steps(["session"]), (script) => {
      const world = new World();
      const sent = play(world, script);
      for (const from of [0, 1] as const) {
        for (const kind of [Message.Event, Message.Item]) {
          const expected = sent
            .filter((one) => one.side === from && one.kind === kind)
            .map((one) => one.number);
          expect(arrivedNumbers(world, from, kind)).toStrictEqual(expected);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test("of volatile and latest events only those are missing that may be", () => {
  fc.assert(
    fc.property(steps(["session", "volatile", "latest"]), (script) => {
      const world = new World();
      const sent = play(world, script);
      for (const from of [0, 1] as const) {
        const arrived = arrivedNumbers(world, from, Message.Event);
        const mine = sent.filter((one) => one.side === from && one.kind === Message.Event);
        const delivery = new Map(mine.map((one) => [one.number, one]));
        expect(new Set(arrived).size).toBe(arrived.length);
        const ofSession = mine.filter((one) => one.delivery === "session").map((one) => one.number);
        expect(arrived.filter((number) => delivery.get(number)?.delivery === "session")).toStrictEqual(
          ofSession,
        );
        for (const key of [0, 1, 2]) {
          const latest = mine.filter((one) => one.delivery === "latest" && one.key === key);
          const seen = arrived.filter((number) => latest.some((one) => one.number === number));
          expect(seen.at(-1)).toBe(latest.at(-1)?.number);
          expect(seen).toStrictEqual([...seen].sort((a, b) => a - b));
        }
        // Nothing of the credit is gone for good.
        const session = world.sides[from];
        expect(session.emit(encodeEvent("a.event", new Uint8Array(1)), 1, "volatile")).toBeDefined();
      }
    }),
    { numRuns: 500 },
  );
});

describe("a hostile peer", () => {
  test("whatever bytes arrive, it says a violation or takes them, and lives on", () => {
    const element = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 30 }),
      fc
        .tuple(
          fc.integer({ min: 1, max: 25 }),
          fc.array(fc.oneof(fc.nat(40), fc.string(), fc.uint8Array()), { maxLength: 4 }),
        )
        .map(([kind, fields]) => encodePlain([kind, ...fields])),
    );
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc
        .tuple(fc.nat(6), fc.nat(3), fc.array(element, { maxLength: 4 }))
        .map(([first, ack, elements]) => encodeData(first, ack, elements, elements.length)),
      fc.array(fc.oneof(fc.nat(8), fc.string(), fc.constant(null)), { maxLength: 4 }).map(encodePlain),
    );
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
        const session = new Session(SMALL);
        session.attach(0, [100, 10], 0);
        let before = 0;
        for (const bytes of frames) {
          const arrivals: Arrival[] = session.receiveBytes(bytes, 0);
          expect(arrivals.slice(0, -1).every((arrival) => arrival.type !== "violation")).toBe(true);
          expect(session.received).toBeGreaterThanOrEqual(before);
          before = session.received;
          for (let next = session.nextFrame(0); next !== undefined; next = session.nextFrame(0))
            decodeFrame(next);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

function encodePlain(value: unknown[]): Uint8Array {
  return Uint8Array.from([0x90 | value.length, ...value.flatMap((part) => [...encodeOne(part)])]);
}

function encodeOne(value: unknown): Uint8Array {
  if (value === null) return Uint8Array.of(0xc0);
  if (typeof value === "number") return value < 0x80 ? Uint8Array.of(value) : Uint8Array.of(0xcc, value);
  if (typeof value === "string") {
    const text = new TextEncoder().encode(value);
    return Uint8Array.of(0xd9, text.length, ...text);
  }
  const bytes = value as Uint8Array;
  return Uint8Array.of(0xc4, bytes.length, ...bytes);
}

test("a transfer that is given up before its first part is no surprise to the other side", () => {
  const world = new World();
  world.open();
  const [left] = world.sides;
  const entries = Array.from({ length: 3 }, (_, number) =>
    left.send(encodeItem(number + 1, new Uint8Array(500)), number + 1),
  );
  world.underWay[0].push(left.nextFrame(0) as Uint8Array); // BEGIN of the first; the others wait for their turn
  expect(left.withdraw(entries[1] as (typeof entries)[0])).toBe(true);
  world.settle();
  expect(world.arrived[0].map((message) => message[1])).toStrictEqual([1, 3]);
});

test("an event whose transfer is given up gives its credit back", () => {
  const world = new World();
  world.open();
  const [left] = world.sides;
  for (let round = 0; round < 20; round++) {
    const entry = left.emit(encodeEvent("a.event", new Uint8Array(500)), 500, "session");
    expect(entry).toBeDefined();
    world.underWay[0].push(left.nextFrame(0) as Uint8Array);
    expect(left.withdraw(entry as NonNullable<typeof entry>)).toBe(true);
    world.settle();
    expect(left.acceptsEvents).toBe(true);
  }
  expect(world.arrived[0]).toStrictEqual([]);
});

test("an event that is too large for the other side gives its credit back", () => {
  const world = new World();
  world.open();
  const [left, right] = world.sides;
  for (let round = 0; round < 20; round++) {
    left.emit(encodeEvent("a.event", new Uint8Array(6_000)), 6_000, "session", undefined, round);
    right.receiveBytes(left.nextFrame(0) as Uint8Array, 0);
    const arrivals = left.receiveBytes(right.nextFrame(0) as Uint8Array, 0);
    expect(arrivals).toMatchObject([{ type: "rejected", tag: round, code: "too_large" }]);
    expect(left.acceptsEvents).toBe(true);
  }
});
