/** Who is not let in, and what it is told. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ToldError } from "../page/lab.js";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { Site, startChromium } from "../support/browser.js";
import { until } from "../support/until.js";

let browser: Browser;
let site: Site;
let foreign: Site;
let broker: ServedBroker;
let page: Page;

beforeAll(async () => {
  [browser, site, foreign] = await Promise.all([startChromium(), Site.start(), Site.start()]);
  broker = await startBroker({ origins: [site.origin] });
  page = await site.open(browser, broker);
});
afterAll(async () => {
  await browser?.close();
  await Promise.all([site?.stop(), foreign?.stop(), broker?.stop()]);
});

/** What comes of a first call on a bus of its own in the page. */
function refusal(
  where: Page,
  options: { url: string; token?: string; version?: string },
): Promise<{
  error: ToldError;
  state: string;
}> {
  return where.evaluate(async ({ version, ...options }) => {
    const { Probe, ionbus } = lab;
    const contract = { ...Probe.__contract__, version: version ?? "", fingerprint: "0".repeat(32) };
    const bus = ionbus.connect({
      ...options,
      ...(version === undefined ? {} : { contracts: [{ __contract__: contract }] }),
    });
    const error = await lab.failure(bus.call(Probe.pid, null, { timeoutMs: 5000 }));
    const { state } = bus;
    await bus.close();
    return { error, state };
  }, options);
}

test("a page of a foreign origin is refused, and nobody else notices", async () => {
  const stranger = await foreign.open(browser, broker);
  const error = await stranger.evaluate(() =>
    lab.failure(lab.bus.call(lab.Probe.pid, null, { timeoutMs: 2000 })),
  );
  expect(error.code).toMatch(/^(call_timeout|connection_lost|not_allowed)$/);
  expect(await stranger.evaluate(() => lab.bus.state)).toBe("connecting"); // a browser tells a page no more than that it failed
  expect(await stranger.evaluate(() => lab.changes)).toEqual([]);
  expect(await page.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
});

test("a sandboxed frame, whose origin is null, is refused like any other", async () => {
  const status = await page.evaluate(async (url) => {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.srcdoc = "<p>null</p>";
    document.body.append(frame);
    await new Promise((resolve) => {
      frame.onload = resolve;
    });
    return url;
  }, broker.url);
  const frame = await until("the frame is there", () => page.frames()[1]);
  const outcome = await frame.evaluate(
    (url) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(url, "ionbus.v1");
        socket.onopen = () => resolve("open");
        socket.onerror = () => resolve("refused");
      }),
    status,
  );
  expect(outcome).toBe("refused");
});

test.each([
  ["wrong", "not-the-token"],
  ["missing", undefined],
])("a %s token is refused for good, in words", async (_, token) => {
  const { error, state } = await refusal(page, {
    url: broker.url,
    ...(token === undefined ? {} : { token }),
  });
  expect(error).toMatchObject({ name: "Unauthenticated", code: "unauthenticated" });
  expect(error.message).toMatch(/token/);
  expect(error.message).not.toContain(broker.token);
  expect(state).toBe("closed");
  expect(await page.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
});

test("a client that was built with another contract is told so, with both versions", async () => {
  const { error, state } = await refusal(page, { url: broker.url, token: broker.token, version: "9.0" });
  expect(error).toMatchObject({ name: "ContractMismatch", code: "contract_mismatch" });
  for (const part of ["probe", "9.0", "1.0"]) expect(error.message).toContain(part);
  expect(state).toBe("closed");
});

test("a contract that is announced later and does not fit fails what uses it, and nothing else", async () => {
  const error = await page.evaluate(() => {
    const { Probe, ionbus } = lab;
    const contract = { ...Probe.__contract__, version: "9.0", fingerprint: "0".repeat(32) };
    return lab.failure(lab.bus.call(ionbus.call({ ...Probe.pid, contract })));
  });
  expect(error).toMatchObject({ name: "ContractMismatch", code: "contract_mismatch" });
  await page.reload();
  expect(await page.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 1 }))).toBe(2);
});
