/** What Node.js gives where it has no global of the name: Node.js 16 has neither `crypto` nor `WebSocket`, 20 no `WebSocket`. */

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { NotFound } from "../errors.js";
import { setSubstitutes, type WebSocketConstructor } from "../platform.js";
import { allValues } from "../wire/all_values.js";
import { know } from "../wire/values.js";
import { routeFromEnvironment } from "./environment.js";

/** Let ionbus use Node.js's modules; the entry points for Node.js call it. */
export function useNodePlatform(): void {
  know(allValues);
  setSubstitutes({ webSocket, entropy: (size) => new Uint8Array(randomBytes(size)), routeFromEnvironment });
}

/** The optional peer `ws`. */
function webSocket(): WebSocketConstructor {
  try {
    const load = typeof require === "function" ? require : createRequire(import.meta.url);
    return (load("ws") as { WebSocket: WebSocketConstructor }).WebSocket;
  } catch (cause) {
    throw new NotFound(
      `connect: Node.js ${process.versions.node} has no WebSocket; get one with: npm install ws`,
      { cause },
    );
  }
}
