/** A record of each passage. */

import { isIonbusError } from "../errors.js";
import { now } from "../time.js";
import { Dropped, type Middleware } from "./message.js";
import { named, passing } from "./passing.js";

/** One passage that is over. */
export interface Passage {
  readonly name: string;
  readonly kind: "call" | "stream" | "event";
  readonly direction: "inbound" | "outbound";
  /** "answered", "ended", "closed", "passed", "dropped", "cancelled", or an error's code or class. */
  readonly outcome: string;
  readonly ms: number;
  /** How many items of a stream have passed. */
  readonly items: number | undefined;
  readonly requestId: number;
  readonly trace: string | undefined;
  /** What it failed with. */
  readonly error: unknown;
  /** Where payloads are asked for. */
  readonly payload: unknown;
}

export interface LoggingOptions {
  /** Takes each passage. Default: a line on the console, `debug` for what went well and `warn` for what failed. */
  readonly log?: ((passage: Passage) => void) | undefined;
  /** Whether payloads are told; they may hold what no log should. Default: false. */
  readonly payloads?: boolean | undefined;
}

/** Log each message when its passage is over: of a stream, when its items are. */
export function logging({ log = writeLine, payloads = false }: LoggingOptions = {}): Middleware {
  return named("logging", async (message, next) => {
    const { name, kind, direction, context } = message;
    const began = now();
    const over = (outcome: string, items?: number, error?: unknown): void =>
      log({
        ...{ name, kind, direction, outcome, items, error },
        ms: now() - began,
        requestId: context.requestId,
        trace: context.trace,
        payload: payloads ? message.payload : undefined,
      });
    const failed = (error: unknown, items?: number): void =>
      context.signal?.aborted ? over("cancelled", items) : over(codeOf(error), items, error);
    try {
      const result = await next(message);
      if (kind === "stream")
        return passing(result, (items, ending) =>
          ending.how === "failed" ? failed(ending.error, items) : over(ending.how, items),
        );
      over(result instanceof Dropped ? "dropped" : kind === "call" ? "answered" : "passed");
      return result;
    } catch (error) {
      failed(error);
      throw error;
    }
  });
}

/** An error's code, or the name of its class. */
export function codeOf(error: unknown): string {
  if (isIonbusError(error)) return error.code;
  return error instanceof Error ? error.name : typeof error;
}

function writeLine({ direction, kind, name, outcome, ms, items, error }: Passage): void {
  const counted = items === undefined ? "" : `, ${items} items`;
  const line = `ionbus: ${direction} ${kind} ${name}: ${outcome} in ${ms.toFixed(1)} ms${counted}`;
  if (error === undefined) console.debug(line);
  else console.warn(`${line}:`, error);
}
