/**
 * Typed events within one program: what a bus does with events, without a broker.
 *
 * docs/events.md says what it does, rule by rule; `schemas/cases/emitter.json` has a case for each, which Python runs too.
 */

import { isThenable, listenerOf, memberOf, type What, wanted } from "../checks.js";
import { refusal, type Validator, type Validators } from "../client/payloads.js";
import type { AnyEvent, ContractNamespace, EventDescriptor, Source } from "../contract.js";
import type { PayloadProblem } from "../errors.js";
import { LONGEST_DELAY_MS, startTimer, stopTimer } from "../time.js";
import { callSite, counted, written } from "./call_sites.js";
import { nameOf, type OnError, report, summary } from "./failures.js";
import type { ListenOptions } from "./lifetimes.js";
import { add, closeAll } from "./listener.js";
import type { Listen, PayloadArguments, Read } from "./listening.js";
import { Names } from "./names.js";
import { PatternTable } from "./patterns.js";
import { type ListenerSubscription, Place } from "./place.js";
import { type EventReader, Reader, type ReadOptions } from "./reader.js";
import { timeoutError, type WaitOptions, waitFor } from "./waiting.js";

export interface EmitterOptions {
  /** The contracts whose events there are. Default: any. */
  readonly contracts?: readonly ContractNamespace[] | undefined;
  /** Told of each failure of a listener. Default: it goes to the console. */
  readonly onError?: OnError | undefined;
  /** How many listeners there may be to one thing before it is taken for a leak, and told on the console once. Default: 100. */
  readonly maxListeners?: number | undefined;
  /** How deep emits may be nested: an emit in a listener that an emit called. Default: 32. */
  readonly maxDepth?: number | undefined;
  /** After how many milliseconds a listener has failed and is no longer waited for. Default: never. */
  readonly listenerTimeoutMs?: number | undefined;
  /** What to check payloads with. Default: the generated types are trusted. */
  readonly validators?: Validators | undefined;
}

/** One listener, as `emitter.subscriptions()` shows it. */
export interface SubscriptionShown {
  readonly pattern: string;
  /** The function's name. */
  readonly listener: string;
  /** How often it was called. */
  readonly calls: number;
  /** Where it was added, as `mount (app.js:7:3)`, where that is known. */
  readonly addedAt: string | undefined;
}

/** How many emits of one event may be under way: more are a recursion through async listeners. */
const MAX_UNDER_WAY = 10_000;

/** An event that was emitted before: it has been looked at. */
class Known {
  found: readonly Place[] = [];
  /** Of what is listened to, when they were found. */
  version = -1;
  /** How many emits of it have not ended. */
  underWay = 0;

  constructor(
    readonly name: string,
    readonly validate: Validator | undefined,
  ) {}
}

/** See the module. */
export class Emitter {
  readonly #names: Names;
  readonly #options: EmitterOptions;
  readonly #maxDepth: number;
  readonly #table = new PatternTable<Place>();
  readonly #places = new Set<Place>();
  /** How many there are, by pattern. */
  readonly #counts = new Map<string, number>();
  /** Changes with each that comes or goes. */
  #version = 0;
  readonly #known = new Map<AnyEvent, Known>();
  /** What many listen to was told once. */
  readonly #warned = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  /** The events of the emits that are nested now. */
  readonly #nested: string[] = [];
  #mayWait = false;
  #isClosed = false;

  /** @throws RangeError a bound is none. */
  constructor(options: EmitterOptions = {}) {
    for (const name of ["maxDepth", "listenerTimeoutMs"] as const) {
      const bound = options[name] ?? 1;
      if (!(bound > 0)) throw new RangeError(`${name} is ${bound}; it is a number above 0`);
    }
    this.#options = options;
    this.#maxDepth = options.maxDepth ?? 32;
    this.#names = new Names(options.contracts ?? []);
  }

  /**
   * Listen. Listeners run in the order in which they were added; one that returns a promise makes no other wait.
   *
   * @throws TypeError no event, contract or pattern, or no function that could be called;
   * @throws NotFound it matches no event of this emitter's contracts; @throws Error the emitter is closed.
   */
  readonly on: Listen<ListenerSubscription> = (
    what: What,
    listener: (value: never) => unknown,
    options?: ListenOptions,
  ): ListenerSubscription => this.#listen("emitter.on", what, listener, options, false, this.on);

  /** Listen to the next: closed before it is called. Otherwise as `on`. */
  readonly once: Listen<ListenerSubscription> = (
    what: What,
    listener: (value: never) => unknown,
    options?: ListenOptions,
  ): ListenerSubscription => this.#listen("emitter.once", what, listener, options, true, this.once);

