/** A client's payloads: values to bytes and back, as their members say, and checked where there are validators. */

import type { AnyMember } from "../contract.js";
import { InvalidPayload, type PayloadProblem } from "../errors.js";
import { decode, encode, know, ValueRefused } from "../wire/values.js";

/** What part of a member a payload is. */
export type PayloadPart = "event" | "request" | "answer";

/** Tells what is wrong with a payload; an empty list: nothing. */
export type Validator = (payload: unknown) => readonly PayloadProblem[];

/** Validators by the member's full name; an answer is a call's result or a stream's item. */
export type Validators = Readonly<
  Record<string, Partial<Readonly<Record<PayloadPart, Validator | undefined>>>>
>;

export interface Payloads {
  /** The members that are known, by name. */
  readonly members: ReadonlyMap<string, AnyMember>;
  /** A member is used: know what its payloads hold. */
  learn(member: AnyMember): void;
  /** @throws InvalidPayload */
  pack(name: string, part: PayloadPart, value: unknown): Uint8Array;
  /** The value, or the list of them that came together. @throws InvalidPayload */
  unpack(name: string, part: PayloadPart, payload: Uint8Array, isBatch?: boolean): unknown;
}

/** @param validators - what to check payloads with; the generated types are trusted where there is none. */
export function createPayloads(validators: Validators): Payloads {
  const members = new Map<string, AnyMember>();

  function check(name: string, part: PayloadPart, value: unknown): void {
    const problems = validators[name]?.[part]?.(value);
    if (problems !== undefined && problems.length > 0) throw new Problems(problems);
  }

  return {
    members,
    learn(member) {
      if (members.has(member.name)) return;
      members.set(member.name, member);
      know(member.values);
      if (member.kind !== "event") for (const { values } of member.raises) know(values);
    },
    pack(name, part, value) {
      try {
        check(name, part, value);
        return encode(value);
      } catch (error) {
        throw invalid(name, error, "refused before it was sent");
      }
    },
    unpack(name, part, payload, isBatch) {
      try {
        const conversion = members.get(name)?.bigints?.received;
        const receive = (decoded: unknown): unknown => {
          const value = conversion === undefined ? decoded : conversion(decoded);
          check(name, part, value);
          return value;
        };
        const decoded = decode(payload);
        return isBatch ? (decoded as unknown[]).map(receive) : receive(decoded);
      } catch (error) {
        throw invalid(name, error, "refused on arrival");
      }
    },
  };
}

class Problems extends Error {
  constructor(readonly problems: readonly PayloadProblem[]) {
    super();
  }
}

function invalid(name: string, error: unknown, when: string): unknown {
  let problems: readonly PayloadProblem[];
  if (error instanceof ValueRefused) problems = [[error.path, error.problem]];
  else if (error instanceof Problems) problems = error.problems;
  else return error;
  return refusal(name, problems, when);
}

/** What is said of a payload with these problems. */
export function refusal(name: string, problems: readonly PayloadProblem[], when: string): InvalidPayload {
  const [path = "", problem = ""] = problems[0] ?? [];
  const where = path === "" ? problem : `${path}: ${problem}`;
  return new InvalidPayload(`${name}: ${where} (payload ${when})`, { paths: problems });
}
