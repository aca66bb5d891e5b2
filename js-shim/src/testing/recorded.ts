/** What a recorder has written down, and whether it is what a test waits for. Pure. */

import type { Bus, StateChange } from "../client/bus.js";
import type {
  AnyEvent,
  ContractNamespace,
  EventDescriptor,
  Received,
  ReceivedOf,
  Source,
} from "../contract.js";
import { matcher, patternProblem } from "../events/patterns.js";
import type { ConnectionState } from "../generated/states.js";

/** What may be waited for: an event, a state that is reached, any event of a contract, or of a pattern as "conductor.*". */
export type What = AnyEvent | ContractNamespace | ConnectionState | (string & {});

/** What a test is given of it: an event's payload, the `StateChange`, else what `bus.on` would give. */
export type ValueOf<Wish> =
  Wish extends Wanted<infer Value>
    ? Value
    : Wish extends EventDescriptor<string, infer Payload, infer _, Source>
      ? Payload
      : Wish extends ConnectionState
        ? StateChange
        : Wish extends ContractNamespace
          ? ReceivedOf<Wish>
          : Received;

/** One thing that happened on a bus. */
export interface Recorded {
  readonly kind: "event" | "state";
  /** Where. */
  readonly bus: Bus;
  /** That bus' name in this recording. */
  readonly label: string;
  /** When, in milliseconds since the recorder was made, by the time of ionbus. */
  readonly at: number;
  /** The event's full name, or "state". */
  readonly name: string;
  /** The event's, or the `StateChange`. */
  readonly payload: unknown;
}

/** What a test waits for; `wanted` makes one. */
export interface Wanted<Value> {
  readonly wanted: What;
  /** Given what the test would be given, says whether this is the one. */
  readonly where: ((value: Value) => unknown) | undefined;
  /** On this bus only. */
  readonly bus: Bus | undefined;
}

// Whatever the payload is: nothing but `any` stands for every one.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyWanted = Wanted<any>;

export interface WantedOptions<Value> {
  /** Given the payload (or the `StateChange`, or the `Received`), says whether this is the one. */
  readonly where?: ((value: Value) => unknown) | undefined;
  /** On this bus only. */
  readonly bus?: Bus | undefined;
}

/** Say more of what is waited for than its name: `wanted(Conductor.progress, { where: ({ percent }) => percent === 100 })`. */
export function wanted<const Wish extends What>(
  what: Wish,
  { where, bus }: WantedOptions<ValueOf<Wish>> = {},
): Wanted<ValueOf<Wish>> {
  if (!isEvent(what) && !isContract(what) && typeof what !== "string")
    throw new TypeError(`an event, a state, a contract or a pattern can be waited for, not ${String(what)}`);
  const problem = typeof what === "string" ? patternProblem(what) : undefined;
  if (problem !== undefined) throw new TypeError(problem);
  if (where !== undefined && typeof where !== "function")
    throw new TypeError(`where is a function of the payload, not ${String(where)}`);
  return { wanted: what, where, bus };
}

/** How many of what was recorded an error shows, the newest. */
const SHOWN = 40;
/** How many characters of a payload it shows. */
const LONGEST = 200;

/** None of the states is an event's pattern: there is no name without a dot. */
const STATES: ReadonlySet<string> = new Set<ConnectionState>([
  "connecting",
  "open",
  "unresponsive",
  "reconnecting",
  "closed",
]);

/** Whether it is this event or state, whatever its payload. */
export function isNamedBy({ wanted: what, bus }: AnyWanted, recorded: Recorded): boolean {
  if (bus !== undefined && recorded.bus !== bus) return false;
  if (isState(what)) return recorded.kind === "state" && (recorded.payload as StateChange).to === what;
  if (recorded.kind === "state") return false;
  if (isEvent(what)) return recorded.name === what.name;
  return matcher(patternOf(what))(recorded.name);
}

/** What a test is given of what was recorded. */
export function given({ wanted: what }: AnyWanted, { name, payload }: Recorded): unknown {
  return isEvent(what) || isState(what) ? payload : { name, payload };
}

