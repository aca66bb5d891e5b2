/**
 * What the tests find as the global `lab`, in a page or in Node.js: a bus, what to call on it, and what it has seen.
 * Whatever a test runs "there" is a function that uses nothing but `lab` and its argument.
 */

import type { Bus, StateChange } from "ionbus";
import * as ionbus from "ionbus";
import * as contract from "../app/generated/probe.js";
import { Probe, type Said, type Tick } from "../app/generated/probe.js";

/** An error as plain data, since no error of ours survives the way out of a page. */
export interface ToldError {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly details: unknown;
  readonly incidentId?: string;
  readonly cause?: string;
}

export class Lab {
  readonly ionbus = ionbus;
  readonly contract = contract;
  readonly Probe = Probe;
  readonly bus: Bus;
  readonly changes: StateChange[] = [];
  readonly refused: ToldError[] = [];
  readonly ticks: Tick[] = [];
  readonly said: Said[] = [];
  /** How often what `load` does was done, and how often it failed. */
  readonly loaded = { done: 0, failed: 0 };
  /** What a test keeps from one step to the next. */
  readonly kept: Record<string, unknown> = {};

  constructor(bus: Bus) {
    this.bus = bus;
    bus.onState((change) => this.changes.push({ ...change }));
    bus.onError((error) => this.refused.push(this.told(error)));
    bus.on(Probe.tick, (tick) => {
      if (tick.run !== "load") this.ticks.push(tick);
    });
    bus.on(Probe.said, (said) => void this.said.push(said));
    bus.handle(Probe.question, async ({ text }) => ({
      text: `${text}? Yes.`,
      data: new TextEncoder().encode(text),
    }));
  }

  /** What a promise came to: its value, or its error as plain data. */
  async outcome<T>(promise: Promise<T>): Promise<{ value: T } | { error: ToldError }> {
    try {
      return { value: await promise };
    } catch (error) {
      return { error: this.told(error) };
    }
  }

  /** The error that a promise must come to. */
  async failure(promise: Promise<unknown>): Promise<ToldError> {
    const outcome = await this.outcome(promise);
    if ("error" in outcome) return outcome.error;
    throw new Error(`no error, but ${JSON.stringify(outcome.value)}`);
  }

  told(error: unknown): ToldError {
    if (!(error instanceof Error)) throw new TypeError(`not an error: ${String(error)}`);
    if (!ionbus.isIonbusError(error)) throw error;
    return {
      name: error.name,
      code: error.code,
      message: error.message,
      details: error.details(),
      ...(error instanceof ionbus.InternalError ? { incidentId: error.incidentId } : {}),
      ...(error.cause === undefined ? {} : { cause: String(error.cause) }),
    };
  }

  /** Bytes that differ from their neighbours, so that a piece that is lost or moved shows. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    let state = 1;
    for (let index = 0; index < length; index++) {
      state = Math.imul(state, 1103515245) + 12345;
      bytes[index] = state >> 16;
    }
    return bytes;
  }

  /** Keep the bus busy for good: calls, a stream, events both ways. What fails is done again. */
  load(): void {
    const again = async (act: () => Promise<unknown>) => {
      while (this.bus.state !== "closed") {
        try {
          await act();
          this.loaded.done += 1;
        } catch {
          this.loaded.failed += 1;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
    };
    for (const a of [1, 2, 3, 4, 5, 6, 7, 8]) void again(() => this.bus.call(Probe.add, { a, b: 1 }));
    const data = this.bytes(100_000);
    void again(() => this.bus.call(Probe.echo, { text: "load", data }));
    void again(() => this.bus.call(Probe.emitTicks, { count: 100, run: "load" }));
    void again(async () => {
      for (let count = 0; count < 20; count++)
        await this.bus.emit(Probe.said, { who: "load", text: "on and on" });
      await new Promise((resolve) => setTimeout(resolve, 1)); // accepted at once, they would keep this thread for themselves
    });
    void again(async () => {
      for await (const number of this.bus.stream(Probe.count, { name: "load", upto: 1000 })) void number;
    });
  }

  /** Let a handler hang, and come back when it does. */
  async hang(member: "blockThread" | "blockLoop" | "ignoreCancellation"): Promise<void> {
    await this.bus.call(Probe.pid); // it has to be there first
    void this.outcome(this.bus.call(Probe[member] as typeof Probe.ignoreCancellation, 600));
    await this.outcome(this.bus.call(Probe.add, { a: 1, b: 1 }, { timeoutMs: 500 }));
  }

  /** Tell which Python answers, whenever it is another one. */
  async tellPython(tell: (pid: number) => void): Promise<void> {
    let last = 0;
    while (this.bus.state !== "closed") {
      const outcome = await this.outcome(this.bus.call(Probe.pid));
      if (!("value" in outcome) || outcome.value === last) continue;
      last = outcome.value;
      tell(last);
    }
  }

  /** The numbers of the ticks of one run, in the order in which they came. */
  ticksOf(run: string): number[] {
    return this.ticks.filter((tick) => tick.run === run).map(({ number }) => number);
  }
}

declare global {
  var lab: Lab;
}
