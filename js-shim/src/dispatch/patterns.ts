/** Patterns over event names (docs/protocol.md, section 5.2). */

import { DEFAULT_LIMITS } from "../generated/protocol.js";

/** What is wrong with a pattern; undefined: nothing. */
export function patternProblem(pattern: string): string | undefined {
  const size = new TextEncoder().encode(pattern).length;
  if (size === 0 || size > DEFAULT_LIMITS.maxNameBytes) {
    return `a pattern has 1 to ${DEFAULT_LIMITS.maxNameBytes} bytes`;
  }
  const segments = pattern.split(".");
  for (const [index, segment] of segments.entries()) {
    if (segment === "**" && index < segments.length - 1) {
      return `"${pattern}": ** stands for the rest of a name, so it comes last`;
    }
    if (segment === "*" || segment === "**") continue;
    if (segment === "" || segment.includes("*"))
      return `"${pattern}": a segment is a word, * or, as the last one, **`;
  }
  return undefined;
}

/** Whether the pattern is a name. */
export function isExact(pattern: string): boolean {
  return !pattern.includes("*");
}

/** Give a function that tells whether a name matches. */
export function matcher(pattern: string): (name: string) => boolean {
  if (isExact(pattern)) return (name) => name === pattern;
  const segments = pattern.split(".");
  const isOpenEnded = segments[segments.length - 1] === "**";
  const head = isOpenEnded ? segments.slice(0, -1) : segments;
  return (name) => {
    const words = name.split(".");
    const fitsLength = isOpenEnded ? words.length > head.length : words.length === head.length;
    return fitsLength && head.every((segment, index) => segment === "*" || segment === words[index]);
  };
}