/** Whether this is the one. */
export function isMetBy(wish: AnyWanted, recorded: Recorded): boolean {
  return (
    isNamedBy(wish, recorded) && (wish.where === undefined || Boolean(wish.where(given(wish, recorded))))
  );
}

/** A different recorded thing for each that is wanted, or undefined where there are not enough. */
export function findAll(wishes: readonly AnyWanted[], among: readonly Recorded[]): Recorded[] | undefined {
  const fits = wishes.map((wish) =>
    [...among.keys()].filter((index) => isMetBy(wish, among[index] as Recorded)),
  );
  /** Who has what, by its place in `among`; whoever comes later may make an earlier one take another. */
  const takers = new Map<number, number>();

  function place(number: number, tried: Set<number>): boolean {
    return (fits[number] ?? []).some((index) => {
      if (tried.has(index)) return false;
      tried.add(index);
      const taker = takers.get(index);
      if (taker !== undefined && !place(taker, tried)) return false;
      takers.set(index, number);
      return true;
    });
  }

  if (!wishes.every((_, number) => place(number, new Set()))) return undefined;
  const found: Recorded[] = [];
  for (const [index, number] of takers) found[number] = among[index] as Recorded;
  return found;
}

/** The first of each after that of the one before, whatever lies between; undefined where one is missing. */
export function findInOrder(
  wishes: readonly AnyWanted[],
  among: readonly Recorded[],
): Recorded[] | undefined {
  const found: Recorded[] = [];
  let from = 0;
  for (const wish of wishes) {
    const index = among.findIndex((recorded, place) => place >= from && isMetBy(wish, recorded));
    if (index < 0) return undefined;
    found.push(among[index] as Recorded);
    from = index + 1;
  }
  return found;
}

/** What is wanted, in words. */
export function nameOf({ wanted: what, where }: AnyWanted): string {
  let name: string;
  if (isState(what)) name = `the state "${what}"`;
  else if (typeof what === "string") name = what;
  else if (isEvent(what)) name = what.name;
  else name = `an event of ${what.__contract__.name}`;
  if (where === undefined) return name;
  const [line = ""] = String(where).split("\n");
  return `${name} where ${line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line}`;
}

/** What was recorded, for an error: those that have the name of what is wanted are marked. */
export function instead(wishes: readonly AnyWanted[], among: readonly Recorded[]): string {
  if (among.length === 0) return "Nothing was recorded.";
  const lines = among.slice(-SHOWN).map((recorded) => {
    const mark = wishes.some((wish) => isNamedBy(wish, recorded)) ? "!" : " ";
    return `${mark} ${lineOf(recorded)}`;
  });
  const leftOut = among.length > SHOWN ? ` (${among.length - SHOWN} earlier ones are left out)` : "";
  const marked = wishes.length > 0 ? ", marked ! where the name is right" : "";
  return [`Recorded${leftOut}${marked}:`, ...lines].join("\n");
}

/** One thing that was recorded, in a line. */
export function lineOf({ kind, at, label, name, payload }: Recorded): string {
  return `${`+${at.toFixed(0)}`.padStart(8)} ms  ${label}  ${name}  ${kind === "state" ? told(payload as StateChange) : shown(payload, LONGEST)}`;
}

function told({ from, to, outcome, code, reason }: StateChange): string {
  const more = [outcome, code, reason].filter((part) => part !== undefined).join(", ");
  return `${from} -> ${to}${more === "" ? "" : ` (${more})`}`;
}

/** A payload on one line. */
function shown(value: unknown, longest: number): string {
  const text = JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "bigint") return `${part}n`;
    if (part instanceof Map || part instanceof Set) return [...part];
    return part instanceof Uint8Array ? `${part.length} bytes` : part;
  });
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

function isState(what: What): what is ConnectionState {
  return typeof what === "string" && STATES.has(what);
}

export function isEvent(what: unknown): what is AnyEvent {
  return typeof what === "object" && what !== null && "kind" in what && what.kind === "event";
}

function isContract(what: unknown): what is ContractNamespace {
  return typeof what === "object" && what !== null && "__contract__" in what;
}

export function patternOf(what: ContractNamespace | string): string {
  return typeof what === "string" ? what : `${what.__contract__.name}.**`;
}
