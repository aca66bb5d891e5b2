/** In a real Chromium; each test is named after what happened to others (docs/lessons.md). */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { Site, startChromium } from "../support/browser.js";

let browser: Browser;
let ours: Site;
let foreign: Site;
let broker: ServedBroker;
let another: ServedBroker;

beforeAll(async () => {
  [browser, ours, foreign] = await Promise.all([startChromium(), Site.start(), Site.start()]);
  const origins = [ours.origin];
  [broker, another] = await Promise.all([startBroker({ origins }), startBroker({ origins })]);
});
afterAll(async () => {
  await browser?.close();
  await Promise.all([ours?.stop(), foreign?.stop(), broker?.stop(), another?.stop()]);
});

test("a local port has no token: any web page can call the backend", async () => {
  const { url, token } = broker;
  expect(token).not.toBe(another.token);
  for (const each of [token, another.token]) expect(each).toMatch(/^[\w-]{43,}$/);

  const page = await ours.open(browser, { url, token });
  expect(await page.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 2 }))).toBe(3);
  const guesses = [
    undefined,
    "",
    "ionbus",
    "token",
    "secret",
    "wslink-secret",
    "vtkweb-secret",
    another.token,
  ];
  const outcomes = await page.evaluate(
    async ({ url, guesses }) => {
      const outcomes: string[] = [];
      for (const token of guesses) {
        const bus = lab.ionbus.connect({ url, token });
        outcomes.push((await lab.failure(bus.call(lab.Probe.pid, null, { timeoutMs: 5_000 }))).code);
        await bus.close();
      }
      return outcomes;
    },
    { url, guesses },
  );
  expect(outcomes).toEqual(guesses.map(() => "unauthenticated"));

  // A page of somebody else gets no connection at all, not even where it knows the token.
  const stranger = await foreign.open(browser, { url, token });
  const knocked = await stranger.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, "ionbus.v1");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      }),
    url,
  );
  expect(knocked).toBe("refused");
  const called = await stranger.evaluate(() =>
    lab.failure(lab.bus.call(lab.Probe.pid, null, { timeoutMs: 500 })),
  );
  expect(called.code).toBe("call_timeout");
  expect(await stranger.evaluate(() => lab.changes)).toEqual([]);
});
