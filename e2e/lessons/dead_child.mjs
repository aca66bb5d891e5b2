/** Launches the broker that E2E_LAUNCH names, and writes to it when it is dead and nobody has noticed yet; says what came of it. */
import { readFileSync } from "node:fs";
import { launchBroker } from "ionbus/node";

const broker = launchBroker({ ...JSON.parse(process.env.E2E_LAUNCH), restart: false });
const states = [];
broker.onState(({ to }) => states.push(to));
await broker.ready;
const bus = broker.connect();
const contract = { name: "probe", version: "1.0", fingerprint: process.env.E2E_FINGERPRINT };
const echo = { kind: "call", name: "probe.echo", contract, servedBy: "broker", timeoutMs: null, raises: [] };
const parcel = { text: "", data: new Uint8Array(60_000) };
await bus.call(echo, parcel);

const { pid } = broker;
process.kill(pid, "SIGKILL");
while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))); // this process has no turn to hear of it
const calls = Array.from({ length: 50 }, () => bus.call(echo, parcel));
const codes = (await Promise.allSettled(calls)).map(({ reason }) => reason?.code);
console.log(JSON.stringify({ states, codes: [...new Set(codes)], bus: bus.state }));
