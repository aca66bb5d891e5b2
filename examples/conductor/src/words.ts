/** Numbers, sizes and times as people read them. */

/** A number of things, with its noun: "1 file", "12 files". */
export function countOf(count: number, thing: string): string {
  return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
}

export function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function secondsOf(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

export function timeOf(at: Date): string {
  return at.toLocaleTimeString("en-GB");
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
