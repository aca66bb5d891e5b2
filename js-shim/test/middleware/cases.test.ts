/** The rules of docs/middleware.md: every row of schemas/cases/middleware.json, which Python runs too. */

import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { errorFromWire } from "../../src/errors.js";
import { compose } from "../../src/middleware/compose.js";
import {
  createMessage,
  Dropped,
  drop,
  type End,
  type Kind,
  type Layer,
  type Message,
  type Middleware,
  MiddlewareError,
  type Next,
} from "../../src/middleware/message.js";

type Answer = string | null | readonly string[];
type Step = string | Readonly<Record<string, unknown>>;

interface Case {
  readonly name: string;
  readonly rule: string;
  readonly kind: Kind | "plain";
  readonly layers: readonly (readonly Step[])[];
  readonly end: readonly Answer[];
  readonly log?: readonly string[];
  readonly closed?: readonly string[];
  readonly gives?: Answer;
  readonly error?: string;
  readonly text?: string;
  readonly dropped?: string;
  readonly later?: string;
  readonly take?: number;
  readonly cancel?: boolean;
}

const file = path.resolve(import.meta.dirname, "..", "..", "..", "schemas", "cases", "middleware.json");
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { readonly cases: readonly Case[] };
console.info(`middleware: ${cases.length} rows`);

test.each(cases)("$rule: $kind: $name", async (given) => {
  const trial = new Trial(given);
  const outcome = await trial.run();
  const expected = given.cancel ? { error: "cancelled" } : outcomeOf(given);
  expect(outcome).toMatchObject(expected);
  if (given.log !== undefined) expect(trial.log).toEqual(given.log);
  if (given.closed !== undefined) expect(trial.closed).toEqual(given.closed);
  if (given.later !== undefined) {
    expect(() => trial.kept?.(trial.message)).toThrow(given.text);
    expect(() => trial.kept?.(trial.message)).toThrow(MiddlewareError);
  }
});

function outcomeOf({ gives, error, text, dropped, later }: Case): Readonly<Record<string, unknown>> {
  if (error !== undefined) return { error, text: expect.stringContaining(text ?? "") };
  if (dropped !== undefined) return { dropped };
  return later === undefined || gives !== undefined ? { gives } : {};
}

/** One case as it runs. */
class Trial {
  readonly log: string[] = [];
  readonly closed: string[] = [];
  readonly message: Message;
  kept: Next<unknown, unknown> | undefined;
  readonly #given: Case;
  readonly #controller = new AbortController();
  #reached = 0;
  #waits: (() => void) | undefined;

