/** A page in Chromium on a broker that is served with TLS: the certificate is checked, and there is no way round it. */
import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { Site, startChromium } from "../support/browser.js";
import { inRepository } from "../support/paths.js";

const CERTIFICATE = inRepository("tests", "channels", "localhost.pem");

let trusting: Browser;
let wary: Browser;
let site: Site;
let broker: ServedBroker;

beforeAll(async () => {
  const key = new X509Certificate(await readFile(CERTIFICATE)).publicKey.export({
    type: "spki",
    format: "der",
  });
  const digest = createHash("sha256").update(key).digest("base64");
  [trusting, wary, site] = await Promise.all([
    startChromium(`--ignore-certificate-errors-spki-list=${digest}`),
    startChromium(),
    Site.start(),
  ]);
  broker = await startBroker({ certificate: CERTIFICATE, origins: [site.origin] });
});
afterAll(async () => {
  await Promise.all([trusting?.close(), wary?.close(), site?.stop(), broker?.stop()]);
});

test("a browser that knows the certificate is served", async () => {
  const page = await site.open(trusting, broker);
  expect(await page.evaluate(() => lab.bus.call(lab.Probe.add, { a: 1, b: 2 }))).toBe(3);
});

test.each([
  ["does not know it", (): Browser => wary, "wss:"],
  ["speaks no TLS", (): Browser => trusting, "ws:"],
])("one that %s is not, and its page stays without a session", async (_, browser, scheme) => {
  const page = await site.open(browser(), { ...broker, url: broker.url.replace("wss:", scheme) });
  const error = await page.evaluate(() =>
    lab.failure(lab.bus.call(lab.Probe.pid, null, { timeoutMs: 1500 })),
  );
  expect(error.code).toBe("call_timeout");
  expect(await page.evaluate(() => lab.changes.map(({ to }) => to))).not.toContain("open");
});
