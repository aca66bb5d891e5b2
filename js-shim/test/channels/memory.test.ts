import { expect, it, vi } from "vitest";
import type { Channel, Receiver } from "../../src/channels/base.js";
import { MemoryListener, type MemoryWire } from "../../src/channels/memory.js";
import { ConnectionLost } from "../../src/errors.js";

interface End extends Receiver {
  readonly frames: number[][];
  readonly ends: unknown[];
  readonly writable: () => void;
}

function end(): End {
  const frames: number[][] = [];
  const ends: unknown[] = [];
  return {
    frames,
    ends,
    frameReceived: (frame) => frames.push([...frame]),
    writable: vi.fn(),
    closed: (...told) => ends.push(told),
  };
}

async function open(): Promise<{ wire: MemoryWire; channel: Channel; client: End; broker: End }> {
  const broker = end();
  const client = end();
  const listener = new MemoryListener(() => broker);
  const { channel } = await listener.open(client);
  return { wire: listener.wire as MemoryWire, channel, client, broker };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("moves frames in a later turn", async () => {
  const { channel, broker } = await open();
  channel.send(new Uint8Array([1]));
  expect(broker.frames).toEqual([]);
  await turn();
  expect(broker.frames).toEqual([[1]]);
});

it("delays on command", async () => {
  const { wire, channel, broker } = await open();
  wire.toBroker.hold();
  for (const byte of [1, 2, 3]) channel.send(new Uint8Array([byte]));
  await turn();
  expect(wire.toBroker.size).toBe(3);
  wire.toBroker.release(1);
  expect(broker.frames).toEqual([[1]]);
  wire.toBroker.release();
  expect(broker.frames).toEqual([[1], [2], [3]]);
});

it("duplicates and truncates on command", async () => {
  const { wire, channel, broker } = await open();
  wire.toBroker.duplicate();
  channel.send(new Uint8Array([1]));
  await turn();
  wire.toBroker.truncate(1);
  channel.send(new Uint8Array([2, 3]));
  channel.send(new Uint8Array([4, 5]));
  await turn();
  expect(broker.frames).toEqual([[1], [1], [2], [4, 5]]);
});

it("tells both ends of a cut", async () => {
  const { wire, channel, client, broker } = await open();
  channel.send(new Uint8Array([1]));
  wire.cut();
  await turn();
  expect(broker.frames).toEqual([]);
  for (const one of [client, broker]) {
    expect(one.ends).toEqual([[false, "connection_lost", "the memory channel was cut"]]);
  }
});

it("tells nobody of a half-open wire", async () => {
  const { wire, channel, client, broker } = await open();
  wire.halfOpen();
  channel.send(new Uint8Array([1]));
  channel.close();
  await turn();
  expect([client.ends, broker.ends, broker.frames]).toEqual([[], [], []]);
});

it("is not writable while too much waits", async () => {
  const { channel, client } = await open();
  channel.send(new Uint8Array(70_000));
  expect(channel.isWritable).toBe(false);
  await turn();
  expect(channel.isWritable).toBe(true);
  expect(client.writable).toHaveBeenCalledOnce();
});

it("closes behind what was sent, and says why", async () => {
  const { channel, broker } = await open();
  channel.send(new Uint8Array([1]));
  channel.close(true, "closed", "enough");
  await turn();
  expect(broker.frames).toEqual([[1]]);
  expect(broker.ends).toEqual([[true, "closed", "enough"]]);
});

it("takes no frame above its bound", async () => {
  const { wire, channel, client, broker } = await open();
  wire.broker.maxFrameBytes = 3;
  channel.send(new Uint8Array(4));
  await turn();
  expect(broker.ends).toEqual([[false, "too_large", "a frame of 4 bytes; at most 3 are taken"]]);
  expect(client.ends).toEqual(broker.ends);
});

it("refuses connections on command", async () => {
  const listener = new MemoryListener(() => end());
  listener.isRefusing = true;
  await expect(listener.open(end())).rejects.toBeInstanceOf(ConnectionLost);
  expect(listener.attempts).toBe(1);
});
