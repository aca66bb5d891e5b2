/** Launches the broker that E2E_LAUNCH names, calls it, says what came of it as JSON, and waits to be killed. */
const { connect } = require("ionbus");
const { launchBroker } = require("ionbus/node");

const broker = launchBroker(JSON.parse(process.env.E2E_LAUNCH));
const bus = broker.connect();
const contract = { name: "probe", version: "1.0", fingerprint: process.env.E2E_FINGERPRINT };
const add = { kind: "call", name: "probe.add", contract, servedBy: "broker", timeoutMs: 10000, raises: [] };
bus.call(add, { a: 1, b: 2 }).then((sum) => {
  console.log(JSON.stringify({ sum, pid: broker.pid, connect: typeof connect }));
});
