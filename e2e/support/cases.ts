/**
 * What a bus can do, whichever way it travels: the same tests for Electron's renderer over both transports, for a page in
 * Chromium, and for Node.js.
 */
import { describe, expect, test } from "vitest";
import type { Lab } from "../page/lab.js";
import { until } from "./until.js";

/** Where a `lab` is. */
export interface Place {
  /** Run a function there; it sees the global `lab` and its argument, and nothing of this side. */
  evaluate<R>(there: () => R | Promise<R>): Promise<R>;
  evaluate<R, A>(there: (argument: A) => R | Promise<R>, argument: A): Promise<R>;
  /** What the broker has written to its standard error. */
  logs(): string[] | Promise<string[]>;
}

/** Wait until what is asked there is true. */
export function untilThere(
  place: Place,
  what: string,
  there: () => boolean | Promise<boolean>,
): Promise<boolean> {
  return until(what, () => place.evaluate(there));
}

/** Wait until the broker says of a job or a count what became of it. */
export async function untilFate(place: Place, name: string, fate: string): Promise<void> {
  const ask = (name: string) => lab.bus.call(lab.Probe.fate, name);
  await until(`${name} is ${fate}`, async () => (await place.evaluate(ask, name)) === fate);
}

export function describeBus(at: () => Place): void {
  describe("calls", () => {
    test("are answered, also where there is nothing to say", async () => {
      expect(await at().evaluate(() => lab.bus.call(lab.Probe.add, { a: 2, b: 3 }))).toBe(5);
      expect(await at().evaluate(() => lab.bus.call(lab.Probe.pid))).toBeGreaterThan(0);
    });

    test("are answered in any number at once", async () => {
      const sums = await at().evaluate(() =>
        Promise.all(Array.from({ length: 500 }, (_, a) => lab.bus.call(lab.Probe.add, { a, b: 1 }))),
      );
      expect(sums).toEqual(Array.from({ length: 500 }, (_, a) => a + 1));
    });

    test("carry text as it is", async () => {
      const text = "Žluťoučký 🐍 \u0000 日本語 \u2028";
      const echoed = await at().evaluate(
        (text) => lab.bus.call(lab.Probe.echo, { text, data: new Uint8Array() }),
        text,
      );
      expect(echoed.text).toBe(text);
    });

    test("carry megabytes both ways, to the byte, while small calls go on", async () => {
      const seen = await at().evaluate(async () => {
        const data = lab.bytes(6_000_001);
        let isBack = false;
        const large = lab.bus.call(lab.Probe.echo, { text: "large", data }).finally(() => {
          isBack = true;
        });
        let small = 0;
        while (!isBack) {
          await lab.bus.call(lab.Probe.add, { a: 1, b: small });
          if (!isBack) small++;
        }
        const back = (await large).data;
        return {
          isBytes: back instanceof Uint8Array,
          length: back.length,
          firstWrong: back.findIndex((byte, index) => byte !== data[index]),
          small,
        };
      });
      expect(seen).toEqual({ isBytes: true, length: 6_000_001, firstWrong: -1, small: expect.any(Number) });
      expect(seen.small).toBeGreaterThan(0);
    });
  });

  describe("errors", () => {
    test("that a contract declares arrive with their fields", async () => {
      const { isRefused, error } = await at().evaluate(async () => {
        try {
          await lab.bus.call(lab.Probe.fail, { reason: "full", allowed: [1, 2] });
        } catch (error) {
          const { Refused } = lab.contract;
          return {
            isRefused: error instanceof Refused && error.reason === "full" && error.allowed.length === 2,
            error: lab.told(error),
          };
        }
        throw new Error("it did not fail");
      });
      expect(isRefused).toBe(true);
      expect(error).toMatchObject({
        name: "Refused",
        code: "refused",
        message: "This was refused.",
        details: { reason: "full", allowed: [1, 2] },
      });
    });

    test("that none declares arrive as an incident, which the broker's log explains", async () => {
      const error = await at().evaluate(() => lab.failure(lab.bus.call(lab.Probe.crash, "s3cr3t")));
      expect(error).toMatchObject({ name: "InternalError", code: "internal_error" });
      expect(error.incidentId).toMatch(/./);
      expect(JSON.stringify(error)).not.toMatch(/s3cr3t|ValueError|own business|\.py/);
      await until("the log tells of it", async () => {
        const log = (await at().logs()).join("\n");
        return log.includes(error.incidentId ?? "?") && log.includes("the handler's own business: s3cr3t");
      });
    });

    test("name the field of a payload that is not valid", async () => {
      const error = await at().evaluate(() => lab.failure(lab.bus.call(lab.Probe.add, { a: 1, b: -1 })));
      expect(error).toMatchObject({ name: "InvalidPayload", code: "invalid_payload" });
      expect(error.message).toContain("b");
      expect(error.details).toEqual({ paths: [["b", expect.stringMatching(/greater/)]] });
    });

    test("say which name is unknown", async () => {
      const error = await at().evaluate(() =>
        lab.failure(lab.bus.call(lab.ionbus.call({ ...lab.Probe.pid, name: "probe.nothing" }))),
      );
      expect(error).toMatchObject({ name: "NotFound", code: "not_found" });
      expect(error.message).toContain("probe.nothing");
    });

    test("refuse a client that publishes what is the broker's", async () => {
      const tick = { run: "forged", number: 0 };
      const local = await at().evaluate(
        (tick) => lab.failure(lab.bus.emit(lab.Probe.tick as never, tick as never)),
        tick,
      );
      expect(local).toMatchObject({ code: "not_allowed" });
      expect(local.message).toContain("probe.tick");
      // The same behind our own check's back: the broker refuses it too, and says so.
      await at().evaluate(
        (tick) =>
          lab.outcome(
            lab.bus.emit(
              lab.ionbus.event<string, unknown, unknown, "client">({ ...lab.Probe.tick, source: "client" }),
              tick,
            ),
          ),
        tick,
      );
      await untilThere(at(), "the refusal arrives", () =>
        lab.refused.some(({ code, message }) => code === "not_allowed" && message.includes("probe.tick")),
      );
      expect(await at().evaluate(() => lab.ticksOf("forged"))).toEqual([]);
    });
  });

  describe("events", () => {
    test("of the broker arrive in order, before the result of the call that emitted them", async () => {
      const numbers = await at().evaluate(async () => {
        await lab.bus.call(lab.Probe.emitTicks, { count: 300, run: "ordered" });
        return lab.ticksOf("ordered");
      });
      expect(numbers).toEqual(Array.from({ length: 300 }, (_, number) => number));
    });

    test("of a client reach the broker in order, and never come back to their sender", async () => {
      const seen = await at().evaluate(async () => {
        const who = `someone ${Math.random()}`;
        for (const text of ["one", "two", "three"]) await lab.bus.emit(lab.Probe.said, { who, text });
        const heard = await lab.bus.call(lab.Probe.heard, who);
        return {
          heard: heard.map(({ text }) => text),
          own: lab.said.filter((said) => said.who === who).length,
        };
      });
      expect(seen).toEqual({ heard: ["one", "two", "three"], own: 0 });
    });

    test("are heard by each listener for as long as it lasts, whatever others share with it", async () => {
      const heard = await at().evaluate(async () => {
        const { bus, Probe } = lab;
        const heard: string[] = [];
        const controller = new AbortController();
        let leave = (): void => {};
        const left = new Promise<void>((resolve) => {
          leave = resolve;
        });
        const own = (tick: { run: string }): boolean => tick.run === "lasting";
        bus.on(Probe.tick, (tick) => own(tick) && heard.push("signal"), { signal: controller.signal });
        bus.on("probe.tick", () => heard.push("promise"), { until: left });
        bus.once(Probe.tick, (tick) => own(tick) && heard.push("once"));
        const last = bus.on(Probe.tick, (tick) => own(tick) && heard.push(`last ${tick.number}`));
        const another = bus.on("probe.**", () => undefined);
        const subscribed = async (): Promise<string> => (await bus.call(Probe.subscribed)).sort().join();
        heard.push(await subscribed());
        another.close();
        const tick = (): Promise<null> => bus.call(Probe.emitTicks, { count: 1, run: "lasting" });
        const second = bus.waitFor(Probe.tick, { where: own, timeoutMs: 10_000 });
        await tick();
        heard.push(`waited ${(await second).number}`);
        controller.abort();
        leave();
        await left;
        await tick();
        last.close();
        await tick();
        heard.push(`off ${bus.off("probe.tick")}`, await subscribed());
        return heard;
      });
      // The broker knows one subscription to each thing; to `tick` the page itself listens as well.
      expect(heard).toEqual([
        "probe.**,probe.said,probe.tick",
        ...["signal", "promise", "once", "last 0", "waited 0", "last 0", "off 0"],
        "probe.said,probe.tick",
      ]);
    });

    test("of which only the newest counts are given once to each listener that joins others", async () => {
      const heard = await at().evaluate(async () => {
        const { bus, Probe } = lab;
        const heard: string[] = [];
        const listen = (who: string) =>
          bus.on(Probe.level, ({ name, value }) => name === "joined" && heard.push(`${who} ${value}`));
        await bus.call(Probe.setLevel, { name: "joined", value: 1 });
        const first = listen("first");
        await bus.call(Probe.pid);
        const second = listen("second");
        await bus.call(Probe.pid);
        await bus.call(Probe.setLevel, { name: "joined", value: 2 });
        first.close();
        await bus.call(Probe.setLevel, { name: "joined", value: 3 });
        second.close();
        await bus.call(Probe.setLevel, { name: "joined", value: 4 });
        return heard;
      });
      expect(heard).toEqual(["first 1", "second 1", "first 2", "second 2", "second 3"]);
    });

    test("are sampled, filtered and put together where they come from", async () => {
      const seen = await at().evaluate(async () => {
        const { bus, Probe } = lab;
        const sampled: number[] = [];
        const odd: number[] = [];
        const lists: number[][] = [];
        const wanted = {
          any: [
            ["number", "in", [1, 3]],
            ["number", "==", 5],
          ],
        } as const;
        const ticks = {
          all: [
            ["run", "==", "some"],
            ["number", "<", 6],
          ],
        } as const;
        const subscriptions = [
          bus.on(Probe.tick, ({ number }) => sampled.push(number), {
            everyMs: 60_000,
            where: ["run", "==", "some"],
          }),
          bus.on(Probe.tick, ({ number }) => odd.push(number), { where: { all: [ticks, wanted] } }),
          bus.on(Probe.tick, (those) => lists.push(those.map(({ number }) => number)), {
            where: ticks,
            batch: [3, 60_000],
          }),
        ];
        const refused = await lab.failure(
          bus.on(Probe.tick, () => {}, { where: ["numbr", ">", 1] as never }).confirmed(),
        );
        await bus.call(Probe.emitTicks, { count: 300, run: "some" });
        for (const each of subscriptions) each.close();
        return { sampled, odd, lists, refused: refused.message };
      });
      expect(seen).toEqual({
        sampled: [0],
        odd: [1, 3, 5],
        lists: [
          [0, 1, 2],
          [3, 4, 5],
        ],
        refused: expect.stringContaining("the payload has no field 'numbr'; did you mean 'number'?"),
      });
    });

    test("of which only the newest counts are given to who subscribes later", async () => {
      const values = await at().evaluate(async () => {
        for (const value of [1, 2, 3]) await lab.bus.call(lab.Probe.setLevel, { name: "water", value });
        const values: number[] = [];
        const stop = lab.bus.on(lab.Probe.level, ({ name, value }) => {
          if (name === "water") values.push(value);
        });
        await lab.bus.call(lab.Probe.setLevel, { name: "oil", value: 0 });
        stop();
        await lab.bus.call(lab.Probe.setLevel, { name: "water", value: 4 });
        return values;
      });
      expect(values).toEqual([3]);
    });
  });

  describe("streams", () => {
    test("give each item once, in order, and end", async () => {
      const numbers = await at().evaluate(async () => {
        const numbers: number[] = [];
        for await (const number of lab.bus.stream(lab.Probe.count, { name: "all", upto: 1000 }))
          numbers.push(number);
        return numbers;
      });
      expect(numbers).toEqual(Array.from({ length: 1000 }, (_, number) => number));
      await untilFate(at(), "all", "finished");
    });

    test("stop at the broker when the reader leaves", async () => {
      await at().evaluate(async () => {
        for await (const number of lab.bus.stream(lab.Probe.count, {
          name: "left",
          upto: 1e6,
          interval: 0.001,
        })) {
          if (number === 3) break;
        }
      });
      await untilFate(at(), "left", "cancelled");
    });
  });

  describe("the broker's own calls", () => {
    test.each(["ask", "askFromThread"] as const)("reach the client that called (%s)", async (member) => {
      const answer = await at().evaluate(async (member) => {
        const { text, data } = await lab.bus.call(lab.Probe[member], "Red or blue");
        return { text, data: new TextDecoder().decode(data) };
      }, member);
      expect(answer).toEqual({ text: "Red or blue? Yes.", data: "Red or blue" });
    });
  });

  describe("a call that is given up", () => {
    test("by its signal stops its handler", async () => {
      await at().evaluate(() => {
        const controller = new AbortController();
        const call = lab.bus.call(
          lab.Probe.slow,
          { name: "aborted", seconds: 600 },
          { signal: controller.signal },
        );
        lab.kept["aborted"] = { controller, failure: lab.failure(call) };
      });
      await untilFate(at(), "aborted", "running");
      const error = await at().evaluate(() => {
        const { controller, failure } = lab.kept["aborted"] as {
          controller: AbortController;
          failure: ReturnType<Lab["failure"]>;
        };
        controller.abort("enough");
        return failure;
      });
      expect(error).toMatchObject({ name: "CallCancelled", code: "call_cancelled", cause: "enough" });
      await untilFate(at(), "aborted", "cancelled");
    });

    test("by its time-out stops its handler", async () => {
      const error = await at().evaluate(() =>
        lab.failure(lab.bus.call(lab.Probe.slow, { name: "late", seconds: 600 }, { timeoutMs: 300 })),
      );
      expect(error).toMatchObject({ name: "CallTimeout", code: "call_timeout" });
      expect(error.message).toContain("probe.slow");
      await untilFate(at(), "late", "cancelled");
    });
  });

  test("a handler may print, and its child may read and print: nothing of it meets the frames", async () => {
    const read = await at().evaluate(() => lab.bus.call(lab.Probe.noisy));
    expect(read).toBe(0);
    expect(await at().evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
  });

  test("nothing of all this has cost the session", async () => {
    const seen = await at().evaluate(() => ({
      state: lab.bus.state,
      changes: lab.changes.filter(({ from, to }) => from !== "connecting" || to !== "open"),
    }));
    expect(seen).toEqual({ state: "open", changes: [] });
  });
}
