/** What WELCOME says of rights: the bus does not send what it has no right to. The broker enforces them (tests/security/test_roles.py). */

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Channel, Opener, Receiver } from "../../src/channels/base.js";
import { type Bus, createBus } from "../../src/client/bus.js";
import { NotAllowed } from "../../src/errors.js";
import * as Frame from "../../src/generated/frame.js";
import * as Message from "../../src/generated/message.js";
import { decodeFrame, encodeControl, greetingMap } from "../../src/wire/frames.js";
import { Conductor } from "../conductor.js";

type Rights = { readonly withheld: unknown } | undefined;

/** What the next WELCOME says; `cut` ends the channel that is open. */
let rights: Rights;
let cut: () => void;
let sent: (readonly unknown[])[];
let bus: Bus;

/** A broker that welcomes whoever comes, and answers nothing. */
const open: Opener = async (receiver: Receiver) => {
  const channel: Channel = {
    kind: "memory",
    silenceIsFatal: false,
    isWritable: true,
    maxFrameBytes: 0,
    send(frame) {
      const decoded = decodeFrame(frame);
      if (decoded[0] === Frame.Hello)
        queueMicrotask(() => receiver.frameReceived(welcome(greetingMap(decoded))));
      else if (decoded[0] === Frame.Data) sent.push(...(decoded.slice(3) as (readonly unknown[])[]));
    },
    close() {},
  };
  cut = () => receiver.closed(false, "connection_lost", "cut");
  return { channel };
};

function welcome(hello: Readonly<Record<string, unknown>>): Uint8Array {
  return encodeControl(Frame.Welcome, {
    protocol: 1,
    agent: "test",
    session: hello["session"],
    resumed: hello["epoch"] !== undefined,
    epoch: new Uint8Array(16),
    secret: new Uint8Array(32),
    received: 0,
    credit: [1_000_000, 1_000],
    heartbeat: [5_000, 15_000],
    ...(rights === undefined ? {} : { rights }),
  });
}

async function connect(given: Rights): Promise<void> {
  rights = given;
  bus = createBus({ open, mayRenewToken: false });
  await vi.waitFor(() => expect(bus.state).toBe("open"));
}

/** What the bus does with a call of each kind. */
async function tried(): Promise<Record<"emit" | "call" | "stream", string>> {
  const emitted = bus.emit(Conductor.cancelled, { id: "1" }).then(
    () => "sent",
    (error: unknown) => (error instanceof NotAllowed ? error.message : String(error)),
  );
  const call = bus.call(Conductor.ping, null, { timeoutMs: 20 }).catch((error: Error) => error);
  let stream = "sent";
  try {
    bus.stream(Conductor.logs, { count: 1 });
  } catch (error) {
    stream = error instanceof NotAllowed ? error.message : String(error);
  }
  const called = await call;
  return {
    emit: await emitted,
    call: called instanceof NotAllowed ? called.message : "sent",
    stream,
  };
}

const ALL = { emit: "sent", call: "sent", stream: "sent" };

beforeEach(() => {
  sent = [];
});
afterEach(() => bus.close());

describe("rights", () => {
  it("that are not told are all that the contract allows", async () => {
    await connect(undefined);
    expect(await tried()).toEqual(ALL);
    expect(sent.length).toBeGreaterThanOrEqual(3);
  });

  it("that are told to be withheld keep that from being sent", async () => {
    await connect({ withheld: ["conductor.cancelled", "conductor.ping", "conductor.logs"] });
    expect(await tried()).toEqual({
      emit: "conductor.cancelled: the broker gave no right to publish it",
      call: "conductor.ping: the broker gave no right to use it",
      stream: "conductor.logs: the broker gave no right to use it",
    });
    expect(sent.map(([kind]) => kind)).toEqual([Message.Announce]);
  });

  it("are withheld by patterns, and by nothing else", async () => {
    await connect({ withheld: ["conductor.**"] });
    expect(Object.values(await tried()).filter((what) => what === "sent")).toEqual([]);
    await bus.close();
    await connect({ withheld: ["conductor.execute", "conductor", "*", "other.**"] });
    expect(await tried()).toEqual(ALL);
  });

  it("that make no sense withhold nothing here, since the broker decides", async () => {
    for (const withheld of ["conductor.ping", 7, [7, null, "", "conductor.**.ping", "con*.ping"]]) {
      await connect({ withheld });
      expect(await tried()).toEqual(ALL);
      await bus.close();
    }
  });

  it("are those of the newest WELCOME", async () => {
    await connect({ withheld: ["conductor.*"] });
    expect((await tried()).emit).not.toBe("sent");
    rights = undefined;
    cut();
    await vi.waitFor(() => expect(bus.state).not.toBe("open"));
    await vi.waitFor(() => expect(bus.state).toBe("open"));
    expect(await tried()).toEqual(ALL);
  });
});
