/** Electron applications under test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { _electron, type ElectronApplication, type Page } from "playwright-core-electron22";
import type { Place } from "./cases.js";
import { brokerCommand, builtPage, inRepository } from "./paths.js";
import { allGone, brokersOf, killAll, newMark } from "./processes.js";
import { until } from "./until.js";

export type Transport = "port" | "websocket";

export const transports: Transport[] = ["port", "websocket"];

/** What plain-app's main process gives to the tests. */
export interface Shell {
  readonly broker: import("ionbus/electron-main").LaunchedBroker;
  readonly ready: Promise<null | { name: string; code: string; message: string }>;
  readonly logs: string[];
  readonly states: string[];
  readonly launchBroker: typeof import("ionbus/electron-main").launchBroker;
  readonly preloadPath: string;
  readonly uncaught: string[];
  open(options?: OpenOptions): Promise<void>;
  // To the window that was opened last:
  window(): { once(event: "closed", listener: () => void): unknown; isDestroyed(): boolean };
  attach(): void;
  crash(): Promise<void>;
  recover(): Promise<number>;
}

export interface OpenOptions {
  readonly isAttached?: boolean;
  /** Whether the preload runs in the frames inside the window too. */
  readonly hasPreloadInFrames?: boolean;
}

declare global {
  /** In Electron's main process only. */
  var shell: Shell;
}

export interface Launch {
  readonly transport?: Transport;
  /** What to start in place of the broker of app/. */
  readonly launch?: import("ionbus/electron-main").LaunchOptions;
  readonly appFolder?: string;
  /** The folder of what its windows show. Default: page/, built. */
  readonly page?: string;
}

/** A running application; what was started with it is found by its mark. */
export class App implements Place {
  readonly electron: ElectronApplication;
  readonly page: Page;
  readonly mark: string;
  readonly #profile: string;

  private constructor(electron: ElectronApplication, page: Page, mark: string, profile: string) {
    this.electron = electron;
    this.page = page;
    this.mark = mark;
    this.#profile = profile;
  }

  static async start({
    transport = "port",
    launch = brokerCommand,
    appFolder,
    page = builtPage,
  }: Launch = {}): Promise<App> {
    const executablePath = process.env["IONBUS_ELECTRON"];
    if (!executablePath)
      throw new Error("IONBUS_ELECTRON names no Electron: run `make test-e2e`, or see e2e/README.md");
    const profile = await mkdtemp(path.join(tmpdir(), "ionbus-e2e-"));
    const { mark, env } = newMark();
    const electron = await _electron.launch({
      executablePath,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        `--user-data-dir=${profile}`,
        appFolder ?? inRepository("e2e", "electron", "plain-app"),
      ],
      env: { ...env, E2E_SETTINGS: JSON.stringify({ launch, transport, page }) },
    });
    const app = new App(electron, await electron.firstWindow(), mark, profile);
    await hasLoaded(app.page);
    return app;
  }

  evaluate<R>(there: () => R | Promise<R>): Promise<R>;
  evaluate<R, A>(there: (argument: A) => R | Promise<R>, argument: A): Promise<R>;
  evaluate(there: (argument: unknown) => unknown, argument?: unknown): Promise<never> {
    return this.page.evaluate(there, argument) as Promise<never>;
  }

  logs(): Promise<string[]> {
    return this.main(() => shell.logs);
  }

  /** Run a function in Electron's main process. */
  main<R>(there: () => R | Promise<R>): Promise<R> {
    return this.electron.evaluate(there);
  }

  /** Open one more window, and give its page. */
  async open(options: OpenOptions = {}): Promise<Page> {
    const [page] = await Promise.all([
      this.electron.waitForEvent("window"),
      this.electron.evaluate((_, options) => shell.open(options), options),
    ]);
    await hasLoaded(page);
    return page;
  }

  /** The pid of the one Python that runs for this application. */
  async python(): Promise<number> {
    const alone = () => {
      const [broker, ...others] = brokersOf(this.mark);
      return others.length === 0 && broker?.pid;
    };
    return until("one Python runs", alone);
  }

  /** End it as a user would; everything that it started must go with it. */
  async quit(): Promise<void> {
    try {
      await this.electron.close();
      await allGone(this.mark, 10_000);
    } finally {
      await this.tidy();
    }
  }

  /** Leave nothing behind, whatever happened. */
  async tidy(): Promise<void> {
    killAll(this.mark);
    await allGone(this.mark);
    // Chromium's helpers write over their environment, and the last of them may still be at it.
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

/** Wait until the page's script has run. (Playwright's own waiting evaluates text, which the page's policy forbids.) */
async function hasLoaded(page: Page): Promise<void> {
  const isThere = () => "lab" in globalThis || document.querySelector("main") !== null;
  await until("the page has loaded", () => page.evaluate(isThere).catch(() => false)); // it may be navigating
}
