/** A proxy whose connections fail at the byte that a test names: what the two sockets see. The twin of tests/testing/test_proxy.py. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from "node:net";
import { afterEach, beforeAll, describe, expect, it, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import type { Channel } from "../../src/channels/base.js";
import { openWebSocket } from "../../src/channels/websocket.js";
import { connect } from "../../src/client/connect.js";
import { ConnectionLost } from "../../src/errors.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { useNodePlatform } from "../../src/node/platform.js";
import {
  FaultProxy,
  type FaultProxyOptions,
  Faults,
  fakeBroker,
  faulty,
  type ProxyConnection,
} from "../../src/testing/index.js";
import { ionbusProxy } from "../../src/testing/vitest.js";
import { WebSocketFrames } from "../../src/testing/websocket-frames.js";
import { Conductor } from "../conductor.js";

const HEAD = "GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n";

/** One end of a connection, and what it has read. */
class End {
  readonly socket: Socket;
  how = "";
  isSuspicious = false;
  #chunks: Buffer[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => this.#chunks.push(chunk));
    socket.on("end", () => {
      // libuv takes a reset that comes together with bytes for an end: whether there still is somebody, a write tells.
      if (this.isSuspicious) socket.write("?", (error) => this.#ended(error ? "RST" : "FIN"));
      else this.#ended("FIN");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#ended(error.code === "ECONNRESET" || error.code === "EPIPE" ? "RST" : String(error.code));
    });
  }

  #ended(how: string): void {
    this.how ||= how;
  }

  get heard(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  clear(): void {
    this.#chunks = [];
  }
}

interface Wire {
  readonly proxy: FaultProxy;
  readonly client: End;
  readonly broker: End;
}

beforeAll(useNodePlatform);

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

function eventually(claim: () => void): Promise<void> {
  return vi.waitFor(claim, { timeout: 8_000, interval: 2 });
}

