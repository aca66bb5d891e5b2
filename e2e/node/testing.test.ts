/** `ionbus/testing` as it is published, imported and required: its clock drives the same copy of ionbus. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { inRepository } from "../support/paths.js";

const body = `
  const clock = new FakeClock().install();
  const at = await pair();
  at.halfOpen();
  await clock.advance(15_000);
  const states = [at.bus.state];
  const bus = connect({ url: "ws://127.0.0.1:1", limits: { retryBaseMs: 60_000, retryCapMs: 60_000 } });
  await clock.advance(0);
  bus.onState(({ to }) => states.push(to));
  const call = bus.call({ kind: "call", name: "a.call", contract: {}, raises: [], timeoutMs: 5_000 }, null);
  await clock.drive(call).catch((error) => states.push(error.code, clock.elapsed));
  await bus.close();
  await at.close();
  clock.uninstall();
  const proxy = await new FaultProxy("ws://127.0.0.1:1").start();
  states.push(/^ws:..127.0.0.1:\\d+$/.test(proxy.url));
  await proxy.stop();
  console.log(JSON.stringify(states));
`;

test.each([
  [
    "import",
    "module",
    `import { connect } from "ionbus"; import { FakeClock, FaultProxy, pair } from "ionbus/testing"; ${body}`,
  ],
  [
    "require",
    "commonjs",
    `const { connect } = require("ionbus"); const { FakeClock, FaultProxy, pair } = require("ionbus/testing");
     (async () => {${body}})();`,
  ],
])("by %s", async (_, type, program) => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [`--input-type=${type}`, "--eval", program],
    { cwd: inRepository("e2e") },
  );
  expect(JSON.parse(stdout)).toEqual(["unresponsive", "call_timeout", 20_000, "closed", true]);
});
