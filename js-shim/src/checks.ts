/** What users hand to a bus or an emitter, looked at: not every caller is checked by TypeScript. */

import {
  type AnyCall,
  type AnyEvent,
  type AnyStream,
  type ContractNamespace,
  isContract,
} from "./contract.js";
import { patternProblem } from "./events/patterns.js";

/** The member itself. @throws TypeError it is none of this kind. */
export function memberOf<Member extends AnyEvent | AnyCall | AnyStream>(
  member: Member,
  kind: Member["kind"],
  where: string,
): Member {
  const known: { readonly kind?: unknown; readonly name?: unknown } = Object(member);
  if (known.kind === kind) return member;
  const shown = known.kind === undefined ? String(member) : `the ${known.kind} ${known.name}`;
  throw new TypeError(`${where}: takes ${kind === "event" ? "an" : "a"} ${kind} of a contract, not ${shown}`);
}

/** The function itself. @throws TypeError it is none. */
export function functionOf<Value>(value: Value, where: string): Value {
  if (typeof value !== "function") throw new TypeError(`${where}: ${String(value)} is no function`);
  return value;
}

/** The listener itself. @throws TypeError it is no function, or one whose calls nobody would run. */
export function listenerOf<Value>(listener: Value, where: string): Value {
  const kind = Object.prototype.toString.call(functionOf(listener, where));
  if (!kind.includes("Generator")) return listener;
  throw new TypeError(
    `${where}: ${Reflect.get(listener as object, "name")} is a generator function, which nobody would run`,
  );
}

/** Whether it can be waited for. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "then") === "function";
}

/** What somebody listens to: an event, all of a contract, or what a pattern matches. */
export type What = AnyEvent | ContractNamespace | string;

/** Its pattern, and whether its listeners are handed the name as well. @throws TypeError it is none of these. */
export function wanted(what: What, where: string): readonly [pattern: string, isNamed: boolean] {
  if (isContract(what)) return [`${what.__contract__.name}.**`, true];
  if (typeof what !== "string") return [memberOf(what, "event", where).name, false];
  const problem = patternProblem(what);
  if (problem !== undefined) throw new TypeError(`${where}: ${problem}`);
  return [what, true];
}

/** A time-out as the wire can say it. @throws TypeError it is no time. */
export function milliseconds(name: string, timeoutMs: unknown): number | null {
  if (timeoutMs === null) return null;
  if (typeof timeoutMs !== "number" || Number.isNaN(timeoutMs)) {
    const given = String(timeoutMs);
    throw new TypeError(`${name}: timeoutMs ${given} is not a time; give milliseconds, or null for no limit`);
  }
  return timeoutMs < FOREVER_MS ? timeoutMs : null;
}

/** From here on a time-out is none: 31 years. */
const FOREVER_MS = 1e12;
