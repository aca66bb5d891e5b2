/**
 * Tells when source files have changed, by looking at them again and again: that works on every file system and every version of
 * Node.js, and is for development only.
 */

import { statSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";

/** How long between two looks, in milliseconds; more where a look takes long. */
const INTERVAL_MS = 300;
/** A look may take one part of this many of the time. */
const SHARE = 20;
const MAX_SHOWN = 3;
const SKIPPED = new Set(["node_modules", "__pycache__", "site-packages"]);

/** What tells one state of a file from another, by its path. */
type Look = ReadonlyMap<string, string>;

/**
 * Watch files, and the Python files in folders and in what is below them; folders whose names begin with a dot are left out.
 *
 * @param changed - told which files differ, once they have stopped changing.
 * @returns what ends this.
 * @throws TypeError one of the paths is not there.
 */
export function watchFiles(paths: readonly string[], changed: (names: string) => void): () => void {
  for (const each of paths) {
    if (statSync(each, { throwIfNoEntry: false }) === undefined)
      throw new TypeError(`watch: ${each} is not there`);
  }
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;

  async function watch(): Promise<void> {
    let known = await lookAt(paths);
    while (!isOver) {
      const seen = await nextLook();
      if (differences(known, seen).length === 0) continue;
      const settled = await settledLook(seen);
      const names = differences(known, settled);
      known = settled;
      if (!isOver && names.length > 0) changed(shown(names));
    }
  }

  /** Who saves many files, saves them one after the other. */
  async function settledLook(seen: Look): Promise<Look> {
    const next = await nextLook();
    return isOver || differences(seen, next).length === 0 ? next : settledLook(next);
  }

  async function nextLook(): Promise<Look> {
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
      timer.unref();
    });
    const start = performance.now();
    const seen = await lookAt(paths);
    waitMs = Math.max(INTERVAL_MS, (performance.now() - start) * SHARE);
    return seen;
  }

  let waitMs = INTERVAL_MS;
  void watch();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

async function lookAt(paths: readonly string[]): Promise<Look> {
  const found = new Map<string, string>();
  for (const each of paths) {
    const state = await stat(each).catch(() => undefined);
    if (state?.isDirectory()) await lookInto(each, found);
    else if (state !== undefined) found.set(each, `${state.mtimeMs} ${state.size}`);
  }
  return found;
}

async function lookInto(folder: string, found: Map<string, string>): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []); // gone meanwhile
  for (const entry of entries) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!entry.name.startsWith(".") && !SKIPPED.has(entry.name)) await lookInto(full, found);
    } else if (entry.name.endsWith(".py")) {
      const state = await stat(full).catch(() => undefined);
      if (state !== undefined) found.set(full, `${state.mtimeMs} ${state.size}`);
    }
  }
}

/** The names of files that are not the same in both. */
function differences(before: Look, after: Look): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((each) => before.get(each) !== after.get(each)).map((each) => path.basename(each));
}

function shown(names: readonly string[]): string {
  const more = names.length > MAX_SHOWN ? ` and ${names.length - MAX_SHOWN} more` : "";
  return `${names.slice(0, MAX_SHOWN).join(", ")}${more}`;
}
