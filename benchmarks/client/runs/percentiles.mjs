/** Of how long things took: given milliseconds, the median and the 99th percentile in microseconds. */

export function percentiles(times) {
  const sorted = Float64Array.from(times).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] * 1000;
  return { median: at(0.5), p99: at(0.99) };
}