async function listen(): Promise<{ server: Server; target: string; accepted: Promise<Socket> }> {
  const server = createServer({ allowHalfOpen: true });
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  server.on("connection", (socket) => {
    opened.push(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened.push(() => server.close());
  return { server, target: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, accepted };
}

/** A client and a listener, `head` sent and heard. */
async function wire(options: FaultProxyOptions = {}, head: string = HEAD): Promise<Wire> {
  const { target, accepted } = await listen();
  const proxy = await ionbusProxy(target, options);
  const client = new End(
    dial({ port: Number(new URL(proxy.url).port), host: "127.0.0.1", allowHalfOpen: true }),
  );
  opened.push(() => client.socket.destroy());
  client.socket.write(head);
  const broker = new End(await accepted);
  if (head !== "") {
    await eventually(() => expect(broker.heard.length).toBeGreaterThan(0));
    broker.clear();
  }
  return { proxy, client, broker };
}

function connectionOf(proxy: FaultProxy): ProxyConnection {
  const [connection] = proxy.connections;
  if (connection === undefined) throw new Error("no connection");
  return connection;
}

describe("a cut", () => {
  for (const direction of ["toBroker", "toClient"] as const)
    for (const [how, end] of [
      ["reset", "RST"],
      ["close", "FIN"],
    ] as const)
      for (const afterBytes of [1, 1_000, 300_000])
        test(`lets exactly ${afterBytes} bytes through ${direction}, then ${end}`, async () => {
          const { proxy, client, broker } = await wire();
          const [from, to] = direction === "toBroker" ? [client, broker] : [broker, client];
          client.isSuspicious = true;
          broker.isSuspicious = true;
          const sent = randomBytes(400_000);
          const connection = connectionOf(proxy);
          connection.cut({ how, afterBytes, direction });
          from.socket.write(sent);
          await eventually(() => expect([client.how, broker.how]).toEqual([end, end]));
          expect(Buffer.compare(to.heard, sent.subarray(0, afterBytes))).toBe(0);
          expect(proxy.faults.injected).toEqual([
            { channel: 1, direction, frame: 0, fault: "cut", byte: connection.passed(direction) },
          ]);
        });

  it("can be planned when the connection is made", async () => {
    const onConnection = (connection: ProxyConnection): void =>
      connection.cut({ afterBytes: 10, how: "close" });
    const { client, broker } = await wire({ onConnection });
    broker.socket.write("0123456789abcdef");
    await eventually(() => expect(client.how).toBe("FIN"));
    expect(client.heard.toString()).toBe("0123456789");
  });
});

describe("what passes", () => {
  it("are bytes both ways, and the end of one direction alone", async () => {
    const { proxy, client, broker } = await wire();
    const big = randomBytes(3_000_000);
    client.socket.end(big);
    await eventually(() => expect(broker.how).toBe("FIN"));
    expect(Buffer.compare(broker.heard, big)).toBe(0);
    broker.socket.write(big);
    await eventually(() => expect(client.heard.length).toBe(big.length));
    broker.socket.end();
    await eventually(() => expect(proxy.connections).toEqual([]));
    await eventually(() => expect(client.how).toBe("FIN"));
    expect(Buffer.compare(client.heard, big)).toBe(0);
  });

  it("is a reset, at the other end", async () => {
    const { proxy, client, broker } = await wire();
    client.socket.resetAndDestroy();
    await eventually(() => expect(broker.how).toBe("RST"));
    await eventually(() => expect(proxy.connections).toEqual([]));
  });

  it("is a request whose Host is the broker's own, however it comes", async () => {
    const { proxy, client, broker } = await wire({}, "");
    client.socket.setNoDelay();
    for (const byte of `${HEAD}more`) client.socket.write(byte);
    const host = new URL(proxy.target).host;
    await eventually(() =>
      expect(broker.heard.toString()).toBe(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\nmore`),
    );
  });
});

describe("on command", () => {
  test.each(["toBroker", "toClient"] as const)(
    "a stall %s holds that direction, and makes its sender wait",
    async (direction) => {
      const { proxy, client, broker } = await wire();
      const [from, to] = direction === "toBroker" ? [client, broker] : [broker, client];
      proxy.stall(direction, { afterBytes: 5 });
      const big = randomBytes(30_000_000); // more than kernels hold
      from.socket.write(big);
      to.socket.write("passes");
      await eventually(() => expect(from.heard.toString()).toBe("passes"));
      expect(Buffer.compare(to.heard, big.subarray(0, 5))).toBe(0);
      expect(from.socket.writableLength).toBeGreaterThan(0);
      proxy.resume(direction);
      await eventually(() => expect(to.heard.length).toBe(big.length));
      expect(Buffer.compare(to.heard, big)).toBe(0);
    },
  );

  test.each([
    ["client", "", "RST"],
    ["broker", "RST", ""],
    [undefined, "", ""],
  ] as const)("half-open keeps %s, and says nothing to whoever is kept", async (keep, atClient, atBroker) => {
    const { proxy, client, broker } = await wire();
    client.isSuspicious = true;
    broker.isSuspicious = true;
    proxy.halfOpen(keep, { afterBytes: 4 });
    broker.socket.write("12345678");
    await eventually(() => expect(proxy.faults.counts.halfOpen).toBe(1));
    await eventually(() => expect(client.heard.toString()).toBe("1234"));
    client.socket.write("lost");
    await eventually(() => expect([client.how, broker.how]).toEqual([atClient, atBroker]));
    expect(broker.heard.toString()).toBe("");
    client.socket.end();
    broker.socket.end();
    await eventually(() => expect(proxy.connections).toEqual([]));
  });

  it("one bit of one byte is flipped", async () => {
    const { proxy, client, broker } = await wire();
    connectionOf(proxy).flip("toClient", { afterBytes: 2, bit: 5 });
    broker.socket.write("AAAAA");
    await eventually(() => expect(client.heard.toString()).toBe("AAaAA"));
  });
});

describe("faults", () => {
  /** A WebSocket frame of so many bytes. */
  function frame(size: number, isMasked = false): Buffer {
    const mask = isMasked ? 0x80 : 0;
    const head =
      size < 126
        ? [0x82, mask | size]
        : size < 65_536
          ? [0x82, mask | 126, size >> 8, size & 255]
          : [0x82, mask | 127, 0, 0, 0, 0, 0, size >> 16, (size >> 8) & 255, size & 255];
    return Buffer.concat([Buffer.from(head), Buffer.from(isMasked ? "mask" : ""), Buffer.alloc(size, size)]);
  }

  it.each([100, 10_007, 1_000_000])("know one frame from the next, come they in pieces of %i", (step) => {
    for (const isMasked of [false, true]) {
      const whole = [
        Buffer.from(HEAD),
        ...[0, 1, 125, 126, 700, 65_535, 65_536].map((size) => frame(size, isMasked)),
      ];
      const bytes = Buffer.concat([...whole, Buffer.from([0x82])]);
      const frames = new WebSocketFrames();
      const found: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += step)
        found.push(...frames.feed(bytes.subarray(at, at + step)));
      const hexOf = (each: Uint8Array): string => Buffer.from(each).toString("hex");
      expect(found.map(hexOf)).toEqual(whole.map(hexOf));
      expect([...frames.rest]).toEqual([0x82]);
    }
  });

  it("of a seed are the same for the same frames", async () => {
    async function arrived(seed: number): Promise<unknown> {
      const faults = new Faults({ seed, duplicate: 0.2, flip: 0.2, truncate: 0.1, jitter: 1 });
      const { client, broker } = await wire({ faults });
      broker.socket.write(HEAD);
      for (let number = 0; number < 60; number++) broker.socket.write(frame(number));
      await eventually(() => expect(client.how).toBe("FIN"));
      return [client.heard.toString("hex"), faults.injected];
    }
    const first = await arrived(5);
    expect(await arrived(5)).toEqual(first);
    expect(await arrived(6)).not.toEqual(first);
  });

  it("are not all there is: each connection has numbers of its own", async () => {
    async function drawn(seed: number): Promise<number[]> {
      const numbers: number[] = [];
      const { proxy } = await wire({ seed, onConnection: (connection) => numbers.push(connection.random()) });
      const second = dial(Number(new URL(proxy.url).port), "127.0.0.1");
      opened.push(() => second.destroy());
      await eventually(() => expect(proxy.opened).toBe(2));
      return numbers;
    }
    const first = await drawn(11);
    expect(await drawn(11)).toEqual(first);
    expect(first[0]).not.toBe(first[1]);
    expect(await drawn(12)).not.toEqual(first);
  });
});

describe("between a broker and its clients", () => {
  /** The fake broker behind a real WebSocket. */
  async function serve() {
    const broker = fakeBroker();
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    server.on("connection", (socket) => {
      const channel: Channel = {
        kind: "websocket",
        silenceIsFatal: true,
        isWritable: true,
        maxFrameBytes: DEFAULT_LIMITS.maxGreetingBytes,
        send: (bytes) => socket.send(bytes),
        close: () => socket.close(),
      };
      const receiver = broker.accept(channel, { role: "client" });
      socket.on("message", (bytes: Buffer) => receiver.frameReceived(new Uint8Array(bytes)));
      socket.on("close", () => receiver.closed(false, "connection_lost", ""));
      socket.on("error", () => undefined); // `close` follows
    });
    await once(server, "listening");
    opened.push(() => {
      for (const client of server.clients) client.terminate();
      server.close();
    });
    return { broker, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  it("lets sessions go on, wherever they are cut", async () => {
    const { broker, url } = await serve();
    broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
    const proxy = await ionbusProxy(url, {
      seed: 1,
      onConnection(connection) {
        const direction = connection.random() < 0.5 ? "toBroker" : "toClient";
        const how = connection.random() < 0.5 ? "reset" : "close";
        const afterBytes = 1 + Math.trunc(connection.random() * 1_500);
        if (connection.number <= 30) connection.cut({ afterBytes, direction, how });
      },
    });
    const bus = connect({ url: proxy.url, limits: { retryBaseMs: 1, retryCapMs: 20 } });
    opened.push(() => bus.close());
    const outcomes: unknown[] = [];
    bus.onState(({ outcome }) => outcomes.push(outcome));
    for (let length = 0; length < 300; length++)
      expect(await bus.call(Conductor.execute, { flow: "x".repeat(length) })).toEqual({ files: length });
    expect(proxy.opened).toBeGreaterThan(20);
    expect(outcomes).not.toContain("lost");
  });

  it("is not the only way: faults can be put on the channel of a bus itself", async () => {
    const { broker, url } = await serve();
    broker.handle(Conductor.execute, ({ flow }) => ({ files: flow.length }));
    const faults = new Faults({ seed: 2, drop: 0.05, cut: 0.05, jitter: 1 });
    const bus = connect({
      url,
      through: (open) => faulty(open, faults),
      limits: { retryBaseMs: 1, retryCapMs: 20 },
    });
    opened.push(() => bus.close());
    for (let length = 0; length < 100; length++)
      expect(await bus.call(Conductor.execute, { flow: "x".repeat(length) })).toEqual({ files: length });
    expect(faults.counts.drop).toBeGreaterThan(0);
    expect(faults.counts.cut).toBeGreaterThan(0);
  });

  it("can be a network that is down for a while", async () => {
    const { broker, url } = await serve();
    broker.handle(Conductor.ping, () => null);
    const proxy = await ionbusProxy(url);
    const bus = connect({ url: proxy.url, limits: { retryBaseMs: 1, retryCapMs: 20 } });
    opened.push(() => bus.close());
    await bus.call(Conductor.ping);
    proxy.down();
    await eventually(() => expect(bus.state).toBe("reconnecting"));
    const call = bus.call(Conductor.ping);
    proxy.up();
    await call;
  });

  it("tells a client where nothing listens", async () => {
    const proxy = await ionbusProxy("ws://127.0.0.1:1");
    const receiver = { frameReceived() {}, writable() {}, closed() {} };
    await expect(openWebSocket(proxy.url, receiver)).rejects.toBeInstanceOf(ConnectionLost);
  });
});

it.each(["http://127.0.0.1:1", "stdio:", "somewhere"])(
  "refuses %s, which is no URL of a broker",
  async (url) => {
    await expect(new FaultProxy(url).start()).rejects.toThrow("no URL of a broker");
  },
);

it("says that it has to be started first", () => {
  expect(() => new FaultProxy("ws://127.0.0.1:1").url).toThrow("await proxy.start()");
});
