/// <reference lib="esnext.disposable" preserve="true" />
/** A TCP proxy on this machine whose connections fail: between real processes, at any byte, as often as a test says. Node.js only. */

import type { AddressInfo, Server, Socket } from "node:net";
import { Dice } from "./dice.js";
import { DIRECTIONS, type Direction, type Fate, type Fault, Faults, flipped, prefix } from "./faults.js";
import { type Node, nodeModules, unsentIn } from "./node-modules.js";
import { Passage } from "./passage.js";
import { ProxySocket } from "./proxy-socket.js";

/** How a connection is lost: by RST, as when a process or a network dies, or by FIN, as when somebody closes it. */
export type How = "reset" | "close";

export interface AfterBytes {
  /** Once exactly so many bytes more have gone on; 0, or left out: now. */
  readonly afterBytes?: number | undefined;
}

export interface InDirection extends AfterBytes {
  /** Which bytes are counted. Default: "toClient". */
  readonly direction?: Direction | undefined;
}

export interface CutOptions extends InDirection {
  /** Default: "reset". */
  readonly how?: How | undefined;
}

export interface FaultProxyOptions {
  /** What goes wrong by itself. A frame is a WebSocket frame, the HTTP head before it is the first. */
  readonly faults?: Faults | undefined;
  /** Of `FaultProxy.faults`, where `faults` is left out. */
  readonly seed?: number | undefined;
  /** Called with each connection before anything passes, to say at which byte something happens to it. */
  readonly onConnection?: ((connection: ProxyConnection) => void) | undefined;
}

/**
 * Listens on a port of its own and passes everything on to a broker.
 *
 * ```ts
 * const proxy = await new FaultProxy(endpoint.url).start();
 * const bus = connect({ url: proxy.url, token: endpoint.token });
 * proxy.cut({ afterBytes: 1000, direction: "toClient" });
 * await proxy.stop();
 * ```
 *
 * The broker sees its own address in `Host`, so that it lets clients in. On `wss://` bytes pass as they are: there the broker has to
 * be told of the proxy's name, and what one read gives counts as a frame.
 */
export class FaultProxy implements AsyncDisposable {
  /** The broker's URL. It may be set anew, for a broker that was started again. */
  target: string;
  /** Knows the seed, and what has happened. */
  readonly faults: Faults;
  /** The connections that are open, oldest first. */
  readonly connections: ProxyConnection[] = [];
  /** How many connections have come. */
  opened = 0;
  readonly #isPlanned: boolean;
  readonly #onConnection: FaultProxyOptions["onConnection"];
  readonly #dialling = new Set<Socket>();
  #server: Server | undefined;
  #isDown = false;

  constructor(target: string, { faults, seed, onConnection }: FaultProxyOptions = {}) {
    this.target = target;
    this.faults = faults ?? new Faults({ seed });
    this.#isPlanned = faults !== undefined;
    this.#onConnection = onConnection;
  }

  /** What clients connect to. */
  get url(): string {
    const address = this.#server?.address() as AddressInfo | null | undefined;
    if (!address) throw new Error("the proxy does not listen: `await proxy.start()` first");
    return this.target.replace(HOST_OF_URL, (_, scheme: string) => `${scheme}//127.0.0.1:${address.port}`);
  }

  /** What repeats a run. */
  get seed(): number {
    return this.faults.seed;
  }

  /** Whether `faults` decide about each frame. */
  get isPlanned(): boolean {
    return this.#isPlanned;
  }

