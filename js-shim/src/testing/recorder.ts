/** Writes down what buses hear, and waits for it. */

import type { Bus, StateChange } from "../client/bus.js";
import type { AnyEvent, ContractNamespace, Received } from "../contract.js";
import type { EventSubscription, Subscription } from "../dispatch/subscription.js";
import { matcher } from "../events/patterns.js";
import { now } from "../time.js";
import { NotInTime } from "./clock.js";
import {
  type AnyWanted,
  findAll,
  findInOrder,
  given,
  instead,
  isEvent,
  isMetBy,
  nameOf,
  patternOf,
  type Recorded,
  type ValueOf,
  type WantedOptions,
  type What,
  wanted,
} from "./recorded.js";
import { Watched, within } from "./waiting.js";

/** How long a wait takes at most unless it is told otherwise, in milliseconds. */
const TIMEOUT_MS = 4_000; // vitest gives a test 5,000 and would then say nothing of what was recorded

/** What a test waited for did not happen, or what must not happen did. The message shows what was recorded. */
export class NotRecorded extends Error {
  override readonly name = "NotRecorded";
}

export interface WaitOptions {
  /** From this mark on; from the beginning where it is left out. */
  readonly since?: number | undefined;
  /** Default: 4,000. By the time of ionbus, which a `FakeClock` lets pass while we wait; else in real time. */
  readonly timeoutMs?: number | undefined;
}

/** What a recorder hears of one bus. */
export interface Recording {
  /** Resolves when the broker says that all of its subscriptions are in force. */
  confirmed(): Promise<void>;
  /** Record no more of this bus. */
  close(): void;
}

/**
 * Records the events and the state changes of one bus or several.
 *
 * ```ts
 * const recorder = new Recorder();
 * recorder.record(bus, Conductor.progress, Conductor.finished);
 * await bus.call(Conductor.execute, { flow });
 * const done = await recorder.waitFor(Conductor.progress, { where: ({ percent }) => percent === 100 });
 * ```
 *
 * A wait looks at what was recorded before as well: nothing can come too early. Each ends by itself, whether time is
 * real, moved by a `FakeClock`, or stopped by a test runner: none can hang.
 */
export class Recorder {
  /** Everything, in the order in which it was heard. */
  readonly recorded: Recorded[] = [];
  readonly #labels = new Map<Bus, string>();
  /** Whether an event of this name is listened to. */
  readonly #hears: ((name: string) => boolean)[] = [];
  readonly #recordings: Recording[] = [];
  readonly #changes = new Watched();
  readonly #began = now();

  /** The events among `recorded`. */
  get events(): Recorded[] {
    return this.recorded.filter(({ kind }) => kind === "event");
  }

  /** The state changes among `recorded`. */
  get states(): StateChange[] {
    return this.recorded.filter(({ kind }) => kind === "state").map(({ payload }) => payload as StateChange);
  }

