/** What goes over the wire. */

import { Socket } from "node:net";
import { openRelay } from "../relay.mjs";
import { eventsIn, eventsOut } from "./messages.mjs";

const WAYS = { "events-in": eventsIn, "events-out": eventsOut };

/** The bytes of each of `count` events, of whatever direction: what is sent back because of them counts. */
export async function wire(peer, { way, count, ...job }, server) {
  if (server.url === undefined) return measured(peer, WAYS[way], { count, ...job }, bytesOfPipes);
  const relay = await openRelay(server.url);
  const other = await server.connect(relay.url);
  const figures = await measured(other, WAYS[way], { count, ...job }, relay.bytes);
  await other.close();
  relay.close();
  return figures;
}

async function measured(peer, run, job, bytes) {
  await run(peer, job); // what is said once is said
  const before = bytes();
  const { seconds } = await run(peer, job);
  return { seconds, bytes: (bytes() - before) / job.count };
}

/** What the pipes of this process have carried, but for its own standard streams. */
function bytesOfPipes() {
  const own = new Set([process.stdin, process.stdout, process.stderr]);
  const pipes = process._getActiveHandles().filter((handle) => handle instanceof Socket && !own.has(handle));
  return pipes.reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0);
}