  constructor(given: Case) {
    this.#given = given;
    this.message = messageOf(given.kind, this.#controller.signal);
  }

  async run(): Promise<Readonly<Record<string, unknown>>> {
    const { layers, take = Number.POSITIVE_INFINITY, cancel } = this.#given;
    const made = layers.map((steps, index) =>
      Object.defineProperty(this.#layer(steps, index), "name", { value: `mw${index}` }),
    );
    const waiting = new Promise<void>((resolve) => {
      this.#waits = resolve;
    });
    try {
      const passing = compose(...(made as Middleware[]))(this.message, this.#end);
      if (cancel) {
        await waiting;
        this.#controller.abort(new Error("cancelled by the test"));
      }
      const result: unknown = await passing;
      if (result instanceof Dropped) return { dropped: result.reason };
      if (this.message.kind !== "stream") return { gives: result ?? null };
      const items: unknown[] = [];
      for await (const item of result as AsyncIterable<unknown>) {
        items.push(item);
        if (items.length >= take) break;
      }
      return { gives: items };
    } catch (error) {
      return { error: this.#controller.signal.aborted ? "cancelled" : codeOf(error), text: String(error) };
    }
  }

  readonly #end: End = async ({ payload, context: { signal } }) => {
    this.log.push(`end ${payload}`);
    const { end } = this.#given;
    const answer = end[Math.min(this.#reached, end.length - 1)] ?? null;
    this.#reached += 1;
    if (answer === "wait") {
      this.#waits?.();
      await new Promise((_, reject) => {
        signal?.addEventListener("abort", () => {
          this.log.push("end cancelled");
          reject(signal.reason);
        });
      });
    }
    if (typeof answer === "string" && answer.startsWith("!")) throw errorFromWire(answer.slice(1), "");
    if (this.#given.kind === "event") return undefined;
    return Array.isArray(answer) ? this.#items(answer) : answer;
  };

  #layer(steps: readonly Step[], index: number): Layer {
    return async (given, next) => {
      let message = given;
      let result: unknown;
      let isLogged = false;
      const pass = async (): Promise<unknown> => {
        if (isLogged) this.log.push(`${index} > ${message.payload}`);
        try {
          const passed = await next(message);
          if (isLogged) this.log.push(`${index} < ${shown(passed)}`);
          return passed;
        } catch (error) {
          const isCancelled = given.context.signal?.aborted;
          if (isLogged) this.log.push(isCancelled ? `${index} cancelled` : `${index} ! ${codeOf(error)}`);
          throw error;
        }
      };
      for (const step of steps) {
        if (step === "log") isLogged = true;
        else if (step === "pass") result = await pass();
        else if (step === "nothing") result = this.#given.kind === "plain" ? null : undefined;
        else if (step === "swallow") await pass().catch(() => {});
        else if (step === "keep") this.kept = next;
        else if (step === "both") result = await Promise.all([next(message), next(message)]);
        else if (step === "start") {
          void next(message);
          await Promise.resolve();
        } else if (step === "retry") {
          for (let isOver = false; !isOver; ) {
            isOver = await pass().then(
              (passed) => {
                result = passed;
                return true;
              },
              () => false,
            );
          }
        } else if (typeof step === "object") {
          const [verb, value] = Object.entries(step)[0] as [string, unknown];
          if (verb === "change") message = message.replace({ payload: `${message.payload}${value}` });
          else if (verb === "append") result = `${result}${value}`;
          else if (verb === "each") result = this.#each(result as AsyncIterable<unknown>, value, index);
          else if (verb === "answer") result = Array.isArray(value) ? generate(value) : value;
          else if (verb === "refuse") throw errorFromWire(value as string, "");
          else if (verb === "drop") result = drop(value as string);
          else if (verb === "stray")
            await next((value === "other" ? messageOf("call", undefined) : message.payload) as Message);
          else throw new Error(`no step ${verb}`);
        } else throw new Error(`no step ${step}`);
      }
      return result;
    };
  }

  /** The end's items, which say once when they end or are closed. */
  #items(given: readonly unknown[]): AsyncIterableIterator<unknown> {
    const left = [...given];
    let isOver = false;
    const end = (): IteratorResult<unknown> => {
      if (!isOver) this.closed.push("end");
      isOver = true;
      return { done: true, value: undefined };
    };
    const items: AsyncIterableIterator<unknown> = {
      next: async () => (left.length > 0 ? { done: false, value: left.shift() } : end()),
      return: async () => end(),
      [Symbol.asyncIterator]: () => items,
    };
    return items;
  }

  /** A generator over what it does not close, as in Python. */
  async *#each(items: AsyncIterable<unknown>, added: unknown, index: number): AsyncGenerator<unknown> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (let step = await iterator.next(); !step.done; step = await iterator.next())
        yield `${step.value}${added}`;
    } finally {
      this.closed.push(String(index));
    }
  }
}

async function* generate(items: readonly unknown[]): AsyncGenerator<unknown> {
  yield* items;
}

function messageOf(kind: Kind | "plain", signal: AbortSignal | undefined): Message {
  return createMessage({
    kind: kind === "plain" ? "call" : kind,
    direction: "inbound",
    name: `cases.${kind}`,
    member: undefined,
    payload: "x",
    context: { requestId: 0, deadline: null, trace: undefined, signal },
  });
}

function shown(result: unknown): string {
  if (result instanceof Dropped) return `drop ${result.reason}`;
  if (result === undefined || result === null) return "nothing";
  return typeof result === "string" ? result : "items";
}

function codeOf(error: unknown): string {
  return (error as { readonly code?: string }).code ?? (error as Error).name;
}
