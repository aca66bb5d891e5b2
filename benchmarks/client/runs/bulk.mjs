/** Bytes in bulk. */

import { PROGRESS } from "../payload.mjs";
import { percentiles } from "./percentiles.mjs";

/** `count` times `size` bytes, one after the other, to the server or from it. */
export async function bulk(peer, { way, size, count }) {
  const start = performance.now();
  for (let index = 0; index < count; index += 1) await transfer(peer, way, size);
  return { seconds: (performance.now() - start) / 1000, size };
}

/** Small calls, one at a time, for as long as `size` bytes go by. */
export async function callDuringBulk(peer, { way, size }) {
  const times = [];
  let isOver = false;
  const start = performance.now();
  const transferred = transfer(peer, way, size).finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const before = performance.now();
    await peer.call("progress", PROGRESS);
    times.push(performance.now() - before);
  }
  await transferred;
  return { seconds: (performance.now() - start) / 1000, size, ...percentiles(times) };
}

const contents = new Map();

async function transfer(peer, way, size) {
  if (way === "out") return arrived((await peer.get(size)).length, size);
  if (!contents.has(size)) contents.set(size, new Uint8Array(size).fill(7));
  return arrived(await peer.put(contents.get(size)), size);
}

function arrived(length, size) {
  if (length !== size) throw new Error(`${length} of ${size} bytes have arrived`);
}