  /** Listen. @throws TypeError the target is no URL of a broker. */
  async start(): Promise<this> {
    addressOf(this.target);
    const node = await nodeModules();
    const server = node.net.createServer({ allowHalfOpen: true }, (socket) => this.#accepted(node, socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    this.#server = server;
    return this;
  }

  /** Listen no more, and reset what is open. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of [...this.connections]) connection.abandon();
    for (const socket of this.#dialling) socket.destroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  // Commands; those on connections concern each that is open.

  /** Lose the connections; see `ProxyConnection.cut`. */
  cut(options?: CutOptions): void {
    for (const connection of [...this.connections]) connection.cut(options);
  }

  /** Let nothing through; see `ProxyConnection.stall`. */
  stall(direction?: Direction, options?: AfterBytes): void {
    for (const connection of [...this.connections]) connection.stall(direction, options);
  }

  /** End a stall: what waited goes on. */
  resume(direction?: Direction): void {
    for (const connection of [...this.connections]) connection.resume(direction);
  }

  /** Let nothing through, and tell not both ends; see `ProxyConnection.halfOpen`. */
  halfOpen(keep?: "client" | "broker", options?: InDirection): void {
    for (const connection of [...this.connections]) connection.halfOpen(keep, options);
  }

  /** The network is gone: lose all connections, and let none in until `up`. */
  down(): void {
    this.#isDown = true;
    this.cut();
  }

  /** The network is back. */
  up(): void {
    this.#isDown = false;
  }

  /** For connections: one is over. */
  left(connection: ProxyConnection): void {
    const index = this.connections.indexOf(connection);
    if (index >= 0) this.connections.splice(index, 1);
  }

  #accepted(node: Node, socket: Socket): void {
    if (this.#isDown || this.#server === undefined) {
      socket.resetAndDestroy();
      return;
    }
    this.opened += 1;
    const connection = new ProxyConnection(this, node, socket);
    this.connections.push(connection);
    this.#onConnection?.(connection);
    const dialled = node.net.connect({ ...addressOf(this.target), allowHalfOpen: true });
    this.#dialling.add(dialled);
    dialled.once("error", () => connection.abandon()); // as where nothing listens: the client is told by its own socket
    dialled.once("close", () => this.#dialling.delete(dialled));
    dialled.once("connect", () => {
      this.#dialling.delete(dialled);
      connection.reached(dialled);
    });
  }
}

/** One connection through a proxy: a socket to the client, and one to the broker. */
export class ProxyConnection {
  /** 1 for the first of its proxy (and of its `Faults`). */
  readonly number: number;
  readonly #proxy: FaultProxy;
  readonly #node: Node;
  readonly #dice: Dice;
  readonly #near: ProxySocket;
  readonly #passages: Readonly<Record<Direction, Passage>>;
  #far: ProxySocket | undefined;
  #isHalfOpen = false;

