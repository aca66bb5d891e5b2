/// <reference lib="esnext.disposable" preserve="true" />
/** A broker and its clients in memory, with what is between them in one's hands. */

import type { Accept, Opener } from "../channels/base.js";
import { MemoryListener, type MemoryWire } from "../channels/memory.js";
import type { Bus, BusOptions } from "../client/bus.js";
import { ConnectionLost } from "../errors.js";
import { NotInTime } from "./clock.js";
import { Dice } from "./dice.js";
import { type FakeBroker, fakeBroker } from "./fake-broker.js";
import type { Faults } from "./faults.js";
import { FaultyChannel, faulty } from "./faulty.js";
import { Watched, within } from "./waiting.js";

/** How long a client of a pair has to connect, in milliseconds. */
const PATIENCE_MS = 10_000;
/** How long closing may take: more than anything in it waits for. */
const CLOSING_MS = 30_000;

export interface PairOptions extends BusOptions {
  /** What goes wrong on every channel. */
  readonly faults?: Faults | undefined;
  /** Whether a silent channel is given up, as a WebSocket is; else it is `unresponsive`, as a pipe is. Default: false. */
  readonly silenceIsFatal?: boolean | undefined;
}

/** One client of a pair: its bus, and the wire that connects it. */
export class Client {
  /** What the application uses. */
  readonly bus: Bus;
  /** What it connects to: `isRefusing` makes attempts fail, `attempts` counts them. */
  readonly listener: MemoryListener;
  readonly #changes = new Watched();
  #silent: MemoryWire | undefined;

