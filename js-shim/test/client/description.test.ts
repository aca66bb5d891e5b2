import { afterEach, describe, expect, it, vi } from "vitest";
import { MemoryListener } from "../../src/channels/memory.js";
import { type Bus, createBus } from "../../src/client/bus.js";
import { type ContractReference, event } from "../../src/contract.js";
import { NotFound } from "../../src/errors.js";
import * as Message from "../../src/generated/message.js";
import { DEFAULT_LIMITS } from "../../src/generated/protocol.js";
import { type Accepted, createAcceptor } from "../../src/testing/acceptor.js";
import { encodeMessage } from "../../src/wire/messages.js";

let bus: Bus | undefined;
afterEach(() => bus?.close());

/** Connect a client that was built with these contracts, ask it, and give its answers. */
async function ask(contracts: readonly ContractReference[], fingerprints: string[]): Promise<unknown[][]> {
  const answers: unknown[][] = [];
  let connected: (session: Accepted) => void;
  const session = new Promise<Accepted>((resolve) => {
    connected = resolve;
  });
  const acceptor = createAcceptor(DEFAULT_LIMITS, (accepted) => ({
    findHandler: (name) => new NotFound(name),
    event: () => connected(accepted),
    other(_, message) {
      if (message[0] === Message.Description) answers.push([...message]);
      return true;
    },
    refused: () => undefined,
  }));
  const listener = new MemoryListener(acceptor.accept);
  bus = createBus({ open: listener.open, mayRenewToken: false });
  for (const contract of contracts) {
    await bus.emit(
      event<"c.here", null, null, "client">({ name: "c.here", contract, source: "client" }),
      null,
    );
  }
  (await session).peer.send(encodeMessage(Message.Describe, fingerprints));
  await vi.waitFor(() => expect(answers).toHaveLength(fingerprints.length));
  return answers;
}

function contract(fingerprint: string, schema?: () => Promise<string>): ContractReference {
  return { name: "c", version: "1.0", fingerprint, ...(schema ? { schema } : {}) };
}

describe("the description of a contract", () => {
  it("is loaded when the broker asks for it, and not before", async () => {
    const asked = vi.fn(async () => '{"name":"ü"}');
    const other = vi.fn(async () => "");
    const answers = await ask([contract("aa", asked), contract("bb", other)], ["aa"]);
    expect(answers).toEqual([[Message.Description, "aa", new TextEncoder().encode('{"name":"ü"}')]]);
    expect(asked).toHaveBeenCalledOnce();
    expect(other).not.toHaveBeenCalled();
  });

  it("may take more than one frame", async () => {
    const text = "x".repeat(3_000_000);
    const [answer] = await ask([contract("aa", async () => text)], ["aa"]);
    expect(answer?.[2]).toHaveLength(text.length);
  });

  it("is absent where there is none, or it cannot be loaded", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = contract("bb", () => Promise.reject(new Error("offline")));
    const answers = await ask([contract("aa"), broken], ["aa", "bb", "cc"]);
    expect(answers.map((answer) => answer.slice(0, 3))).toEqual(
      expect.arrayContaining([
        [Message.Description, "aa"],
        [Message.Description, "bb"],
        [Message.Description, "cc"],
      ]),
    );
    expect(log).toHaveBeenCalledOnce();
    log.mockRestore();
  });
});