  constructor(proxy: FaultProxy, node: Node, socket: Socket) {
    this.#proxy = proxy;
    this.#node = node;
    this.number = proxy.faults.joined(this);
    this.#dice = new Dice(`${proxy.seed} ${this.number} connection`);
    const [, scheme, host] = HOST_OF_URL.exec(proxy.target) ?? [];
    const isHttp = scheme === "ws:";
    const passage = (direction: Direction): Passage =>
      new Passage({
        plan: proxy.isPlanned ? proxy.faults.plan(this.number, direction) : undefined,
        host: isHttp && direction === "toBroker" ? host : undefined,
        isHttp,
        fail: (fate, frame) => this.#fail(direction, fate, frame),
        read: (isWanted) => (direction === "toBroker" ? this.#near : this.#far)?.read(isWanted),
      });
    const toBroker = passage("toBroker");
    const toClient = passage("toClient");
    this.#passages = { toBroker, toClient };
    this.#near = this.#side(socket, toBroker, toClient);
    toClient.open(this.#near);
  }

  /** A number from 0 to below 1, another each time; they depend on the seed and on `number` alone. */
  random(): number {
    return this.#dice.random();
  }

  /** How many bytes have gone on in a direction. */
  passed(direction: Direction): number {
    return this.#passages[direction].passed;
  }

  /** Lose the connection: exactly `afterBytes` arrive, then both ends are told. */
  cut({ how = "reset", afterBytes = 0, direction = "toClient" }: CutOptions = {}): void {
    this.#passages[direction].at(afterBytes, () => this.#lose(how, direction, "cut"));
  }

  /** Let nothing through in one direction, or in both, until `resume`; whoever sends is not read for long. */
  stall(direction?: Direction, { afterBytes = 0 }: AfterBytes = {}): void {
    for (const each of direction === undefined ? DIRECTIONS : [direction]) {
      const passage = this.#passages[each];
      passage.at(afterBytes, () => passage.stall());
    }
  }

  /** End a stall: what waited goes on. */
  resume(direction?: Direction): void {
    for (const each of direction === undefined ? DIRECTIONS : [direction]) this.#passages[each].resume();
  }

  /**
   * Lose what is under way and all that comes later, and do not tell whoever is kept.
   *
   * @param keep - whose socket stays open while the other's is reset; undefined: both stay.
   */
  halfOpen(keep?: "client" | "broker", { afterBytes = 0, direction = "toClient" }: InDirection = {}): void {
    this.#passages[direction].at(afterBytes, () => this.#silence(keep, direction));
  }

  /** Change one bit: of the byte that goes on after so many others. */
  flip(direction: Direction, { afterBytes = 0, bit = 0 }: AfterBytes & { readonly bit?: number } = {}): void {
    const passage = this.#passages[direction];
    passage.at(afterBytes, () => {
      passage.flipNext(1 << (bit % 8));
      this.#note("flip", direction);
    });
  }

  /** Reset both sockets, whoever was told what. */
  abandon(): void {
    this.#end("reset", true);
  }

  /** For the proxy: the broker has taken the connection. */
  reached(socket: Socket): void {
    const { toBroker, toClient } = this.#passages;
    this.#far = this.#side(socket, toClient, toBroker);
    if (this.#near.isOver || toBroker.isDead) this.#far.reset();
    else toBroker.open(this.#far);
  }

  #side(socket: Socket, reads: Passage, writes: Passage): ProxySocket {
    return new ProxySocket(socket, reads, writes, unsentIn(this.#node), (side, error) =>
      this.#lost(side, error),
    );
  }

  /** One of the sockets is gone. */
  #lost(side: ProxySocket, error: Error | undefined): void {
    const other = side === this.#near ? this.#far : this.#near;
    side.writes.kill();
    if (other !== undefined && !this.#isHalfOpen) {
      if (error === undefined) {
        other.closeSoon();
        side.reads.finish();
      } else {
        side.reads.kill();
        other.reset();
      }
    }
    if (this.#near.isOver && (this.#far === undefined || this.#far.isOver)) {
      this.#proxy.faults.left(this);
      this.#proxy.left(this);
    }
  }

  /** Let a fault happen to a frame that was to go on now. */
  #fail(direction: Direction, fate: Fate, frame: Uint8Array): void {
    const passage = this.#passages[direction];
    const { fault } = fate;
    switch (fault) {
      case "drop":
        this.#lose("reset", direction, fault);
        return;
      case "cut":
        passage.passOn(prefix(fate, frame));
        this.#lose("reset", direction, fault);
        return;
      case "truncate":
        passage.passOn(prefix(fate, frame));
        this.#lose("close", direction, fault);
        return;
      case "halfOpen":
        this.#silence(undefined, direction);
        return;
      case "duplicate":
        passage.passOn(frame);
        passage.passOn(frame);
        break;
      case "flip":
        passage.passOn(flipped(fate, frame));
        break;
      case "stall":
        passage.putBack(frame);
        passage.stall(this.#proxy.faults.settings.stallMs ?? 1_000);
        break;
    }
    if (fault !== undefined) this.#note(fault, direction);
  }

  #lose(how: How, direction: Direction, fault: Fault): void {
    if (this.#passages[direction].isDead) return;
    this.#note(fault, direction);
    this.#end(how);
  }

  #silence(keep: "client" | "broker" | undefined, direction: Direction): void {
    this.#note("halfOpen", direction);
    this.#isHalfOpen = true;
    this.#kill();
    if (keep === "broker") this.#near.reset();
    else if (keep === "client") this.#far?.reset();
  }

  #end(how: How, atOnce = false): void {
    this.#kill();
    for (const side of [this.#near, this.#far]) {
      if (how === "reset") side?.reset(atOnce);
      else side?.finish();
    }
  }

  #kill(): void {
    for (const direction of DIRECTIONS) this.#passages[direction].kill();
  }

  #note(fault: Fault, direction: Direction): void {
    const { frames, passed } = this.#passages[direction];
    this.#proxy.faults.note({ channel: this.number, direction, frame: frames, fault, byte: passed });
  }
}

const HOST_OF_URL = /^(wss?:)\/\/([^/?#]+)/i;

function addressOf(url: string): { readonly host: string; readonly port: number } {
  if (!HOST_OF_URL.test(url)) throw new TypeError(`"${url}" is no URL of a broker, as ws://127.0.0.1:8765`);
  const { hostname, port, protocol } = new URL(url);
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (protocol === "wss:" ? 443 : 80) : Number(port),
  };
}
