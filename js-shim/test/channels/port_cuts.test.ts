/** A conversation over real MessagePorts, cut at each of its messages, in either direction: it goes on, and all comes about once. */

import { MessageChannel } from "node:worker_threads";
import { expect, test, vi } from "vitest";
import type { Accept, Opener, Receiver } from "../../src/channels/base.js";
import { type PortLike, portChannel } from "../../src/channels/port.js";
import { fakeBroker } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

type Direction = "toBroker" | "toClient";
/** Who sees it: both ends, or the client alone, while the broker's end stays half open until a newer channel evicts it. */
type Seen = "by both" | "by the client";

/** How often messages have gone in each direction, and the one that does not arrive any more. */
class Cuts {
  readonly counts: Record<Direction, number> = { toBroker: 0, toClient: 0 };
  made = 0;

  constructor(
    readonly direction: Direction | undefined,
    readonly at: number,
  ) {}

  /** Whether the next message in this direction is the one. */
  isNow(direction: Direction): boolean {
    this.counts[direction] += 1;
    if (direction !== this.direction || this.counts[direction] !== this.at) return false;
    this.made += 1;
    return true;
  }
}

/** Opens channels over pairs of ports. */
function opener(accept: Accept, cuts: Cuts, seen: Seen): Opener {
  return async (receiver) => {
    const { port1, port2 } = new MessageChannel();
    let isCut = false;
    function cut(): void {
      isCut = true;
      receiver.closed(false, "connection_lost", "cut");
      if (seen === "by both") atBroker.closed(false, "connection_lost", "cut");
    }
    const end = (port: PortLike, direction: Direction): PortLike => ({
      postMessage(message) {
        if (isCut) return;
        if (cuts.isNow(direction)) cut();
        else port.postMessage(message);
      },
      start: () => port.start(),
      close: () => port.close(),
      // A port listens to itself: what is wrapped has to say so.
      ...{ addEventListener: (port as unknown as EventTarget).addEventListener.bind(port) },
    });
    const client = portChannel(end(port1 as unknown as PortLike, "toBroker"), unlessCut(receiver));
    let atBroker: Receiver = receiver;
    const broker = portChannel(
      end(port2 as unknown as PortLike, "toClient"),
      unlessCut({
        frameReceived: (frame) => atBroker.frameReceived(frame),
        writable: () => atBroker.writable(),
        closed: (...how) => atBroker.closed(...how),
      }),
    );
    atBroker = accept(broker, { role: "window" });
    return { channel: client, token: undefined };

    function unlessCut(inner: Receiver): Receiver {
      return {
        frameReceived: (frame) => isCut || inner.frameReceived(frame),
        writable: () => isCut || inner.writable(),
        closed: (...how) => isCut || inner.closed(...how),
      };
    }
  };
}

/** Everything that a session can carry, and a check that each part of it came about once. */
async function converse(cuts: Cuts, seen: Seen): Promise<void> {
  const limits = { retryBaseMs: 1, retryCapMs: 2, transferThresholdBytes: 2_000, transferPartBytes: 1_000 };
  const broker = fakeBroker({ limits });
  const bus = broker.connect({ open: opener(broker.accept, cuts, seen), limits });
  try {
    const runs: string[] = [];
    const said: string[] = [];
    const heard: number[] = [];
    const lost: string[] = [];
    broker.handle(Conductor.execute, ({ flow }) => ({ files: runs.push(flow) }));
    broker.handle(Conductor.echo, (bytes) => bytes);
    broker.handle(Conductor.logs, async function* ({ count }) {
      for (let line = 0; line < count; line++) yield { line };
    });
    broker.on(Conductor.cancelled, ({ id }) => void said.push(id));
    bus.handle(Conductor.pickFile, ({ title }) => ({ path: title }));
    bus.onState(({ outcome }) => outcome === "lost" && lost.push(outcome));
    await bus.on(Conductor.finished, ({ files }) => heard.push(files)).confirmed();
    const data = new Uint8Array(5_500).map((_, index) => index % 251);
    const lines: number[] = [];
    const [first, second, echoed] = await Promise.all([
      bus.call(Conductor.execute, { flow: "a" }),
      bus.call(Conductor.execute, { flow: "b" }),
      bus.call(Conductor.echo, data),
      bus.emit(Conductor.cancelled, { id: "one" }),
      bus.emit(Conductor.cancelled, { id: "two" }),
      (async () => {
        for await (const { line } of bus.stream(Conductor.logs, { count: 9 })) lines.push(line);
      })(),
    ]);
    for (const files of [1, 2, 3]) await broker.emit(Conductor.finished, { files });
    await expect(broker.call(Conductor.pickFile, { title: "t" })).resolves.toEqual({ path: "t" });
    await vi.waitFor(() =>
      expect([said, heard]).toEqual([
        ["one", "two"],
        [1, 2, 3],
      ]),
    );
    expect([first, second]).toEqual([{ files: 1 }, { files: 2 }]);
    expect(runs).toEqual(["a", "b"]);
    expect(Buffer.compare(echoed, data)).toBe(0);
    expect(lines).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(lost).toEqual([]);
  } finally {
    await bus.close();
    await broker.close();
  }
}

test.each([
  ["toBroker", "by both"],
  ["toBroker", "by the client"],
  ["toClient", "by both"],
  ["toClient", "by the client"],
] as const)("%s, seen %s", async (direction, seen) => {
  const uncut = new Cuts(undefined, 0);
  await converse(uncut, seen);
  const messages = uncut.counts[direction];
  expect(messages).toBeGreaterThan(8);
  let made = 0;
  for (let at = 1; at <= messages; at++) {
    const cuts = new Cuts(direction, at);
    await converse(cuts, seen);
    made += cuts.made;
  }
  expect(made).toBeGreaterThan(messages - 4); // the last ones may not be needed: acknowledgements, the end
});
