/** Channels on which things go wrong: as a seed says, or on command. The twin of tests/testing/test_faults.py. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, test, vi } from "vitest";
import type { Channel, PeerIdentity, Receiver } from "../../src/channels/base.js";
import { MemoryListener } from "../../src/channels/memory.js";
import { ConnectionLost } from "../../src/errors.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { Dice } from "../../src/testing/dice.js";
import {
  FakeClock,
  type FaultSettings,
  Faults,
  FaultyChannel,
  faulty,
  faultyAccept,
} from "../../src/testing/index.js";

const FRAMES = Array.from({ length: 20 }, (_, number) => String.fromCharCode(65 + number).repeat(8));

class Ear implements Receiver {
  readonly frames: string[] = [];
  readonly ends: [boolean, string, string][] = [];
  readonly writable = vi.fn();
  frameReceived(frame: Uint8Array): void {
    this.frames.push(Buffer.from(frame).toString("latin1"));
  }
  closed(...told: [boolean, string, string]): void {
    this.ends.push(told);
  }
}

/** A faulty client's end, and the sound broker's end that it is connected to. */
interface Ends {
  readonly near: Channel;
  readonly ear: Ear;
  readonly far: Channel;
  readonly farEar: Ear;
}

async function connect(faults: Faults): Promise<Ends> {
  const ear = new Ear();
  const farEar = new Ear();
  let far: Channel | undefined;
  const listener = new MemoryListener((channel) => {
    far = channel;
    return farEar;
  });
  const { channel } = await faulty(listener.open, faults)(ear);
  return { near: channel, ear, far: far as unknown as Channel, farEar };
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "latin1"));

let clock: FakeClock;
beforeEach(() => {
  clock = new FakeClock().install();
});
afterEach(() => clock.uninstall());

/** What arrives of FRAMES in both directions, and what was injected. */
async function arrivals(faults: Faults): Promise<unknown[]> {
  const ends = await connect(faults);
  for (const frame of FRAMES) {
    ends.near.send(bytes(frame));
    ends.far.send(bytes(frame));
    await clock.advance(1_000);
  }
  return [ends.farEar.frames, ends.ear.frames, faults.injected];
}

interface FateCase {
  readonly name: string;
  readonly seed: number;
  readonly channel: number;
  readonly direction: string;
  readonly settings: Record<string, never>;
  readonly fates: readonly [string | null, number, number][];
}

const path = new URL("../../../schemas/vectors/fates.json", import.meta.url);
const camel = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

test.each(JSON.parse(readFileSync(path, "utf8")) as FateCase[])(
  "the plan of a seed is Python's: $name",
  ({ seed, channel, direction, settings, fates }) => {
    const { directions, ...numbers } = settings as { directions?: string[] };
    const faults = new Faults({ seed });
    faults.set(
      Object.fromEntries(
        Object.entries(numbers).map(([name, value]) => [camel(name), value]),
      ) as FaultSettings,
    );
    if (directions !== undefined) faults.set({ directions: directions.map(camel) as ["toBroker"] });
    const plan = faults.plan(channel, camel(direction) as "toBroker");
    const planned = fates.map(() => plan.next());
    expect(planned.map(({ fault, at, delay }) => [fault ?? null, at, delay])).toEqual(
      fates.map(([fault, at, delay]) => [fault && camel(fault), at, delay]),
    );
  },
);

