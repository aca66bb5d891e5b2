import { beforeEach, describe, expect, it, vi } from "vitest";
import { CallCancelled, InvalidPayload, NotFound, SlowConsumer } from "../../src/errors.js";
import { Emitter } from "../../src/events/emitter.js";
import type { ListenerFailure } from "../../src/events/failures.js";
import { FakeClock } from "../../src/testing/clock.js";
import { CASES, type Case, CONTRACTS, EVENTS, type Script, type Step, VALIDATORS } from "./cases.js";
import { collected } from "./garbage.js";

/** `raises`, and whether an error is such a one. */
const RAISES: Readonly<Record<string, (error: unknown) => boolean>> = {
  invalid: (error) => error instanceof InvalidPayload,
  unknown: (error) => error instanceof NotFound,
  pattern: (error) => error instanceof TypeError,
  type: (error) => error instanceof TypeError,
  depth: (error) => error instanceof RangeError,
  slow: (error) => error instanceof SlowConsumer,
  timeout: (error) => error instanceof DOMException && error.name === "TimeoutError",
  cancelled: (error) => error instanceof CallCancelled,
  closed: (error) => error instanceof Error && error.constructor === Error,
  boom: (error) => error instanceof Error && error.message === "boom",
};

/** A thing that is open or closed, and can be waited for. */
class Gate {
  open = (): void => {};
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });
}

/** An event that is read or waited for ended so. */
type Outcome = { readonly value?: unknown; readonly error?: unknown };

/** Runs the steps of one case. */
class Run {
  readonly clock: FakeClock;
  readonly emitter: Emitter;
  readonly #scripts: Readonly<Record<string, Script>>;
  readonly #log: string[] = [];
  readonly #depths: [string, string, string][] = [];
  readonly #listeners = new Map<string, unknown>();
  readonly #subscriptions = new Map<string, ReturnType<Emitter["on"]>>();
  readonly #readers = new Map<string, ReturnType<Emitter["events"]>>();
  readonly #beside = new Map<string, { outcome?: Outcome }>();
  readonly #gates = new Map<string, Gate>();
  readonly #untils = new Map<string, AbortController>();
  readonly #owners = new Map<string, object>();
  readonly #last = new Map<string, unknown>();
  readonly #console = { warn: vi.spyOn(console, "warn"), error: vi.spyOn(console, "error") };

  constructor({ emitter = {}, listeners = {} }: Case, clock: FakeClock) {
    this.clock = clock;
    this.#scripts = listeners;
    for (const spy of Object.values(this.#console)) spy.mockReset().mockImplementation(() => {});
    const { contracts = ["flow"], on_error: onError = true, listener_timeout: seconds } = emitter;
    this.emitter = new Emitter({
      contracts: (contracts as string[]).map((name) => found(CONTRACTS, name)),
      validators: VALIDATORS,
      maxDepth: emitter["max_depth"] as number | undefined,
      maxListeners: emitter["max_listeners"] as number | undefined,
      listenerTimeoutMs: seconds === undefined ? undefined : (seconds as number) * 1_000,
      onError: onError === false ? undefined : (failure) => this.#failed(failure, onError === "throws"),
    });
  }

  async all(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#take(step);
    expect(this.#log).toEqual([]);
  }

  /** A step of the case; one with `in` runs beside those that follow. */
  async #take(step: Step): Promise<void> {
    const { in: beside } = step;
    if (beside === undefined) return this.#judge(step, await this.#outcome(() => this.#do(step)));
    const run: { outcome?: Outcome } = {};
    this.#beside.set(beside as string, run);
    void this.#outcome(() => this.#do(step)).then((outcome) => {
      run.outcome = outcome;
    });
  }

