/** Where a listener was added: captured as one line of the stack, written out only when somebody asks. */

/** V8's; elsewhere nobody knows where. */
interface Capturing {
  captureStackTrace?(holder: object, below: unknown): void;
  stackTraceLimit?: number;
}

const MOST_SHOWN = 5;

/** A line of the application's, once it is asked for. */
export type CallSite = { readonly stack?: string };

/** The line that called the function `below`. */
export function callSite(below: unknown): CallSite {
  const errors = Error as Capturing;
  const site: CallSite = {};
  const { stackTraceLimit } = errors;
  errors.stackTraceLimit = 1;
  errors.captureStackTrace?.(site, below);
  if (stackTraceLimit === undefined) delete errors.stackTraceLimit;
  else errors.stackTraceLimit = stackTraceLimit;
  return site;
}

/** Write it out, as `mount (app.js:7:3)`; undefined where nobody knows. */
export function written({ stack }: CallSite): string | undefined {
  return stack?.split("\n    at ")[1];
}

/** Say where from, the most frequent first: `3 at mount (app.js:7:3), 1 at show (app.js:9:3)`. */
export function counted(sites: Iterable<string | undefined>): string {
  const counts = new Map<string, number>();
  for (const site of sites) if (site !== undefined) counts.set(site, (counts.get(site) ?? 0) + 1);
  const sorted = [...counts].sort(([, one], [, other]) => other - one);
  const shown = sorted.slice(0, MOST_SHOWN).map(([site, count]) => `${count} at ${site}`);
  if (sorted.length > MOST_SHOWN) shown.push(`and ${sorted.length - MOST_SHOWN} other places`);
  return shown.join(", ") || "nobody knows where";
}