describe("faults of a seed", () => {
  it("are the same for the same frames", async () => {
    const settings = { jitter: 400, duplicate: 0.1, truncate: 0.1, flip: 0.1, stall: 0.1 };
    const [first, again, other] = [
      await arrivals(new Faults({ seed: 7, ...settings })),
      await arrivals(new Faults({ seed: 7, ...settings })),
      await arrivals(new Faults({ seed: 8, ...settings })),
    ];
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
    expect(first[2]).not.toEqual([]);
  });

  it("of one direction do not depend on the other", async () => {
    const [toBroker, toClient] = await arrivals(new Faults({ seed: 7, flip: 0.5 }));
    const ends = await connect(new Faults({ seed: 7, flip: 0.5 }));
    for (const frame of FRAMES) ends.near.send(bytes(frame));
    await clock.settle();
    expect(ends.farEar.frames).toEqual(toBroker);
    for (const frame of FRAMES) ends.far.send(bytes(frame));
    await clock.settle();
    expect(ends.ear.frames).toEqual(toClient);
  });

  it("leave some frames alone first", async () => {
    const faults = new Faults({ seed: 1, drop: 1, after: 3 });
    const ends = await connect(faults);
    for (const frame of FRAMES) ends.near.send(bytes(frame));
    await clock.settle();
    expect(ends.farEar.frames).toEqual(FRAMES.slice(0, 3));
    expect(faults.injected).toEqual([{ channel: 1, direction: "toBroker", frame: 4, fault: "drop" }]);
  });

  it("are reported so that they can be repeated", async () => {
    const faults = new Faults({ seed: 12, jitter: 100, drop: 0.5 });
    expect(String(faults)).toBe("new Faults({ seed: 12, jitter: 100, drop: 0.5 })");
    expect(faults.report()).toContain("injected: nothing");
    const ends = await connect(faults);
    for (const frame of FRAMES) ends.near.send(bytes(frame));
    await clock.advance(1_000);
    expect(faults.report().split("\n").slice(1, 3)).toEqual(["injected: 1 drop", "the last of 1:"]);
    expect(new Faults().seed).not.toBe(new Faults().seed);
  });
});

describe("one fault", () => {
  test.each([
    ["duplicate", ["abcdefgh", "abcdefgh"]],
    ["truncate", ["a"]],
    ["flip", ["`bcdefgh"]],
    ["drop", []],
    ["cut", ["a"]],
    ["stall", []],
    ["halfOpen", []],
  ] as const)("%s", async (fault, arrived) => {
    vi.spyOn(Dice.prototype, "random").mockReturnValue(0);
    const faults = new Faults({ seed: 0, directions: ["toBroker"], [fault]: 1 });
    const ends = await connect(faults);
    ends.near.send(bytes("abcdefgh"));
    await clock.settle();
    expect(ends.farEar.frames).toEqual(arrived);
    const lost = fault === "drop" || fault === "cut" ? [[false, "connection_lost", "cut by a fault"]] : [];
    expect(ends.ear.ends).toEqual(lost);
    expect(ends.farEar.ends).toEqual(lost);
    expect(faults.counts).toEqual({ [fault]: 1 });
  });

  it("of delay and jitter keeps the order", async () => {
    const ends = await connect(new Faults({ seed: 1, delay: 500, jitter: 500 }));
    for (const frame of FRAMES) ends.near.send(bytes(frame));
    ends.near.close(true, "closed", "bye");
    await clock.advance(490);
    expect(ends.farEar.frames).toEqual([]);
    await clock.advance(510);
    expect(ends.farEar.frames).toEqual(FRAMES);
    expect(ends.farEar.ends).toEqual([[true, "closed", "bye"]]);
  });

  it("of lateness does not count against what the channel may take when the frame was sent", async () => {
    const ends = await connect(new Faults({ seed: 1, delay: 1_000 }));
    const large = new Uint8Array(DEFAULT_LIMITS.maxGreetingBytes + 1);
    ends.far.send(bytes("WELCOME"));
    ends.far.send(large);
    await clock.settle();
    ends.near.maxFrameBytes = large.length; // as a link does on WELCOME
    await clock.advance(1_000);
    expect(ends.ear.frames.map(({ length }) => length)).toEqual([7, large.length]);
    ends.near.maxFrameBytes = 10;
    ends.far.send(new Uint8Array(11));
    await clock.advance(2_000);
    expect(ends.ear.ends[0]?.[1]).toBe("too_large");
    expect(ends.farEar.ends[0]?.[1]).toBe("too_large");
  });
});