  /** Close what was added for exactly this: all, or one listener's. Gives how many subscriptions. @throws TypeError */
  off(what: What, listener?: (value: never) => unknown): number {
    return closeAll(this.#table, wanted(what, "emitter.off"), listener);
  }

  /**
   * Publish. Resolves when every listener has ended; one that fails does not make it fail.
   *
   * @throws TypeError no event; @throws NotFound none of this emitter's contracts; @throws InvalidPayload;
   * @throws RangeError nested too deep; @throws Error the emitter is closed.
   */
  emit<Name extends string, Payload, Sent, By extends Source>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    ...payload: PayloadArguments<NoInfer<Payload>>
  ): Promise<void>;
  emit(event: AnyEvent, payload: unknown = null): Promise<void> {
    try {
      return this.#start(event, payload, true) ?? Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Publish without waiting for async listeners. @throws as `emit` rejects */
  emitNowait<Name extends string, Payload, Sent, By extends Source>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    ...payload: PayloadArguments<NoInfer<Payload>>
  ): void;
  emitNowait(event: AnyEvent, payload: unknown = null): void {
    this.#start(event, payload, false);
  }

  /** Resolves when no listener is under way. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /**
   * Read events one by one: `for await (const payload of emitter.events(Conductor.progress))`. It begins at once.
   *
   * @throws as `on`; @throws TypeError a limit below 1, or an unknown overflow policy.
   */
  readonly events: Read = (what: What, { signal, ...options }: ReadOptions = {}): EventReader<never> => {
    const [pattern] = wanted(what, "emitter.events");
    const reader = new Reader<never>(pattern, options);
    const take = (item: never) => reader.take(item, this.#mayWait);
    reader.subscription = this.#listen("emitter.events", what, take, { signal }, false, this.events, () =>
      reader.end(),
    );
    return reader;
  };

  /** Wait for the next event. @throws DOMException "TimeoutError"; @throws CallCancelled given up, or the emitter is closed. */
  waitFor<Name extends string, Payload, Sent, By extends Source>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    options?: WaitOptions<NoInfer<Payload>>,
  ): Promise<Payload> {
    return waitFor(
      event.name,
      (listener, listenOptions, closed) =>
        this.#listen("emitter.waitFor", event, listener, listenOptions, false, this.waitFor, closed),
      options,
    );
  }

