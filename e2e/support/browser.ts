/** Pages in Debian's headless Chromium, and the little server that they come from. */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { builtPage } from "./paths.js";

const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript" };

export function startChromium(...more: string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["IONBUS_CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      ...more,
    ],
  });
}

/** A static web server of page/built on a port of its own, hence an origin of its own; `/redirect?to=…` leads elsewhere. */
export class Site {
  readonly origin: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Site> {
    const server = createServer(async ({ url = "/" }, response) => {
      const { pathname, searchParams } = new URL(url, "http://localhost");
      if (pathname === "/redirect") {
        response.writeHead(302, { location: searchParams.get("to") ?? "/" }).end();
        return;
      }
      const name = path.basename(pathname) || "index.html";
      try {
        const body = await readFile(path.join(builtPage, name));
        response.writeHead(200, { "content-type": TYPES[path.extname(name)] ?? "application/octet-stream" });
        response.end(body);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Site(server);
  }

  /** Open the page in a browser of its own, connected to a broker. */
  async open(browser: Browser, endpoint: { url: string; token: string }): Promise<Page> {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.addInitScript(
      (endpoint) => {
        globalThis.endpoint = endpoint;
      },
      { url: endpoint.url, token: endpoint.token },
    );
    await page.goto(`${this.origin}/`);
    return page;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
