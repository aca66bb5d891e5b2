/** Calls, events and streams. */

import { percentiles } from "./percentiles.mjs";

/** `count` calls, `width` of them under way at any time; with one at a time, also what each took, in microseconds. */
export async function call(peer, { kind, payload, count, width }) {
  await peer.begin?.("call", kind);
  const seconds =
    width === 1
      ? await oneByOne(peer, kind, payload, count)
      : await sideBySide(peer, kind, payload, count, width);
  await peer.end?.();
  return seconds;
}

async function oneByOne(peer, kind, payload, count) {
  const times = new Float64Array(count);
  const start = performance.now();
  let before = start;
  for (let index = 0; index < count; index += 1) {
    await peer.call(kind, payload);
    const now = performance.now();
    times[index] = now - before;
    before = now;
  }
  return { seconds: (before - start) / 1000, ...percentiles(times) };
}

async function sideBySide(peer, kind, payload, count, width) {
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await peer.call(kind, payload);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: width }, worker));
  return { seconds: (performance.now() - start) / 1000 };
}

/** `count` events to the server, until it has handled all of them. */
export async function eventsIn(peer, { kind, payload, count }) {
  await peer.begin?.("in", kind);
  const start = performance.now();
  for (let index = 0; index < count; index += 1) {
    const accepted = peer.emit(kind, payload);
    if (accepted !== undefined) await accepted;
  }
  const handled = await peer.received(count);
  const seconds = (performance.now() - start) / 1000;
  if (handled !== count) throw new Error(`the server has handled ${handled} of ${count} events`);
  return { seconds };
}

/** `count` events from the server, until all are here. */
export async function eventsOut(peer, { kind, count }) {
  const all = await hearing([peer], kind, count);
  const start = performance.now();
  await Promise.all([all.heard, peer.publish(kind, count)]);
  const seconds = (performance.now() - start) / 1000;
  await all.stop();
  return { seconds };
}

/** Listen on each of `peers`; `heard` resolves once each has had `count` events. */
export async function hearing(peers, kind, count) {
  let left = count * peers.length;
  let resolve;
  const heard = new Promise((done) => {
    resolve = done;
  });
  const listener = () => {
    left -= 1;
    if (left === 0) resolve();
  };
  const stops = await Promise.all(peers.map((peer) => peer.listen(kind, listener)));
  await Promise.all(peers.map((peer) => peer.usage())); // the subscriptions are there
  return { heard, stop: () => Promise.all(stops.map((stop) => stop())) };
}

/** `count` items of a stream, read one after the other. */
export async function stream(peer, { kind, count }) {
  let read = 0;
  const start = performance.now();
  for await (const _ of peer.stream(kind, count)) read += 1;
  const seconds = (performance.now() - start) / 1000;
  if (read !== count) throw new Error(`the stream had ${read} of ${count} items`);
  return { seconds };
}

/**
 * `count` updates of ten values to a listener that takes `busyMs` for each, faster than it can take them: how old they are in the
 * median when it has them, how far it is behind when the last has been written, and what share of them it was given.
 */
export async function latest(peer, { count, busyMs }) {
  const ages = [];
  let resolve;
  const last = new Promise((done) => {
    resolve = done;
  });
  const first = clock();
  const stop = await peer.listenLatest((event) => {
    const heard = clock();
    if (event.progress < first) return; // of an earlier turn: a new listener is given the newest
    ages.push(heard - event.progress);
    while (clock() < heard + busyMs);
    if (event.meta.attempt === count - 1) resolve(heard);
  });
  await peer.usage();
  const start = performance.now();
  const [heard, written] = await Promise.all([last, peer.publishLatest(count)]);
  const seconds = (performance.now() - start) / 1000;
  await stop();
  return { seconds, age: median(ages), behind: heard - written, delivered: ages.length / count };
}

/** Milliseconds, as the server's clock counts them. */
function clock() {
  return performance.timeOrigin + performance.now();
}

/** The middle one. */
export function median(values) {
  return Float64Array.from(values).sort()[Math.floor(values.length / 2)];
}
