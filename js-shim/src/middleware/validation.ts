/** Checks of a payload that its type cannot say. */

import { InvalidPayload, type PayloadProblem } from "../errors.js";
import type { MiddlewareOf } from "./message.js";
import { named } from "./passing.js";

export interface ValidationOptions {
  /** "refuse": `InvalidPayload`; "warn": a warning on the console, and the message passes; "off": nothing is checked. Default: "refuse". */
  readonly level?: "refuse" | "warn" | "off" | undefined;
}

/**
 * Check payloads beyond their types.
 *
 * @param check - gives what is wrong with a payload, as `[["flow.nodes", "a node is named twice"]]`; nothing where all is well.
 */
export function validation<Payload>(
  check: (payload: Payload) => readonly PayloadProblem[] | undefined,
  { level = "refuse" }: ValidationOptions = {},
): <Answer>(
  ...passing: Parameters<MiddlewareOf<Payload, Answer>>
) => ReturnType<MiddlewareOf<Payload, Answer>> {
  return named("validation", async (message, next) => {
    const paths = level === "off" ? [] : (check(message.payload as Payload) ?? []);
    if (paths.length > 0) {
      const told = paths.map(([path, problem]) => (path === "" ? problem : `${path}: ${problem}`)).join("; ");
      if (level === "refuse") throw new InvalidPayload(`${message.name}: ${told}`, { paths });
      console.warn(`ionbus: ${message.direction} ${message.kind} ${message.name}: ${told}`);
    }
    return next(message);
  });
}