describe("on command", () => {
  it("a stall ends, or by itself", async () => {
    const faults = new Faults({ seed: 1 });
    const ends = await connect(faults);
    faults.stall("toClient");
    ends.near.send(bytes("1"));
    ends.far.send(bytes("2"));
    await clock.advance(100_000);
    expect([ends.farEar.frames, ends.ear.frames]).toEqual([["1"], []]);
    faults.resume();
    expect(ends.ear.frames).toEqual(["2"]);
    faults.set({ stall: 1, stallMs: 3_000 });
    ends.near.send(bytes("3"));
    ends.near.send(bytes("4"));
    await clock.advance(2_999);
    expect(ends.farEar.frames).toEqual(["1"]);
    await clock.advance(1);
    expect(ends.farEar.frames).toEqual(["1", "3"]);
    await clock.advance(3_000);
    expect(ends.farEar.frames).toEqual(["1", "3", "4"]);
  });

  it("a stalled channel is not writable", async () => {
    const faults = new Faults({ seed: 1 });
    const ends = await connect(faults);
    ends.far.maxFrameBytes = 100_000;
    faults.stall("toBroker");
    ends.near.send(new Uint8Array(70_000));
    expect(ends.near.isWritable).toBe(false);
    faults.resume("toBroker");
    await clock.settle();
    expect(ends.near.isWritable).toBe(true);
    expect(ends.ear.writable).toHaveBeenCalled();
  });

  it("half-open tells nobody, and is closed in the end", async () => {
    const faults = new Faults({ seed: 1 });
    const ends = await connect(faults);
    faults.halfOpen();
    ends.near.send(bytes("1"));
    ends.far.send(bytes("2"));
    ends.near.close();
    await clock.settle();
    expect([ends.farEar.frames, ends.ear.frames, ends.farEar.ends]).toEqual([[], [], []]);
    expect(faults.channels).toHaveLength(1);
    faults.close();
    await clock.settle();
    expect(ends.farEar.ends).toEqual([[false, "connection_lost", "abandoned"]]);
    expect(faults.channels).toEqual([]);
  });

  it("a cut loses what is under way", async () => {
    const faults = new Faults({ seed: 1, delay: 1_000 });
    const ends = await connect(faults);
    ends.near.send(bytes("1"));
    ends.far.send(bytes("2"));
    await clock.settle();
    faults.cut();
    ends.near.send(bytes("3"));
    await clock.advance(5_000);
    expect([ends.farEar.frames, ends.ear.frames]).toEqual([[], []]);
    expect(ends.ear.ends).toHaveLength(1);
    expect(ends.farEar.ends).toHaveLength(1);
    expect(faults.channels).toEqual([]);
  });
});

it("may be at the broker's end", async () => {
  const faults = new Faults({ seed: 1, directions: ["toClient"], duplicate: 1 });
  const ear = new Ear();
  const farEar = new Ear();
  const seen: [Channel, PeerIdentity][] = [];
  const accept = faultyAccept((channel, identity) => {
    seen.push([channel, identity]);
    return {
      frameReceived(frame) {
        farEar.frameReceived(frame);
        channel.send(frame);
      },
      writable: farEar.writable,
      closed: (...told) => farEar.closed(...told),
    };
  }, faults);
  const identity: PeerIdentity = { role: "window" };
  const { channel } = await new MemoryListener(accept, { identity }).open(ear);
  channel.send(bytes("1"));
  await clock.settle();
  expect(farEar.frames).toEqual(["1"]);
  expect(ear.frames).toEqual(["1", "1"]);
  expect(seen[0]?.[0]).toBeInstanceOf(FaultyChannel);
  expect(seen[0]?.[1]).toBe(identity);
  channel.close(true);
  await clock.settle();
  expect(farEar.ends).toEqual([[true, "closed", ""]]);
});

it("refuses settings that are out of range", () => {
  expect(() => new Faults({ delay: -1 })).toThrow("delay is at least 0, not -1");
  expect(() => new Faults({ drop: 0.6, cut: 0.6 })).toThrow(/at most 1 together, not 1\.2/);
  expect(() => new Faults({ directions: ["up" as "toBroker"] })).toThrow('a direction is "toBroker" or');
  expect(() => new Faults({ lose: 1 } as FaultSettings)).toThrow('no "lose"');
  const faults = new Faults({ seed: 1, drop: 0.6 });
  expect(() => faults.set({ cut: 0.6 })).toThrow("together");
  expect(faults.settings).toEqual({ drop: 0.6 });
});

it("keeps nothing of an opener that fails", async () => {
  const faults = new Faults();
  const listener = new MemoryListener(() => new Ear());
  listener.isRefusing = true;
  await expect(faulty(listener.open, faults)(new Ear())).rejects.toBeInstanceOf(ConnectionLost);
  expect(faults.channels).toEqual([]);
});
