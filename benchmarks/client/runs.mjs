/** What a client does with its peer, in one round of a workload: each gives the seconds that it took, and more where it has more. */

/** `count` calls, `width` of them under way at any time; with one at a time, also what each took, in microseconds. */
async function call(peer, { kind, payload, count, width }) {
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
  times.sort();
  const at = (share) => times[Math.min(count - 1, Math.floor(count * share))] * 1000;
  return { seconds: (before - start) / 1000, median: at(0.5), p99: at(0.99) };
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
async function eventsIn(peer, { kind, payload, count }) {
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
async function eventsOut(peer, { kind, count }) {
  let left = count;
  let stop = () => {};
  const all = new Promise((resolve) => {
    stop = peer.listen(kind, () => {
      left -= 1;
      if (left === 0) resolve();
    });
  });
  await peer.usage(); // the subscription is there
  const start = performance.now();
  await Promise.all([all, peer.publish(kind, count)]);
  const seconds = (performance.now() - start) / 1000;
  await stop();
  return { seconds };
}

export const runs = { call, "events-in": eventsIn, "events-out": eventsOut };
