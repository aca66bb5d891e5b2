/** One middleware of several, for everything or for some of what passes. */

import type { Interposed } from "../client/interposed.js";
import type {
  AnyMember,
  CallDescriptor,
  ContractNamespace,
  EventDescriptor,
  ServedBy,
  Source,
  StreamDescriptor,
} from "../contract.js";
import { matcher, patternProblem } from "../events/patterns.js";
import { interpose } from "./interpose.js";
import type { Direction, Kind, Layer, Middleware, MiddlewareOf } from "./message.js";
import { nameOf, passThrough } from "./onion.js";

/** A middleware that a bus can be made with: `connect({ middleware })`. */
export type Composed = Middleware & Interposed;

/** Which of what passes; what is left out: all. */
export interface Choice {
  readonly kind?: Kind | undefined;
  readonly direction?: Direction | undefined;
}

/** Middleware, and before it, where not everything is meant, which. */
export type Chosen<Each> = readonly Each[] | readonly [choice: Choice, ...middleware: Each[]];

/**
 * One middleware of several, the first outermost.
 *
 * @throws TypeError one is no function.
 */
export function compose(...middleware: readonly Middleware[]): Composed {
  const layers = layersOf(middleware);
  return composed(`compose(${layers.map(nameOf).join(", ")})`, (message, next) =>
    passThrough(layers, message, next),
  );
}

/**
 * Middleware for some of what passes: a member, whose payload and answer it then knows; a contract and those in it; or a
 * pattern ("**" is everything). All else passes by it. The first is outermost.
 *
 * ```ts
 * only(Conductor.execute, retry({ attempts: 3 }))
 * only(Conductor, { kind: "call", direction: "inbound" }, logging())
 * ```
 *
 * @throws TypeError one is no middleware, the pattern is malformed, or it is nothing that passes.
 */
export function only<Name extends string, Request, Response>(
  call: CallDescriptor<Name, Request, Response, ServedBy>,
  ...middleware: Chosen<MiddlewareOf<NoInfer<Request>, NoInfer<Response>>>
): Composed;
export function only<Name extends string, Request, Item>(
  stream: StreamDescriptor<Name, Request, Item, ServedBy>,
  ...middleware: Chosen<MiddlewareOf<NoInfer<Request>, AsyncIterable<NoInfer<Item>>>>
): Composed;
export function only<Name extends string, Payload, Sent>(
  event: EventDescriptor<Name, Payload, Sent, Source>,
  ...middleware: Chosen<MiddlewareOf<NoInfer<Payload | Sent>, void>>
): Composed;
export function only(what: ContractNamespace | string, ...middleware: Chosen<Middleware>): Composed;
export function only(what: AnyMember | ContractNamespace | string, ...given: readonly unknown[]): Composed {
  const matches = scopeOf(what);
  const hasChoice = typeof given[0] === "object" && given[0] !== null;
  const { kind, direction } = hasChoice ? (given[0] as Choice) : {};
  const layers = layersOf(hasChoice ? given.slice(1) : given);
  return composed(`only(${layers.map(nameOf).join(", ")})`, (message, next) => {
    const isMeant =
      matches(message.name) &&
      (kind ?? message.kind) === message.kind &&
      (direction ?? message.direction) === message.direction;
    return isMeant ? passThrough(layers, message, next) : next(message);
  });
}

function composed(name: string, layer: Layer): Composed {
  Object.defineProperty(layer, "name", { value: name });
  const around = layer as (...passing: Parameters<Layer>) => Promise<unknown>; // both of the above give a promise
  return Object.assign(layer, { interpose: interpose.bind(undefined, around) }) as Composed;
}

function layersOf(middleware: readonly unknown[]): readonly Layer[] {
  for (const each of middleware) {
    if (typeof each === "function") continue;
    throw new TypeError(`middleware is a function, (message, next) => …, not ${String(each)}`);
  }
  return middleware as readonly Layer[];
}

function scopeOf(what: AnyMember | ContractNamespace | string): (name: string) => boolean {
  if (typeof what === "string") {
    const problem = patternProblem(what);
    if (problem !== undefined) throw new TypeError(`only: ${problem}`);
    return matcher(what);
  }
  if (typeof what === "object" && what !== null) {
    if ("__contract__" in what) return matcher(`${what.__contract__.name}.**`);
    if ("kind" in what && "contract" in what) return (name) => name === what.name;
  }
  throw new TypeError(`only: takes a member, a contract or a pattern, not ${String(what)}`);
}
