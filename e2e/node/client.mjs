/** A program that finds its broker by the environment, and says what a call came to. */
import { connect } from "ionbus";

const contract = { name: "probe", version: "1.0", fingerprint: process.env.E2E_FINGERPRINT };
const timeoutMs = Number(process.env.E2E_TIMEOUT_MS);
const call = (name) => ({ kind: "call", name, contract, servedBy: "broker", timeoutMs, raises: [] });
let bus;
try {
  bus = connect();
  console.log(JSON.stringify({ sum: await bus.call(call("probe.add"), { a: 1, b: 2 }) }));
  const guarded = await bus.call(call("probe.guarded"), null).catch(({ code }) => code);
  console.log(JSON.stringify({ guarded }));
} catch ({ name, message }) {
  console.log(JSON.stringify({ name, message }));
}
await bus?.close();
