/**
 * The client's process: one peer, and what it is told to do with it.
 *
 * Its argument is JSON: which peer's client, and what starts its server. Each line of standard input is then one run; its
 * figures are one line of standard output.
 */

import { createInterface } from "node:readline";
import { runs } from "./runs/index.mjs";

const { client, command, options } = JSON.parse(process.argv[2]);
const { start } = await import(client);
const server = await start(command, options);
server.another = () => start(command, options);
const peer = await server.connect();
tell({ pid: server.pid });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const { workload, ...job } = JSON.parse(line);
    const before = { client: clientSeconds(), server: await peer.usage() };
    const { seconds, ...figures } = await runs[workload](peer, job, server);
    const after = { client: clientSeconds(), server: await peer.usage() };
    const [cpuClient, cpuServer] = [after.client - before.client, after.server - before.server];
    tell({ seconds, cpuClient, cpuServer, ...figures });
  } catch (error) {
    tell({ error: String(error?.stack ?? error) });
  }
}
await peer.close();
await server.stop();
process.exit();

function clientSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function tell(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
