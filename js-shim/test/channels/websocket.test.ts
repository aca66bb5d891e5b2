import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import type { Channel, Receiver } from "../../src/channels/base.js";
import { openWebSocket } from "../../src/channels/websocket.js";
import { connect } from "../../src/client/connect.js";
import { ConnectionLost, NotFound } from "../../src/errors.js";
import { useNodePlatform } from "../../src/node/platform.js";
import { setSubstitutes } from "../../src/platform.js";
import { Conductor } from "../conductor.js";

interface Heard extends Receiver {
  readonly frames: Uint8Array[];
  readonly ends: [over: boolean, code: string, message: string][];
}

function hear(): Heard {
  const heard: Heard = {
    frames: [],
    ends: [],
    frameReceived: (frame) => heard.frames.push(frame),
    writable: vi.fn(),
    closed: (...end) => heard.ends.push(end),
  };
  return heard;
}

let server: WebSocketServer;
let url: string;

beforeEach(async () => {
  useNodePlatform();
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const client of server.clients) client.terminate();
  server.close();
});

async function open(receiver: Receiver): Promise<[Channel, WebSocket]> {
  const accepted = once(server, "connection");
  const channel = await openWebSocket(url, receiver);
  const [socket] = (await accepted) as [WebSocket];
  return [channel, socket];
}

describe("a WebSocket", () => {
  it("moves whole frames both ways", async () => {
    const heard = hear();
    const [channel, socket] = await open(heard);
    const received = once(socket, "message");
    channel.send(new Uint8Array([1, 2, 3]));
    const [sent] = (await received) as [Buffer];
    expect([...sent]).toEqual([1, 2, 3]);
    socket.send(new Uint8Array([4, 5]));
    await vi.waitUntil(() => heard.frames.length === 1);
    expect(heard.frames).toEqual([new Uint8Array([4, 5])]);
  });

  it("says once that the other end has closed it", async () => {
    const heard = hear();
    const [, socket] = await open(heard);
    socket.close(1001, "going");
    await vi.waitUntil(() => heard.ends.length > 0);
    expect(heard.ends).toEqual([[false, "connection_lost", "the WebSocket was closed (1001: going)"]]);
  });

  it("says nothing of its own closing", async () => {
    const heard = hear();
    const [channel, socket] = await open(heard);
    const closed = once(socket, "close");
    channel.close();
    await closed;
    expect(heard.ends).toEqual([]);
  });

  it("takes no frame above its bound", async () => {
    const heard = hear();
    const [channel, socket] = await open(heard);
    channel.maxFrameBytes = 10;
    const closed = once(socket, "close");
    socket.send(new Uint8Array(11));
    const [code] = await closed;
    expect(code).toBe(4009);
    expect(heard.ends).toEqual([[false, "too_large", "a frame of 11 bytes; at most 10 are taken"]]);
  });

  it("takes no text", async () => {
    const heard = hear();
    const [, socket] = await open(heard);
    const closed = once(socket, "close");
    socket.send("hello");
    expect(await closed).toContain(4003);
    expect(heard.ends[0]?.[1]).toBe("protocol_error");
  });

  it("is not writable while too much waits, and says when that is over", async () => {
    const heard = hear();
    const [channel, socket] = await open(heard);
    socket.pause();
    for (let count = 0; count < 200 && channel.isWritable; count += 1)
      channel.send(new Uint8Array(1_000_000));
    expect(channel.isWritable).toBe(false);
    socket.resume();
    await vi.waitUntil(() => vi.mocked(heard.writable).mock.calls.length > 0);
    expect(channel.isWritable).toBe(true);
  });

  it("does not open where nobody listens", async () => {
    const nobody = url;
    server.close();
    await once(server, "close");
    const opening = openWebSocket(`${nobody}?secret`, hear());
    await expect(opening).rejects.toBeInstanceOf(ConnectionLost);
    await expect(opening).rejects.not.toThrow("secret");
  });

  it("does not open to a server that speaks something else", async () => {
    server.options.handleProtocols = () => false;
    await expect(openWebSocket(url, hear())).rejects.toBeInstanceOf(ConnectionLost);
  });

  it.each([
    ["http://127.0.0.1:1/?secret", '"http://127.0.0.1:1/" is no URL of a broker'],
    ["ws://127.0.0.1:99999?secret", '"ws://127.0.0.1:99999" is no URL of a broker'],
    ["nonsense", '"nonsense" is no URL of a broker, as ws://127.0.0.1:8765'],
    ["ws://anna:secret@127.0.0.1:1", "holds no user name and no password; pass `token`"],
  ])("does not open %s, and shows no secret of it", async (wrong, problem) => {
    const told = await openWebSocket(wrong, hear()).catch((error: unknown) => error);
    expect(told).toBeInstanceOf(ConnectionLost);
    expect(String(told)).toContain(problem);
    expect(String(told)).not.toContain("secret");
    expect(() => connect({ url: wrong })).toThrow(TypeError);
  });

  it("says what to install where there is none", async () => {
    vi.stubGlobal("WebSocket", undefined);
    setSubstitutes({
      webSocket: () => {
        throw new NotFound("get one with: npm install ws");
      },
      entropy: (size) => new Uint8Array(size),
      routeFromEnvironment: () => undefined,
    });
    const bus = connect({ url });
    await expect(bus.call(Conductor.ping)).rejects.toThrow("npm install ws");
    expect(bus.state).toBe("closed");
  });
});

describe("connect", () => {
  it("says what it looked for where it finds nothing", () => {
    vi.stubEnv("IONBUS_URL", "");
    expect(() => connect()).toThrow(/preload.*http.*IONBUS_URL/);
    vi.unstubAllEnvs();
  });

  it("takes IONBUS_URL", async () => {
    vi.stubEnv("IONBUS_URL", url);
    const accepted = once(server, "connection");
    const bus = connect();
    await accepted;
    await bus.close();
    vi.unstubAllEnvs();
  });

  it("asks functions for the address and the token at each attempt", async () => {
    const addresses: string[] = [];
    const tokens: string[] = [];
    server.on("connection", (socket) => socket.close());
    const bus = connect({
      limits: { retryBaseMs: 1, retryCapMs: 1 },
      url: () => {
        addresses.push(url);
        return url;
      },
      token: async () => {
        tokens.push("t");
        return "t";
      },
    });
    await vi.waitUntil(() => addresses.length >= 3);
    expect(tokens.length).toBeGreaterThanOrEqual(2);
    await bus.close();
  });
});
