/** What the window measures: microseconds a call one after the other, and calls a second with 64 under way. */

import { connectElectron } from "../../../js-shim/dist/esm/electron/renderer.js";
import { call } from "../../../js-shim/dist/esm/index.js";

const reading = { name: "temperature", number: 42, values: [20.5, 21.25, 22.125] };

globalThis.measure = async (fingerprint, calls, rounds) => {
  const echo = call({ name: "bench.echo", contract: { name: "bench", version: "1.0", fingerprint } });
  const port = connectElectron({ name: "port" });
  const websocket = connectElectron({ name: "websocket" });
  const ways = {
    port: () => port.call(echo, reading),
    websocket: () => websocket.call(echo, reading),
    invoke: () => globalThis.echo(reading),
  };
  const times = {};
  const rates = {};
  for (const [way, once] of Object.entries(ways)) {
    times[way] = [];
    rates[way] = [];
    for (let count = 0; count < 500; count += 1) await once(); // until everything is compiled
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [way, once] of Object.entries(ways)) times[way].push(await oneByOne(once, calls / rounds));
    for (const [way, once] of Object.entries(ways))
      rates[way].push(await manyAtOnce(once, calls / rounds, 64));
  }
  return Object.fromEntries(
    Object.keys(ways).map((way) => [
      way,
      {
        mean_us: mean(times[way]),
        best_round_us: Math.min(...times[way]),
        calls_per_second: mean(rates[way]),
      },
    ]),
  );
};

/** Microseconds a call. The round is timed as a whole: a page's clock ticks every 100 µs. */
async function oneByOne(once, calls) {
  const start = performance.now();
  for (let count = 0; count < calls; count += 1) await once();
  return ((performance.now() - start) / calls) * 1000;
}

async function manyAtOnce(once, calls, width) {
  let left = calls;
  const start = performance.now();
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await once();
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return (calls / (performance.now() - start)) * 1000;
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
