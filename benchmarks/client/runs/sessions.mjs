/** Many sessions, and a session's beginnings. */

import { openRelay } from "../relay.mjs";
import { hearing, median } from "./messages.mjs";

const crowds = new WeakMap(); // the other sessions of each peer

/** `count` events to each of `sessions`, this one among them, until all are here. */
export async function fanOut(peer, { kind, count, sessions }, server) {
  const crowd = await crowdOf(peer, sessions, server);
  const all = await hearing([peer, ...crowd], kind, count);
  await Promise.all(crowd.map((each) => each.begin?.("join", kind)));
  const start = performance.now();
  await Promise.all([all.heard, peer.publish(kind, count, true)]);
  const seconds = (performance.now() - start) / 1000;
  await all.stop();
  await Promise.all(crowd.map((each) => each.end?.()));
  return { seconds };
}

/** How often each of `count` events to `sessions` is written out. */
export async function encodings(peer, { count, sessions }, server) {
  const crowd = await crowdOf(peer, sessions, server);
  const all = await hearing([peer, ...crowd], "counted", count);
  const start = performance.now();
  const [times] = await Promise.all([peer.encodings(count), all.heard]);
  const seconds = (performance.now() - start) / 1000;
  await all.stop();
  return { seconds, encodings: times / count };
}

/** `sessions` that do nothing, this one among them. */
export async function crowd(peer, { sessions }, server) {
  const start = performance.now();
  await crowdOf(peer, sessions, server);
  return { seconds: (performance.now() - start) / 1000 };
}

async function crowdOf(peer, sessions, server) {
  if (!crowds.has(peer)) crowds.set(peer, []);
  const crowd = crowds.get(peer);
  while (crowd.length < sessions - 1) {
    const another = await server.connect();
    await another.usage(); // it is there: servers greet only so many at once
    crowd.push(another);
  }
  return crowd;
}

/** `count` connections one after the other, from the first step to the first answer. */
export async function connect(_peer, { kind, payload, count }, server) {
  const times = [];
  for (let index = 0; index < count; index += 1) {
    const start = performance.now();
    const peer = await server.connect();
    await callOnce(peer, kind, payload);
    times.push(performance.now() - start);
    await peer.close();
  }
  return { seconds: times.reduce((sum, time) => sum + time) / 1000, median: median(times) };
}

/** Another process of the server's, from its start to the first answer. */
export async function start(_peer, { kind, payload }, server) {
  const start = performance.now();
  const other = await server.another();
  const peer = await other.connect();
  await callOnce(peer, kind, payload);
  const took = performance.now() - start;
  await peer.close();
  await other.stop();
  return { seconds: took / 1000, median: took };
}

/** `count` cuts of a connection, each until a call is answered that was made as soon as the client takes one. */
export async function reconnect(_peer, { kind, payload, count }, server) {
  const relay = await openRelay(server.url);
  const peer = await server.connect(relay.url);
  await peer.call(kind, payload);
  const times = [];
  for (let index = 0; index < count; index += 1) {
    const start = performance.now();
    const noticed = peer.untilCut?.();
    relay.cut();
    await noticed;
    await peer.call(kind, payload);
    times.push(performance.now() - start);
  }
  await peer.close();
  relay.close();
  return { seconds: times.reduce((sum, time) => sum + time) / 1000, median: median(times) };
}

async function callOnce(peer, kind, payload) {
  await peer.begin?.("call", kind);
  await peer.call(kind, payload);
  await peer.end?.();
}
