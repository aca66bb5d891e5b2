/** Subscriptions that ask for some of the events: what the bus tells the broker, and what it hands to listeners. */

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../../src/client/bus.js";
import { InvalidPayload } from "../../src/errors.js";
import { type FakeBroker, FakeClock, fakeBroker } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

let clock: FakeClock;
let broker: FakeBroker;
let bus: Bus;

beforeEach(() => {
  clock = new FakeClock().install();
  broker = fakeBroker();
  bus = broker.bus;
});
afterEach(async () => {
  await broker.close();
  clock.uninstall();
});

async function finish(...files: number[]): Promise<void> {
  for (const each of files) await broker.emit(Conductor.finished, { files: each });
  await clock.settle();
}

describe("some of the events", () => {
  it("samples: the first, then the newest of each period", async () => {
    const seen: number[] = [];
    await bus.on(Conductor.finished, ({ files }) => seen.push(files), { everyMs: 100 }).confirmed();
    await finish(1, 2, 3);
    expect(seen).toEqual([1]);
    await clock.advance(100);
    expect(seen).toEqual([1, 3]);
  });

  it("comes in lists", async () => {
    const seen: number[][] = [];
    await bus
      .on(Conductor.finished, (those) => seen.push(those.map(({ files }) => files)), { batch: [2, 50] })
      .confirmed();
    await finish(1, 2, 3);
    await clock.advance(50);
    expect(seen).toEqual([[1, 2], [3]]);
  });

  it("comes in lists with names to who listens to a contract or a pattern", async () => {
    const seen: unknown[] = [];
    bus.on(Conductor, (those) => seen.push(...those), { batch: [2, 50] });
    await bus.on("conductor.*", (those) => seen.push(those.length), { batch: [2, 50] }).confirmed();
    await finish(1, 2);
    const named = [1, 2].map((files) => ({ name: "conductor.finished", payload: { files } }));
    expect(seen).toEqual([...named, 2]);
  });

  it("passes a filter, and nothing twice", async () => {
    const seen: number[] = [];
    await bus
      .on(Conductor.finished, ({ files }) => seen.push(files), {
        where: { all: [["files", ">", 1], { not: ["files", "in", [4]] }] },
        distinct: true,
      })
      .confirmed();
    await finish(1, 2, 2, 3, 4, 3, 2);
    expect(seen).toEqual([2, 3, 2]);
  });

  it("is the newest of each key for who comes late", async () => {
    for (const [node, percent] of [
      ["a", 1],
      ["b", 2],
      ["a", 3],
    ] as const) {
      await broker.emit(Conductor.progress, { node, percent });
    }
    const seen: unknown[] = [];
    await bus
      .on(Conductor.progress, ({ node, percent }) => seen.push([node, percent]), { everyMs: 100 })
      .confirmed();
    await clock.settle();
    expect(seen).toHaveLength(2);
    expect(seen).toEqual(
      expect.arrayContaining([
        ["b", 2],
        ["a", 3],
      ]),
    );
  });

  it("leaves those alone that want everything", async () => {
    const [all, some]: [number[], number[]] = [[], []];
    bus.on(Conductor.finished, ({ files }) => all.push(files));
    await bus
      .on(Conductor.finished, ({ files }) => some.push(files), { where: ["files", "==", 2] })
      .confirmed();
    await finish(1, 2, 3);
    expect([all, some]).toEqual([[1, 2, 3], [2]]);
  });

  it("is one subscription for all that ask for the same, and goes with the last", async () => {
    const seen: string[] = [];
    const options = { everyMs: 50, latestBy: "files" } as const;
    const one = bus.on(Conductor.finished, () => seen.push("one"), options);
    const two = bus.on(Conductor.finished, () => seen.push("two"), { ...options });
    await two.confirmed();
    await finish(1);
    one();
    await clock.advance(50);
    await finish(2);
    two();
    await clock.advance(50);
    await finish(3);
    expect(seen).toEqual(["one", "two", "two"]);
  });

  it("is asked for again of another broker process, and off and once know of it", async () => {
    const seen: number[] = [];
    const listener = ({ files }: { files: number }) => seen.push(files);
    await bus.on(Conductor.finished, listener, { where: ["files", ">", 1] }).confirmed();
    broker.restart();
    await clock.advance(1_000);
    await finish(1, 2);
    expect(seen).toEqual([2]);
    expect(bus.off(Conductor.finished, listener)).toBe(1);
    await bus.once(Conductor.finished, listener, { where: ["files", ">", 2] }).confirmed();
    await finish(2, 3, 4);
    expect(seen).toEqual([2, 3]);
  });

  it("is all of them where every option is undefined", async () => {
    const seen: number[] = [];
    const nothing = {
      everyMs: undefined,
      latestBy: undefined,
      where: undefined,
      distinct: false,
      batch: undefined,
    };
    await bus.on(Conductor.finished, ({ files }) => seen.push(files), nothing).confirmed();
    await finish(1, 2);
    expect(seen).toEqual([1, 2]);
  });

  it.each([{ everyMs: 0 }, { everyMs: 0.5 }, { where: ["files", "=>", 1] }, { batch: [0, 1] }])(
    "%j is refused",
    async (options) => {
      bus.onError(() => {});
      await expect(bus.on(Conductor.finished, () => {}, options as never).confirmed()).rejects.toThrow(
        InvalidPayload,
      );
    },
  );
});
