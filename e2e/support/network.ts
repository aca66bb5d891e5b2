/** A TCP proxy on this machine whose connections can be cut: a network that fails when a test says so. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class Network {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isDown = false;
  /** How many connections have come through it. */
  connections = 0;

  /** The port of this machine that it leads to. */
  target = 0;

  private constructor() {
    this.#server = createServer((socket) => {
      if (this.#isDown) {
        socket.resetAndDestroy();
        return;
      }
      this.connections++;
      const onwards = connect(this.target, "127.0.0.1");
      for (const [one, other] of [
        [socket, onwards],
        [onwards, socket],
      ] as const) {
        this.#sockets.add(one);
        one.pipe(other);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  static async start(): Promise<Network> {
    const network = new Network();
    await new Promise<void>((resolve) => network.#server.listen(0, "127.0.0.1", resolve));
    return network;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Reset every connection at once, whatever it was carrying. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Cut, and let nobody through until `up`. */
  down(): void {
    this.#isDown = true;
    this.cut();
  }

  up(): void {
    this.#isDown = false;
  }

  async stop(): Promise<void> {
    this.down();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
