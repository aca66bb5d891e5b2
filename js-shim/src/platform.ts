/** What ionbus needs of the platform, and where an older Node.js takes it from instead. */

import type { Route } from "./client/bus.js";
import type { Source } from "./client/connect.js";
import { NotFound } from "./errors.js";

/** A WebSocket: the platform's, or one with the same manners. */
export type WebSocketConstructor = new (url: string, protocols: string) => WebSocket;

/** Stands in for what the platform lacks. */
export interface Substitutes {
  /** @throws NotFound with what to do. */
  readonly webSocket: () => WebSocketConstructor;
  /** So many random bytes, from a cryptographic source. */
  readonly entropy: (size: number) => Uint8Array;
  /** The way to the broker that the environment names, if it names one. */
  readonly routeFromEnvironment: (token: Source<string | undefined> | undefined) => Route | undefined;
}

let substitutes: Substitutes | undefined;

/** Say what to use where the platform lacks it; the entry points for Node.js do. */
export function setSubstitutes(given: Substitutes): void {
  substitutes = given;
}

/** Give the WebSocket to use. @throws NotFound there is none. */
export function findWebSocket(): WebSocketConstructor {
  const { WebSocket: platforms } = globalThis as { WebSocket?: WebSocketConstructor };
  if (platforms !== undefined) return platforms;
  if (substitutes !== undefined) return substitutes.webSocket();
  throw new NotFound("connect: there is no WebSocket on this platform; pass `open` to use another channel");
}

/** Give so many random bytes, from a cryptographic source. */
export function entropy(size: number): Uint8Array {
  const { crypto } = globalThis as { crypto?: Pick<Crypto, "getRandomValues"> };
  if (crypto !== undefined) return crypto.getRandomValues(new Uint8Array(size));
  if (substitutes !== undefined) return substitutes.entropy(size);
  throw new NotFound("connect: there is no source of random numbers on this platform");
}

/** Give the way to the broker that the environment names; a page has no environment. */
export function routeFromEnvironment(token: Source<string | undefined> | undefined): Route | undefined {
  return substitutes?.routeFromEnvironment(token);
}