  /** What is in force, in the order in which it was added. */
  subscriptions(): SubscriptionShown[] {
    return [...this.#places].map(({ pattern, given, calls, addedAt }) => ({
      pattern,
      listener: nameOf(given),
      calls,
      addedAt: written(addedAt),
    }));
  }

  /** Close every subscription, and wait for what is under way. A closed emitter takes no listener and no event. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#known.clear(); // so that each event is looked at again, and refused
    for (const { close } of [...this.#places]) close();
    await this.idle();
  }

  #listen(
    where: string,
    what: What,
    listener: (value: never) => unknown,
    options: ListenOptions = {},
    isOnce: boolean,
    below: unknown,
    closed?: () => void,
  ): ListenerSubscription {
    const [pattern, isNamed] = wanted(what, where);
    this.#checkOpen();
    listenerOf(listener, `${where}: ${pattern}`);
    if (typeof what === "object" && "kind" in what) this.#names.checkEvent(what);
    else this.#names.checkPattern(pattern);
    const place = new Place(pattern, isNamed, listener);
    this.#places.add(place);
    this.#count(pattern, 1);
    const subscription = add(this.#table, place, options, isOnce, () => {
      this.#places.delete(place);
      this.#count(pattern, -1);
      closed?.();
      place.settle();
    });
    this.#lookForLeak(place, below);
    return Object.defineProperties(subscription, place.shown) as ListenerSubscription;
  }

  #count(pattern: string, change: number): void {
    this.#version += 1;
    const count = (this.#counts.get(pattern) ?? 0) + change;
    if (count === 0) this.#counts.delete(pattern);
    else this.#counts.set(pattern, count);
  }

  /** Capture where a listener was added; where there are too many for one thing, say so once. */
  #lookForLeak(place: Place, below: unknown): void {
    const { maxListeners = 100 } = this.#options;
    const { pattern } = place;
    const count = this.#counts.get(pattern) ?? 0;
    if (count > maxListeners + 1) return; // a leak costs no more than it must
    place.addedAt = callSite(below);
    if (count <= maxListeners || this.#warned.has(pattern)) return;
    this.#warned.add(pattern);
    const sites = counted(this.#table.under(pattern).map(({ addedAt }) => written(addedAt)));
    console.warn(`ionbus: ${pattern} has ${count} listeners: are they closed? They were added: ${sites}`);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new Error("the emitter is closed");
  }

  /** Call the listeners; gives what ends when those that are under way have. */
  #start(event: AnyEvent, payload: unknown, mayWait: boolean): Promise<void> | undefined {
    const known = this.#known.get(event) ?? this.#look(event);
    if (known.version !== this.#version) this.#find(known);
    if (known.validate !== undefined) check(known.name, known.validate(payload));
    const { found } = known;
    if (found.length === 0) return undefined;
    const nested = this.#nested;
    if (nested.length >= this.#maxDepth || known.underWay >= MAX_UNDER_WAY) this.#refuseNested(known);
    const outerMayWait = this.#mayWait;
    nested.push(known.name);
    this.#mayWait = mayWait;
    let running: Promise<void>[] | undefined;
    try {
      for (let index = 0; index < found.length; index++) {
        const place = found[index] as Place;
        if (!place.isOpen) continue; // closed by a listener before it
        try {
          const result = place.hand(known.name, payload);
          if (typeof result === "object" && result !== null) {
            const run = this.#follow(place, known.name, payload, result);
            if (run === undefined) continue;
            running ??= [];
            running.push(run);
          }
        } catch (error) {
          this.#fail(place, known.name, payload, error);
        }
      }
    } finally {
      nested.pop();
      this.#mayWait = outerMayWait;
    }
    return running && this.#untilEnded(known, running);
  }

  #look(event: AnyEvent): Known {
    this.#checkOpen();
    const { name } = memberOf(event, "event", "emitter.emit");
    this.#names.checkEvent(event);
    const known = new Known(name, this.#options.validators?.[name]?.event);
    this.#known.set(event, known);
    return known;
  }

  #find(known: Known): void {
    known.version = this.#version;
    known.found = this.#table.matching(known.name);
  }

  #refuseNested({ name }: Known): never {
    const nested = this.#nested;
    if (nested.length < this.#maxDepth)
      throw new RangeError(`${name}: ${MAX_UNDER_WAY} emits of it are under way; do its listeners emit it?`);
    throw new RangeError(
      `${name}: emits are nested ${nested.length} deep already: ${nested.join(" > ")} > ${name}`,
    );
  }

  /** A listener has returned something: what can be waited for is. */
  #follow(place: Place, name: string, payload: unknown, result: object): Promise<void> | undefined {
    if (!isThenable(result)) {
      const what = generatorOf(result);
      if (what !== undefined) throw new TypeError(`a listener returned ${what}, which nobody runs`);
      return undefined;
    }
    const { listenerTimeoutMs = Number.POSITIVE_INFINITY } = this.#options;
    place.running += 1;
    return new Promise<void>((resolve) => {
      let timer: unknown;
      let isOver = false;
      const end = (): void => {
        if (isOver) return;
        isOver = true;
        stopTimer(timer);
        place.running -= 1;
        place.settle();
        resolve();
      };
      const fail = (error: unknown): void => {
        if (!isOver) this.#fail(place, name, payload, error);
        end();
      };
      try {
        result.then(end, fail);
      } catch (error) {
        fail(error);
      }
      if (listenerTimeoutMs <= LONGEST_DELAY_MS) {
        const text = `a listener has not ended within ${listenerTimeoutMs / 1_000} s`;
        timer = startTimer(() => fail(timeoutError(text)), listenerTimeoutMs);
      }
    });
  }

  #untilEnded(known: Known, running: Promise<void>[]): Promise<void> {
    known.underWay += 1;
    const ended = Promise.all(running).then(() => {
      known.underWay -= 1;
      this.#underWay.delete(ended);
    });
    this.#underWay.add(ended);
    return ended;
  }

  #fail({ given, pattern }: Place, event: string, payload: unknown, error: unknown): void {
    const failure = { event, listener: nameOf(given), payload: summary(payload), error, pattern };
    report(failure, this.#options.onError);
  }
}

function check(name: string, problems: readonly PayloadProblem[]): void {
  if (problems.length > 0) throw refusal(name, problems, "refused before it was emitted");
}

/** What of it nobody would run; undefined: it is none. */
function generatorOf(result: object): string | undefined {
  if (typeof Reflect.get(result, "next") !== "function") return undefined;
  if (Symbol.asyncIterator in result) return "an async generator";
  return Symbol.iterator in result ? "a generator" : undefined;
}
