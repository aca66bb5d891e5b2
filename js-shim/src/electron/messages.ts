/** What a page, its preload and Electron's main say to one another to hand over a channel. Imports nothing: the preload holds it. */

/** An event by which a page asks whether there is a preload that knows ionbus; the preload says so by `preventDefault`. */
export const PROBE = "ionbus:probe";

/**
 * A page asks its preload by an event on the window that they share, with the broker's name as its detail, and
 * the preload asks main: `ipcRenderer.send(ASK, name)`.
 */
export const ASK = "ionbus:ask";

/** Main answers, with a port where the transport is one: `frame.postMessage(ANSWER, HandOver, [port])`. */
export const ANSWER = "ionbus:answer";

/**
 * What main hands over through the preload to the page: beside it is the port, or in it the address to connect to, or why
 * there is neither.
 */
export interface HandOver {
  readonly ionbus: 1;
  readonly name: string;
  readonly token?: string;
  readonly url?: string;
  readonly problem?: string;
  /** Whether there is no sense in asking again. */
  readonly isFinal?: boolean;
}

/** Names of brokers: short, and such that they need no escaping anywhere. */
export function isName(value: unknown): value is string {
  return typeof value === "string" && /^[\w.-]{1,64}$/.test(value);
}

/** Whether a message is a hand-over. */
export function isHandOver(value: unknown): value is HandOver {
  return (
    typeof value === "object" &&
    value !== null &&
    Reflect.get(value, "ionbus") === 1 &&
    isName(Reflect.get(value, "name"))
  );
}
