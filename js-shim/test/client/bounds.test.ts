/** What a client takes on for its broker is bounded, as what a broker takes on for a client is. */

import { afterEach, expect, test, vi } from "vitest";
import { MemoryListener } from "../../src/channels/memory.js";
import { type Bus, createBus } from "../../src/client/bus.js";
import { createReader } from "../../src/dispatch/reader.js";
import { type IonbusError, TooLarge } from "../../src/errors.js";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS, type Limits } from "../../src/generated/protocol.js";
import { createAcceptor } from "../../src/testing/acceptor.js";
import { encodeMessage } from "../../src/wire/messages.js";
import { decode, encode } from "../../src/wire/values.js";
import { Conductor } from "../conductor.js";

let bus: Bus;
let listener: MemoryListener;
afterEach(() => bus.close());

/** A broker's peer that asks a client whatever a test wants. */
async function broker(limits: Partial<Limits>) {
  const acceptor = createAcceptor(DEFAULT_LIMITS, () => ({
    findHandler: (): IonbusError => new TooLarge("nothing is served"),
    event() {},
    other: () => true,
    refused() {},
  }));
  listener = new MemoryListener(acceptor.accept);
  bus = createBus({ open: listener.open, mayRenewToken: false }, { limits });
  await vi.waitFor(() => expect(bus.state).toBe("open"));
  const [session] = acceptor.sessions;
  if (session === undefined) throw new Error("no session");
  return session.peer;
}

const asked = { timeoutMs: null, signal: undefined, raises: [], isIdempotent: false };

test("payloads of requests under way, in bytes", async () => {
  const gates: (() => void)[] = [];
  const peer = await broker({ maxRequestBytes: 2_500 });
  bus.handle(Conductor.pickFile, () => new Promise((go) => gates.push(() => go({ path: null }))));
  const ask = () =>
    peer.requests.call(
      { ...asked, name: "conductor.pick_file", payload: encode({ title: "t".repeat(1_000) }) },
      decode,
    );
  const first = [ask(), ask()];
  await expect(ask()).rejects.toThrow(/requests of 20\d\d bytes are under way already; at most 2500 are/);
  const open = (): void => {
    for (const go of gates.splice(0)) go();
  };
  open();
  await expect(Promise.all(first)).resolves.toEqual([{ path: null }, { path: null }]);
  const next = ask();
  await vi.waitFor(() => expect(gates).toHaveLength(1));
  open();
  await expect(next).resolves.toEqual({ path: null });
});

test("streams, in number", async () => {
  const peer = await broker({ maxStreams: 2 });
  bus.handle(Conductor.upload, async function* () {
    yield 1;
    await new Promise(() => {});
  });
  const read = () =>
    peer.requests.stream({ ...asked, name: "conductor.upload", payload: encode(null) }, createReader, decode);
  const streams = [read(), read()];
  for (const stream of streams) expect((await stream.next()).value).toBe(1);
  await expect(read().next()).rejects.toThrow("2 streams are under way already");
  for (const stream of streams) stream.close();
});

test("items for a reader that grants without end and does not read", async () => {
  const peer = await broker({ creditBytes: 10_000 });
  let sent = 0;
  bus.handle(Conductor.upload, async function* () {
    for (; ; sent++) yield "x".repeat(1_000) as never;
  });
  listener.wire?.toBroker.hold();
  const endless = { credit: [2 ** 50, 2 ** 50] };
  peer.send(encodeMessage(Message.Stream, 1, "conductor.upload", encode(null), endless));
  await vi.waitFor(() => expect(sent).toBeGreaterThan(9));
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  expect(sent).toBeLessThan(200);
  listener.isRefusing = true; // nothing of it is waited for
  listener.wire?.cut();
});

test("answers that nobody reads, in bytes: each is answered all the same", async () => {
  const peer = await broker({ maxAnswerBytes: 250_000 });
  bus.handle(Conductor.pickFile, () => ({ path: "p".repeat(100_000) }));
  listener.wire?.toBroker.hold();
  const calls = Array.from({ length: 10 }, () =>
    peer.requests.call({ ...asked, name: "conductor.pick_file", payload: encode({ title: "" }) }, decode),
  );
  const outcomes = Promise.allSettled(calls);
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  listener.wire?.toBroker.release();
  const kinds = (await outcomes).map((each) => (each.status === "rejected" ? each.reason.code : "result"));
  expect(kinds).toHaveLength(10);
  expect(kinds).toContain("result");
  expect(kinds.filter((kind) => kind !== "result")).toContain("too_large");
});

test("what a bus that ends for good had not delivered is counted", async () => {
  await broker({});
  listener.wire?.toBroker.stop();
  await bus.emit(Conductor.cancelled, { id: "numbered" });
  await new Promise(setImmediate);
  listener.isRefusing = true;
  listener.wire?.cut();
  await bus.emit(Conductor.cancelled, { id: "waits" });
  await bus.close();
  expect(bus.dropped).toEqual({ "conductor.cancelled": { closed: 2 } });
});
