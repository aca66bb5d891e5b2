import { connect } from "ionbus";
import { type LaunchedBroker, launchBroker } from "ionbus/node";
import { afterAll, beforeAll, describe } from "vitest";
import { Lab } from "../page/lab.js";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { describeBus, type Place } from "../support/cases.js";
import { brokerCommand } from "../support/paths.js";
import { allGone, killAll, newMark } from "../support/processes.js";

/** This very process, where `lab` is a global like in a page. */
function here(logs: string[]): Place {
  return {
    evaluate: async (there: (argument: never) => unknown, argument?: unknown) =>
      there(argument as never) as never,
    logs: () => logs,
  };
}

describe("Node.js, which launched the broker", () => {
  const { mark, env } = newMark();
  const logs: string[] = [];
  let broker: LaunchedBroker;
  beforeAll(async () => {
    broker = launchBroker({ ...brokerCommand, env });
    broker.onLog((line) => logs.push(line));
    globalThis.lab = new Lab(broker.connect());
    await broker.ready;
  });
  afterAll(async () => {
    try {
      await broker?.stop();
      await allGone(mark, 1000);
    } finally {
      killAll(mark);
    }
  });

  describeBus(() => here(logs));
});

describe("Node.js, over WebSocket", () => {
  let broker: ServedBroker;
  beforeAll(async () => {
    broker = await startBroker();
    globalThis.lab = new Lab(connect({ url: broker.url, token: broker.token }));
  });
  afterAll(async () => {
    await lab?.bus.close();
    await broker?.stop();
  });

  describeBus(() => here(broker.logs));
});