  constructor(bus: Bus, listener: MemoryListener) {
    this.bus = bus;
    this.listener = listener;
    bus.onState(() => this.#changes.changed());
  }

  /** What connects it now, or did last: `wire.toBroker` and `wire.toClient` can be held, doubled, shortened and stopped. */
  get wire(): MemoryWire {
    if (this.listener.wire === undefined) throw new ConnectionLost("this client has not connected yet");
    return this.listener.wire;
  }

  /** Cut its wire: what is under way is lost, and both ends are told at once. The client comes back by itself. */
  cut(): void {
    this.wire.cut();
  }

  /** Let nothing arrive any more on this wire, and tell neither end. */
  halfOpen(): void {
    this.#silent = this.wire;
    this.wire.halfOpen();
  }

  /**
   * Let it try now, where it waits to try again, and wait until it is open.
   *
   * @throws NotInTime it is not; @throws ConnectionLost it is closed for good.
   */
  async reconnected(timeoutMs = PATIENCE_MS): Promise<void> {
    this.bus.reconnect();
    const isOpen = (): true | undefined => {
      if (this.bus.state === "closed") throw new ConnectionLost("the bus is closed");
      return this.bus.state === "open" || undefined;
    };
    try {
      await this.#changes.until(isOpen, timeoutMs);
    } catch (error) {
      if (!(error instanceof NotInTime)) throw error;
      throw new NotInTime(`the client is not open within ${timeoutMs} ms; it is ${this.bus.state}`);
    }
  }

  /** End its session. */
  async close(): Promise<void> {
    if (this.#silent !== undefined && this.#silent === this.listener.wire) this.#silent.cut(); // what still waits to leave never will
    await within(CLOSING_MS, this.bus.close());
  }
}

/** A broker and a client in memory; `pair` makes one. */
export class Pair implements AsyncDisposable {
  readonly broker: FakeBroker;
  readonly faults: Faults | undefined;
  /** Every client, the first one first. */
  readonly clients: Client[] = [];
  readonly #silenceIsFatal: boolean;
  #channels: FaultyChannel[] = [];
  #isRunning = true;

  constructor(broker: FakeBroker, faults: Faults | undefined, silenceIsFatal: boolean) {
    this.broker = broker;
    this.faults = faults;
    this.#silenceIsFatal = silenceIsFatal;
  }

  /** The first client. */
  get client(): Client {
    const [client] = this.clients;
    if (client === undefined) throw new ConnectionLost("the pair has no client yet");
    return client;
  }

  /** The first client's bus. */
  get bus(): Bus {
    return this.client.bus;
  }

  /** What the first client connects to. */
  get listener(): MemoryListener {
    return this.client.listener;
  }

  /** What connects the first client. */
  get wire(): MemoryWire {
    return this.client.wire;
  }

  /** Cut the first client's wire; see `Client.cut`. */
  cut(): void {
    this.client.cut();
  }

  /** Let nothing arrive any more on the first client's wire; see `Client.halfOpen`. */
  halfOpen(): void {
    this.client.halfOpen();
  }

  /** Let every client try now, where it waits to try again, and wait until all are open. @throws NotInTime one is not. */
  async reconnected(timeoutMs = PATIENCE_MS): Promise<void> {
    for (const client of this.clients) await client.reconnected(timeoutMs);
  }

  /** Connect another client; it closes with the pair. */
  async connect(options: BusOptions = {}): Promise<Client> {
    const listener = new MemoryListener(this.#accept, { silenceIsFatal: this.#silenceIsFatal });
    const { faults } = this;
    const open = faults === undefined ? listener.open : this.#noting(faulty(listener.open, faults));
    // So that the seed repeats when it tries again, and with that which frames there are.
    const dice = faults && new Dice(`${faults.seed} retries ${this.clients.length}`);
    const spread = dice && (() => dice.random());
    const client = new Client(this.broker.connect({ ...options, open, spread }), listener);
    try {
      await client.reconnected();
    } catch (error) {
      await client.close();
      throw error;
    }
    this.clients.push(client);
    return client;
  }

  /** Let the broker die: it says nothing, its clients lose their channels, its handlers are stopped, its sessions are forgotten. */
  stop(): void {
    this.#isRunning = false;
    this.broker.restart();
    for (const { listener } of this.clients) listener.wire?.cut("the broker has died");
  }

  /** Let the broker run again after `stop`: a new epoch. Clients come back by themselves, to a session that is new. */
  start(): void {
    this.#isRunning = true;
  }

  /**
   * Let the broker die and start again, and wait until every client is back, in a new session. To look at what lies
   * between, call `stop` and `start`.
   */
  async restart(): Promise<void> {
    this.stop();
    this.start();
    await this.reconnected();
  }

  /** Close every client. */
  async close(): Promise<void> {
    for (const client of [...this.clients].reverse()) await client.close();
    await within(CLOSING_MS, this.broker.close());
    for (const channel of this.#channels) channel.abandon(); // what is half open is told to nobody else
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #noting(open: Opener): Opener {
    return async (receiver) => {
      const opened = await open(receiver);
      this.#channels = this.#channels.filter((channel) => !channel.isOver);
      if (opened.channel instanceof FaultyChannel) this.#channels.push(opened.channel);
      return opened;
    };
  }

  readonly #accept: Accept = (channel, identity) => {
    if (!this.#isRunning) throw new ConnectionLost("the broker does not run");
    return this.broker.accept(channel, identity);
  };
}

/**
 * A broker with fake handlers and a client of it, connected, in memory. What lies between is the real thing: codec,
 * session, reconnection.
 *
 * ```ts
 * const at = await pair();
 * at.broker.handle(Conductor.ping, () => null);
 * await at.bus.call(Conductor.ping);
 * at.cut();
 * ```
 *
 * It works with a `FakeClock`, whichever is there first.
 *
 * @param broker - whose clients to make; a new one where it is left out. It closes with the pair.
 * @param options - of the first client, and of every channel.
 */
export async function pair(broker: FakeBroker = fakeBroker(), options: PairOptions = {}): Promise<Pair> {
  const { faults, silenceIsFatal = false, ...busOptions } = options;
  const made = new Pair(broker, faults, silenceIsFatal);
  await made.connect(busOptions);
  return made;
}
