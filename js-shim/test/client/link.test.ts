import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import type { Channel } from "../../src/channels/base.js";
import { MemoryListener } from "../../src/channels/memory.js";
import { createBus } from "../../src/client/bus.js";
import { AGENT } from "../../src/client/link.js";
import { serve } from "../../src/dispatch/answer.js";
import * as Frame from "../../src/generated/frame.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { createAcceptor } from "../../src/testing/acceptor.js";
import { decodeFrame } from "../../src/wire/frames.js";
import { Conductor } from "../conductor.js";

/** A bus that answers every ping, the number of elements in each DATA frame that it sends, and the codes of its CLOSE. */
function countingBus() {
  const batches: number[] = [];
  const closes: unknown[] = [];
  const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
    findHandler: (name) => ({
      kind: "call",
      name,
      raises: [],
      serve,
      decodeRequest: () => null,
      encodeAnswer: () => new Uint8Array([0xc0]),
      run: () => null,
    }),
    event() {},
    other: () => true,
    refused() {},
  }));
  const listener = new MemoryListener((channel, identity) => {
    const receiver = acceptor.accept(channel, identity);
    return {
      ...receiver,
      frameReceived(frame) {
        const decoded = decodeFrame(frame);
        if (decoded[0] === Frame.Data) batches.push(decoded.length - 3);
        if (decoded[0] === Frame.Close) closes.push(decoded[1]);
        receiver.frameReceived(frame);
      },
    };
  });
  return { bus: createBus({ open: listener.open, mayRenewToken: false }), batches, closes, listener };
}

it("sends what one turn makes in one frame", async () => {
  const { bus, batches } = countingBus();
  await bus.call(Conductor.ping);
  batches.length = 0;
  await Promise.all(Array.from({ length: 64 }, () => bus.call(Conductor.ping)));
  expect(batches).toEqual([64]);
  await bus.close();
});

it("sends what the answers of one frame lead to in one frame", async () => {
  const { bus, batches } = countingBus();
  await bus.call(Conductor.ping);
  batches.length = 0;
  const twice = async (): Promise<void> => {
    await bus.call(Conductor.ping);
    await bus.call(Conductor.ping);
  };
  await Promise.all(Array.from({ length: 64 }, twice));
  expect(batches).toEqual([64, 64]);
  await bus.close();
});

it("sends what a loop emits that awaits each event in frames of many, also through functions of the application's", async () => {
  const { bus, batches } = countingBus();
  await bus.call(Conductor.ping);
  batches.length = 0;
  const emit = (id: string): Promise<void> => bus.emit(Conductor.cancelled, { id });
  const emitForIt = async (id: string): Promise<void> => await emit(id);
  for (let id = 0; id < 100; id++) await (id % 2 === 0 ? emit(`${id}`) : emitForIt(`${id}`));
  await bus.call(Conductor.ping);
  expect(batches.reduce((all, batch) => all + batch)).toBe(101);
  expect(batches.length).toBeLessThanOrEqual(2);
  await bus.close();
});

it("sends a lone message before the event loop turns", async () => {
  const { bus, batches } = countingBus();
  await bus.call(Conductor.ping);
  batches.length = 0;
  let hasTurned = false;
  setImmediate(() => {
    hasTurned = true;
  });
  await bus.call(Conductor.ping);
  expect(hasTurned).toBe(false);
  expect(batches).toEqual([1]);
  await bus.close();
});

it("ends its session when it is closed, also while its channel is behind", async () => {
  const { bus, closes, listener } = countingBus();
  await bus.call(Conductor.ping);
  if (listener.wire !== undefined) listener.wire.toBroker.isWritable = false;
  await bus.close();
  await expect.poll(() => closes).toEqual(["closed"]);
});

it("ignores what an abandoned attempt still brings", async () => {
  const { listener, bus } = countingBus();
  await bus.call(Conductor.ping);
  const old = listener.wire;
  old?.cut();
  await bus.call(Conductor.ping);
  old?.broker.send(new Uint8Array([0xff]));
  await bus.call(Conductor.ping);
  expect(bus.state).toBe("open");
  await bus.close();
});

it("drops a channel that opens after the bus was closed", async () => {
  let finish: ((channel: Channel) => void) | undefined;
  const bus = createBus({
    mayRenewToken: false,
    open: () =>
      new Promise((resolve) => {
        finish = (channel) => resolve({ channel });
      }),
  });
  await bus.close();
  const closed = new Promise<void>((resolve) => {
    finish?.({
      kind: "memory",
      silenceIsFatal: false,
      isWritable: true,
      maxFrameBytes: 0,
      send() {},
      close: () => resolve(),
    });
  });
  await closed;
  expect(bus.state).toBe("closed");
});

it("tells the version that the package has", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  expect(AGENT).toBe(`ionbus-js/${version}`);
});