  async #outcome(act: () => unknown): Promise<Outcome> {
    try {
      return { value: await act() };
    } catch (error) {
      return { error };
    }
  }

  /** An outcome is what the step says. */
  #judge(step: Step, outcome: Outcome): void {
    const { raises, says = [] } = step;
    if (raises === undefined) {
      if ("error" in outcome) throw outcome.error;
    } else {
      const { error } = outcome;
      expect(found(new Map(Object.entries(RAISES)), raises as string)(error), String(error)).toBe(true);
      for (const text of says as string[]) expect((error as Error).message).toContain(text);
    }
    const read = outcome.value as IteratorResult<unknown> | undefined;
    if ("next" in step || ("join" in step && typeof read === "object" && read !== null && "done" in read)) {
      if (step["end"] === true) expect(read?.done).toBe(true);
      if ("gives" in step) expect(read).toEqual({ done: false, value: step["gives"] });
    } else if ("gives" in step) expect(read).toEqual(step["gives"]);
  }

  /** What a step does; a promise only where it has to be waited for. */
  #do(step: Step): unknown {
    const verb = Object.keys(step)[0] as string;
    const object = step[verb];
    const name = object as string;
    switch (verb) {
      case "on": {
        const listener = step["listener"] as string;
        const add = step["once"] === true ? this.emitter.once : this.emitter.on;
        const { weak, until } = step as { weak?: string; until?: string };
        const subscription = add(what(name) as string, this.#listener(listener) as () => void, {
          weak: weak === undefined ? undefined : made(this.#owners, weak, () => ({})),
          until: until === undefined ? undefined : this.#until(until).signal,
        });
        this.#subscriptions.set((step["as"] as string | undefined) ?? listener, subscription);
        return undefined;
      }
      case "off": {
        const given = step["listener"] as string | undefined;
        const listener = given === undefined ? undefined : (this.#listener(given) as () => void);
        const closed = this.emitter.off(what(name) as string, listener);
        if ("closed" in step) expect(closed).toBe(step["closed"]);
        return undefined;
      }
      case "close":
        return found(this.#subscriptions, name).close();
      case "is_open":
        return expect(found(this.#subscriptions, name).isOpen).toBe(step["is"]);
      case "emit":
        return this.emitter.emit(what(name) as never, step["with"] as never);
      case "emit_nowait":
        return this.emitter.emitNowait(what(name) as never, step["with"] as never);
      case "idle":
        return this.emitter.idle();
      case "read": {
        const { limit, overflow } = step as { limit?: number; overflow?: "wait" };
        this.#readers.set(
          step["as"] as string,
          this.emitter.events(what(name) as string, { limit, overflow }),
        );
        return undefined;
      }
      case "next":
        return found(this.#readers, name).next();
      case "leave":
        return found(this.#readers, name)
          .return()
          .then(() => undefined);
      case "dropped":
        return expect(found(this.#readers, name).dropped).toBe(step["is"]);
      case "wait_for": {
        const { where, timeout } = step as { where?: string; timeout?: number };
        return this.emitter.waitFor(what(name) as never, {
          where: where === undefined ? undefined : (payload) => matches(where, payload),
          timeoutMs: timeout === undefined ? undefined : timeout * 1_000,
        });
      }
      case "wait":
        return this.#gate(name).opened;
      case "open":
        return this.#gate(name).open();
      case "hang":
        return new Promise(() => {});
      case "throw":
        throw new Error(name);
      case "end":
        return this.#until(name).abort();
      case "drop":
        return this.#drop(name);
      case "finish":
        return this.emitter.close();
      case "advance":
        return this.clock.advance((object as number) * 1_000);
      case "settle":
        return this.clock.settle();
      case "note":
        return void this.#log.push(name);
      case "log":
        return expect(this.#log.splice(0)).toEqual(object);
      case "failures":
        return expect(this.#depths.splice(0)).toEqual(object);
      case "same_payload": {
        const [first, ...others] = (object as string[]).map((each) => this.#last.get(each));
        for (const other of others) expect(other).toBe(first);
        return undefined;
      }
      case "subscriptions":
        return expect(
          this.emitter.subscriptions().map(({ pattern, listener, calls }) => [pattern, listener, calls]),
        ).toEqual(object);
      case "warnings":
        return this.#told("warn", object as number, step);
      case "errors":
        return this.#told("error", object as number, step);
      case "join":
        return this.clock.settle().then(() => {
          const { outcome } = found(this.#beside, name);
          expect(outcome, `${name} is over`).toBeDefined();
          if (outcome !== undefined && "error" in outcome) throw outcome.error;
          return outcome?.value;
        });
      case "pending":
        return this.clock
          .settle()
          .then(() => expect(found(this.#beside, name).outcome, `${name} is not over`).toBeUndefined());
      default:
        throw new Error(`no such step: ${verb}`);
    }
  }

  #told(kind: "warn" | "error", times: number, { says = [] }: Step): void {
    const calls = this.#console[kind].mock.calls.splice(0);
    expect(calls.length).toBe(times);
    const last = calls[calls.length - 1]?.map(String).join(" ");
    for (const text of says as string[]) expect(last).toContain(text);
  }

  #listener(name: string): unknown {
    return made(this.#listeners, name, () => {
      const script = this.#scripts[name] ?? {};
      if (script.kind === "value") return 5;
      if (script.kind === "generator") return named(name, function* () {});
      if (script.kind === "async generator") return named(name, async function* () {});
      const steps = script.does ?? [];
      if (script.async === true) {
        return named(name, async (value: unknown) => {
          this.#called(name, value);
          for (const step of steps) await this.#act(step);
        });
      }
      return named(name, (value: unknown) => {
        this.#called(name, value);
        let result: unknown;
        for (const step of steps) result = this.#act(step);
        return result;
      });
    });
  }

  #called(name: string, value: unknown): void {
    const received = value as { name: string; payload: unknown } | null;
    const isNamed = typeof received === "object" && received !== null && "payload" in received;
    const payload = isNamed ? received.payload : value;
    this.#last.set(name, payload);
    const parts = [name, ...(isNamed ? [received.name] : [])];
    if (payload !== null) parts.push(typeof payload === "string" ? payload : JSON.stringify(payload));
    this.#log.push(parts.join(" "));
  }

  /** A step that a listener takes. */
  #act(step: Step): unknown {
    if ("return" in step) return this.#returned(step["return"] as string);
    const mayRaise = step["may_raise"] as string | undefined;
    try {
      return this.#do(step);
    } catch (error) {
      if (mayRaise === undefined) throw error;
      this.#judge({ ...step, raises: mayRaise }, { error });
      this.#log.push(`> ${mayRaise}`);
      return undefined;
    }
  }

  #returned(kind: string): unknown {
    if (kind === "generator") return (function* () {})();
    if (kind === "async generator") return (async function* () {})();
    if (kind === "value") return { some: "value" };
    return {
      // biome-ignore lint/suspicious/noThenProperty: what is awaited and no promise
      then: (resolve: () => void) => {
        this.#log.push("awaited");
        resolve();
      },
    };
  }

  #failed({ event, listener, error }: ListenerFailure, throws: boolean): void {
    if (error instanceof RangeError) this.#depths.push([listener, event, "depth"]);
    else this.#log.push(`! ${listener} ${event} ${(error as Error).message}`);
    if (throws) throw new Error("on_error");
  }

  #gate(name: string): Gate {
    return made(this.#gates, name, () => new Gate());
  }

  #until(name: string): AbortController {
    return made(this.#untils, name, () => new AbortController());
  }

  /** Nothing holds the object any more: the collector takes it, and then tells. */
  async #drop(name: string): Promise<void> {
    const gone = new WeakRef(found(this.#owners, name));
    this.#owners.delete(name);
    expect(await collected(gone)).toBe(true);
  }
}

function matches(where: string, payload: unknown): boolean {
  if (where === "throws") throw new Error("boom");
  return payload === where;
}

function what(text: string): unknown {
  if (text.startsWith("value:")) return 5;
  if (text.startsWith("text:")) return text.slice("text:".length);
  if (text.includes("*")) return text;
  return EVENTS.get(text) ?? found(CONTRACTS, text);
}

function named<Value extends object>(name: string, value: Value): Value {
  return Object.defineProperty(value, "name", { value: name });
}

function found<Value>(map: ReadonlyMap<string, Value>, name: string): Value {
  const value = map.get(name);
  if (value === undefined) throw new Error(`there is no ${name}`);
  return value;
}

function made<Value>(map: Map<string, Value>, name: string, make: () => Value): Value {
  const value = map.get(name) ?? make();
  map.set(name, value);
  return value;
}

describe("an emitter", () => {
  let clock: FakeClock;
  beforeEach(() => {
    clock = new FakeClock().install();
    return () => clock.uninstall();
  });

  it.each(CASES.map((each) => [each.group, each.rule, each] as const))("%s: %s", (_group, _rule, each) =>
    new Run(each, clock).all(each.steps),
  );
});
