/** The same as program.cjs, as an ES module. */
import { connect } from "ionbus";
import { launchBroker } from "ionbus/node";

const broker = launchBroker(JSON.parse(process.env.E2E_LAUNCH));
const bus = broker.connect();
const contract = { name: "probe", version: "1.0", fingerprint: process.env.E2E_FINGERPRINT };
const add = { kind: "call", name: "probe.add", contract, servedBy: "broker", timeoutMs: 10000, raises: [] };
const sum = await bus.call(add, { a: 1, b: 2 });
console.log(JSON.stringify({ sum, pid: broker.pid, connect: typeof connect }));
