/** How middleware that ships refuses, and which failures it takes for ones that may pass. */

import { type ErrorDetails, IonbusError, isIonbusError } from "../errors.js";
import { MiddlewareError } from "./message.js";

/** More came than `rateLimit` lets pass. */
export class RateLimited extends IonbusError<"rate_limited"> {
  static override readonly code: string = "rate_limited";

  /** @param retryAfterMs - after so many milliseconds it would have passed. */
  constructor(
    message: string,
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }

  override details(): ErrorDetails {
    return { retry_after: this.retryAfterMs / 1_000 };
  }
}

/** `circuitBreaker` lets nothing pass for now, after too many failures. */
export class CircuitOpen extends IonbusError<"circuit_open"> {
  static override readonly code = "circuit_open";

  /** @param retryAfterMs - after so many milliseconds it is tried again. */
  constructor(
    message: string,
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }

  override details(): ErrorDetails {
    return { retry_after: this.retryAfterMs / 1_000 };
  }
}

const TRANSIENT: ReadonlySet<string> = new Set([
  ...["call_timeout", "connection_lost", "session_lost", "internal_error"],
  ...["rate_limited", "circuit_open"],
]);

/** Whether the same may succeed later: an error that says so by its code, or one that no contract and no rule foresees. */
export function isTransient(error: unknown): boolean {
  return isIonbusError(error) ? TRANSIENT.has(error.code) : !(error instanceof MiddlewareError);
}

/** Milliseconds before which there is no use in trying again; 0 where nobody said so. */
export function retryAfter(error: unknown): number {
  const given: unknown = isIonbusError(error) ? Reflect.get(error, "retryAfterMs") : 0;
  return typeof given === "number" ? given : 0;
}