  /**
   * Record the state changes of a bus, and these events.
   *
   * A subscription made before a call is in force when its handler runs; wait for the recording's `confirmed()` before something
   * else than a call of this bus makes the broker emit.
   *
   * @param bus - whose.
   * @param what - events, contracts (all of their events), or patterns as "conductor.*".
   */
  record(bus: Bus, ...what: readonly (AnyEvent | ContractNamespace | string)[]): Recording {
    const count = this.#labels.size + 1;
    if (!this.#labels.has(bus)) this.label(bus, count === 1 ? "bus" : `bus ${count}`);
    const subscriptions: EventSubscription[] = what.map((each) => {
      const note = ({ name, payload }: Received): void => this.#heard("event", bus, name, payload);
      if (typeof each === "string") return bus.on(each, note);
      if (!("kind" in each)) return bus.on(each, note as (received: never) => void);
      const event: AnyEvent = each;
      return bus.on(event, (payload: unknown) => this.#heard("event", bus, event.name, payload));
    });
    for (const each of what)
      this.#hears.push(isEvent(each) ? (name) => name === each.name : matcher(patternOf(each)));
    const states: Subscription = bus.onState((change) => this.#heard("state", bus, "state", change));
    const recording: Recording = {
      confirmed: async () => {
        const confirmations = subscriptions.map((subscription) => subscription.confirmed());
        await within(TIMEOUT_MS, Promise.all(confirmations));
      },
      close() {
        states.close();
        for (const subscription of subscriptions) subscription.close();
      },
    };
    this.#recordings.push(recording);
    return recording;
  }

  /** Give a bus a name, for errors. Without one it is "bus", "bus 2" and so on. */
  label(bus: Bus, name: string): void {
    this.#labels.set(bus, name);
  }

  /** A place in the recording, for `since`: what is recorded from now on. */
  mark(): number {
    return this.recorded.length;
  }

  /** Forget what was recorded. */
  clear(): void {
    this.recorded.length = 0;
  }

  /** Record no more. */
  close(): void {
    for (const recording of this.#recordings.splice(0)) recording.close();
  }

  /**
   * Wait until something is recorded, or was.
   *
   * @param what - an event, a state ("open": that it is reached), any event of a contract, or of a pattern.
   * @returns the event's payload; the `StateChange`; of a contract or a pattern what `bus.on` would give.
   * @throws NotRecorded it did not happen.
   */
  async waitFor<const Wish extends What>(
    what: Wish,
    { where, bus, ...options }: WantedOptions<ValueOf<Wish>> & WaitOptions = {},
  ): Promise<ValueOf<Wish>> {
    const wish = wanted(what, { where, bus });
    const found = await this.#wait([wish], options, findInOrder);
    return given(wish, found[0] as Recorded) as ValueOf<Wish>; // its type is the wish's
  }

  /**
   * Wait until all of these are recorded: a different thing for each, so that one named twice has to happen twice.
   *
   * @param what - events, states, contracts, patterns, or what `wanted` gives.
   * @param options - `inOrder`: each after the one before, whatever lies between.
   * @returns what `waitFor` would for each.
   * @throws NotRecorded one did not happen, or not in this order.
   */
  async waitForAll<const Wishes extends readonly (What | AnyWanted)[]>(
    what: Wishes,
    { inOrder = false, ...options }: WaitOptions & { readonly inOrder?: boolean | undefined } = {},
  ): Promise<{ -readonly [Index in keyof Wishes]: ValueOf<Wishes[Index]> }> {
    const wishes = what.map(asWanted);
    const found = await this.#wait(wishes, options, inOrder ? findInOrder : findAll);
    return wishes.map((wish, index) => given(wish, found[index] as Recorded)) as never; // their types are the wishes'
  }

  /**
   * Wait until something else happens, or some time has passed, and see that this did not.
   *
   * @param what - what must not happen, as for `waitFor`.
   * @param options - `until`: what ends the wait: something else that has to happen within `timeoutMs`, or a number of
   *   milliseconds.
   * @throws NotRecorded it did happen, or `until` did not.
   */
  async waitForNone<const Wish extends What>(
    what: Wish,
    options: WantedOptions<ValueOf<Wish>> & WaitOptions & { readonly until: What | AnyWanted | number },
  ): Promise<void> {
    const { where, bus, until, since = 0, timeoutMs = TIMEOUT_MS } = options;
    const unwanted = wanted(what, { where, bus });
    const end = typeof until === "number" ? undefined : asWanted(until);
    this.#checkRecorded(unwanted);

    const over = (): true | undefined => {
      for (const each of this.recorded.slice(since)) {
        if (isMetBy(unwanted, each)) {
          const heard = instead([unwanted], this.recorded.slice(since));
          throw new NotRecorded(`${nameOf(unwanted)} was not to happen. ${heard}`);
        }
        if (end !== undefined && isMetBy(end, each)) return true;
      }
      return undefined;
    };

    const ms = typeof until === "number" ? until : timeoutMs;
    try {
      await this.#changes.until(over, ms);
    } catch (error) {
      if (!(error instanceof NotInTime)) throw error;
      if (end !== undefined) throw this.#missing([end], since, ms);
    }
  }

  async #wait(
    wishes: readonly AnyWanted[],
    { since = 0, timeoutMs = TIMEOUT_MS }: WaitOptions,
    find: (wishes: readonly AnyWanted[], among: readonly Recorded[]) => Recorded[] | undefined,
  ): Promise<Recorded[]> {
    for (const wish of wishes) this.#checkRecorded(wish);
    try {
      return await this.#changes.until(() => find(wishes, this.recorded.slice(since)), timeoutMs);
    } catch (error) {
      throw error instanceof NotInTime ? this.#missing(wishes, since, timeoutMs) : error;
    }
  }

  #missing(wishes: readonly AnyWanted[], since: number, timeoutMs: number): NotRecorded {
    const names = wishes.map(nameOf).join("; ");
    const heard = instead(wishes, this.recorded.slice(since));
    return new NotRecorded(`not recorded within ${timeoutMs} ms: ${names}. ${heard}`);
  }

  /** Refuse to wait for what no recording can hear. */
  #checkRecorded(wish: AnyWanted): void {
    if (this.#labels.size === 0)
      throw new TypeError(`nothing is recorded: recorder.record(bus, …) before waiting for ${nameOf(wish)}`);
    if (wish.bus !== undefined && !this.#labels.has(wish.bus))
      throw new TypeError(
        `that bus is not recorded: recorder.record(bus, …) before waiting for ${nameOf(wish)}`,
      );
    const what = wish.wanted;
    if (isEvent(what) && !this.#hears.some((hears) => hears(what.name)))
      throw new TypeError(
        `${what.name} is not recorded: name it in recorder.record(bus, …), then wait for it`,
      );
  }

  #heard(kind: Recorded["kind"], bus: Bus, name: string, payload: unknown): void {
    const label = this.#labels.get(bus) ?? "bus";
    this.recorded.push({ kind, bus, label, at: now() - this.#began, name, payload });
    this.#changes.changed();
  }
}

function asWanted(what: What | AnyWanted): AnyWanted {
  return typeof what === "object" && "wanted" in what ? what : wanted(what);
}
