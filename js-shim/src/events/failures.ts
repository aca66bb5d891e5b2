/** What is told of a listener that failed. */

import { isThenable } from "../checks.js";

/** One failure of one listener: it harms no other, and does not make `emit` fail. */
export interface ListenerFailure {
  /** The event's full name. */
  readonly event: string;
  /** The function's name. */
  readonly listener: string;
  /** What it was given, in short: at most 200 characters of JSON, so without what `toJSON` or a field that is not enumerable keeps to itself. */
  readonly payload: string;
  /** What it threw. */
  readonly error: unknown;
  /** What it listens to. */
  readonly pattern: string;
}

export type OnError = (failure: ListenerFailure) => unknown;

/** Characters of a payload that are told. */
const MOST_TOLD = 200;

/** Tell of a failure; what `onError` itself throws, or its promise rejects with, goes to the console. */
export function report(failure: ListenerFailure, onError: OnError | undefined): void {
  const { event, listener, payload, error } = failure;
  if (onError === undefined) {
    console.error(`ionbus: a listener of ${event} failed: ${listener}, given ${payload}:`, error);
    return;
  }
  const failed = (thrown: unknown): void =>
    console.error(`ionbus: onError failed, told of the failure of ${listener} at ${event}:`, thrown);
  try {
    const telling = onError(failure);
    if (isThenable(telling)) telling.then(undefined, failed);
  } catch (thrown) {
    failed(thrown);
  }
}

/** A payload in short. */
export function summary(payload: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(payload, shown) ?? String(payload);
  } catch {
    text = `<${typeof payload}, which cannot be shown>`; // it holds itself, or its own toJSON fails
  }
  return text.length <= MOST_TOLD ? text : `${text.slice(0, MOST_TOLD - 1)}…`;
}

function shown(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  return value instanceof Uint8Array ? `${value.length} bytes` : value;
}

/** What a function is called. */
export function nameOf({ name }: (value: never) => unknown): string {
  return name || "a function without a name";
}
