/** A client in TypeScript that was built with another form of the contract than the broker serves. */
import { createHash } from "node:crypto";
import { type CallDescriptor, type ContractReference, call, connect } from "ionbus";
import { type LaunchedBroker, launchBroker } from "ionbus/node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sum } from "../app/generated/probe.js";
import { Probe } from "../app/generated/probe.js";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { brokerCommand } from "../support/paths.js";
import { allGone, killAll, newMark } from "../support/processes.js";

interface Description {
  members: Record<string, { response?: unknown }>;
  $defs: Record<string, { properties: Record<string, unknown>; required?: string[] }>;
}

function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

/** The contract as it was before a change. */
async function before(version: string, undo: (now: Description) => void): Promise<ContractReference> {
  const description = JSON.parse((await Probe.__contract__.schema?.()) ?? "") as Description;
  undo(description);
  const text = JSON.stringify(description);
  return { name: "probe", version, fingerprint: fingerprintOf(text), schema: async () => text };
}

function add(contract: ContractReference): CallDescriptor<"probe.add", Sum, number> {
  return call({ name: "probe.add", contract });
}

test("the generated description is the one that the fingerprint is made of", async () => {
  const text = await Probe.__contract__.schema?.();
  expect(fingerprintOf(text ?? "")).toBe(Probe.__contract__.fingerprint);
});

const routes = ["websocket", "stdio"] as const;

describe.each(routes)("over %s", (route) => {
  const { mark, env } = newMark();
  let served: ServedBroker | undefined;
  let launched: LaunchedBroker | undefined;
  const open = () => {
    if (served !== undefined) return connect({ url: served.url, token: served.token });
    if (launched === undefined) throw new Error("there is no broker");
    return launched.connect();
  };
  beforeAll(async () => {
    if (route === "websocket") served = await startBroker();
    else {
      launched = launchBroker({ ...brokerCommand, env });
      await launched.ready;
    }
  });
  afterAll(async () => {
    try {
      await served?.stop();
      await launched?.stop();
      await allGone(mark, 1000);
    } finally {
      killAll(mark);
    }
  });

  test("an older client that is compatible works", async () => {
    const older = await before("0.9", ({ members, $defs }) => {
      delete members["crash"];
      const sum = $defs["Sum"];
      if (sum !== undefined) sum.properties["note"] = { type: "string", "x-ionbus": "str" };
    });
    const bus = open();
    expect(await bus.call(add(older), { a: 1, b: 2 })).toBe(3);
    await bus.close();
    const again = open();
    expect(await again.call(add(older), { a: 2, b: 2 })).toBe(4);
    await again.close();
  });

  test.each(["asked", "remembered"])("an incompatible one is told what does not fit (%s)", async () => {
    const stranger = await before("0.1", ({ members }) => {
      const text = { type: "string", "x-ionbus": "str" };
      Object.assign(members["add"] ?? {}, { response: { sent: text, received: text } });
    });
    const bus = open();
    const error = await bus.call(add(stranger), { a: 1, b: 2 }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "ContractMismatch", code: "contract_mismatch" });
    expect(String(error)).toMatch(
      /probe differs: .*version 0\.1 .*serves 1\.0 .*probe\.add response: type changed \(str before, integer now\)/,
    );
    await expect.poll(() => bus.state).toBe("closed");
  });

  test("a contract that is used later fails alone", async () => {
    const stranger = await before("0.2", ({ members }) => {
      members["gone"] = { ...members["pid"] };
    });
    const bus = open();
    expect(await bus.call(Probe.add, { a: 1, b: 1 })).toBe(2);
    await expect(bus.call(add(stranger), { a: 1, b: 2 })).rejects.toThrow(
      /probe\.gone: call or stream removed, served by the broker/,
    );
    expect(bus.state).toBe("open");
    await bus.close();
  });
});
