import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe } from "vitest";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { Site, startChromium } from "../support/browser.js";
import { describeBus, type Place } from "../support/cases.js";

describe("a page in Chromium", () => {
  let browser: Browser;
  let site: Site;
  let broker: ServedBroker;
  let place: Place;

  beforeAll(async () => {
    [browser, site] = await Promise.all([startChromium(), Site.start()]);
    broker = await startBroker({ origins: [site.origin] });
    const page: Page = await site.open(browser, broker);
    place = {
      evaluate: (there: (argument: unknown) => unknown, argument?: unknown) =>
        page.evaluate(there, argument) as Promise<never>,
      logs: () => broker.logs,
    };
  });
  afterAll(async () => {
    await browser?.close();
    await Promise.all([site?.stop(), broker?.stop()]);
  });

  describeBus(() => place);
});
