/** A network that fails under a page: the session goes on, and nothing is lost, doubled or reordered. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { Site, startChromium } from "../support/browser.js";
import { Network } from "../support/network.js";
import { until } from "../support/until.js";

let browser: Browser;
let site: Site;
let broker: ServedBroker;
let network: Network;
let page: Page;

beforeAll(async () => {
  [browser, site, network] = await Promise.all([startChromium(), Site.start(), Network.start()]);
  broker = await startBroker({ origins: [site.origin], hosts: [`127.0.0.1:${network.port}`] });
  network.target = Number(new URL(broker.url).port);
  page = await site.open(browser, { url: `ws://127.0.0.1:${network.port}`, token: broker.token });
});
afterAll(async () => {
  await browser?.close();
  await Promise.all([site?.stop(), network?.stop(), broker?.stop()]);
});

const numbers = (count: number) => Array.from({ length: count }, (_, number) => number);

test("cut many times while events, calls, a stream and megabytes travel both ways", async () => {
  await page.evaluate(() => {
    const { bus, Probe } = lab;
    const data = lab.bytes(3_000_000);
    lab.kept["work"] = Promise.all([
      bus.call(Probe.emitTicks, { count: 2000, interval: 0.002, run: "cut" }),
      (async () => {
        const items: number[] = [];
        for await (const item of bus.stream(Probe.count, { name: "cut", upto: 1500, interval: 0.002 }))
          items.push(item);
        return items;
      })(),
      (async () => {
        for (let number = 0; number < 200; number++) {
          await bus.emit(Probe.said, { who: "cut page", text: String(number) });
          if ((await bus.call(Probe.add, { a: number, b: 1 })) !== number + 1) throw new Error("a wrong sum");
        }
      })(),
      (async () => {
        const { data: back } = await bus.call(Probe.echo, { text: "cut", data });
        return back.length === data.length && back.every((byte, index) => byte === data[index]);
      })(),
    ]);
  });
  let isDone = false;
  const done = page
    .evaluate(() => lab.kept["work"] as Promise<[null, number[], undefined, boolean]>)
    .finally(() => {
      isDone = true;
    });
  let cuts = 0;
  while (!isDone && cuts < 7) {
    const before = network.connections;
    network.cut();
    cuts++;
    await until("it is back", () => isDone || network.connections > before);
    await Promise.race([done, sleep(40 + 15 * cuts)]); // at another point of the traffic each time
  }
  expect(cuts).toBeGreaterThan(3);

  const [, items, , isWhole] = await done;
  expect(items).toEqual(numbers(1500));
  expect(isWhole).toBe(true);
  expect(await page.evaluate(() => lab.ticksOf("cut"))).toEqual(numbers(2000));
  const heard = await page.evaluate(() => lab.bus.call(lab.Probe.heard, "cut page"));
  expect(heard.map(({ text }) => Number(text))).toEqual(numbers(200));

  const changes = await page.evaluate(() => lab.changes.filter(({ to }) => to === "open").slice(1));
  expect(changes.length).toBeGreaterThan(3);
  expect(changes.filter(({ resumed }) => !resumed)).toEqual([]);
});

test("gone for two seconds while events are emitted: they all arrive afterwards", async () => {
  const call = page.evaluate(() =>
    lab.bus.call(lab.Probe.emitTicks, { count: 100, interval: 0.02, run: "away" }),
  );
  await until("some have arrived", () => page.evaluate(() => lab.ticksOf("away").length > 5));
  network.down();
  await until("it is noticed", () => page.evaluate(() => lab.bus.state === "reconnecting"));
  await sleep(2000);
  expect(await page.evaluate(() => lab.ticksOf("away").length)).toBeLessThan(100);
  network.up();
  await call;
  expect(await page.evaluate(() => lab.ticksOf("away"))).toEqual(numbers(100));
});
