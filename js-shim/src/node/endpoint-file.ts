/** The file by which a broker tells programs of its user where it is and what lets them in (docs/security.md). */

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ConnectionLost } from "../errors.js";

/** Where a broker is, and what lets us in. */
export interface Endpoint {
  readonly url: string;
  readonly token: string | undefined;
}

const MAX_BYTES = 65_536;

/**
 * Give what a broker has written.
 *
 * @throws ConnectionLost there is no such file, others can read or write it, or it is none of a broker's.
 */
export async function readEndpointFile(path: string): Promise<Endpoint> {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants; // Windows has neither of the last two
  let file: FileHandle;
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    throw new ConnectionLost(`${path}: ${whyNot(error)}`);
  }
  try {
    const problem = await whyNotOwn(file);
    if (problem !== undefined) throw new ConnectionLost(`${path}: ${problem}`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
    const endpoint = endpointOf(buffer.toString("utf8", 0, bytesRead));
    if (endpoint !== undefined) return endpoint;
    throw new ConnectionLost(`${path}: it holds no endpoint; a broker writes it, see --endpoint-file`);
  } finally {
    await file.close();
  }
}

/** What is wrong with an open file that should be a regular one of our own user, which nobody else can touch. */
async function whyNotOwn(file: FileHandle): Promise<string | undefined> {
  const status = await file.stat();
  if (!status.isFile()) return "it is no regular file, as the one that a broker writes (--endpoint-file)";
  if (process.geteuid === undefined) return undefined; // Windows: its folder's rights are its own
  if (status.uid !== process.geteuid())
    return (
      `it belongs to the user with the id ${status.uid} and not to you, who could send you anywhere; ` +
      "take a path in a folder of your own"
    );
  const mode = status.mode & 0o7777;
  if ((mode & 0o077) === 0) return undefined;
  return (
    `others may read or write it (mode ${mode.toString(8).padStart(4, "0")}), so that its token is no secret any more; ` +
    "start the broker anew, which makes it 0600"
  );
}

function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT")
    return "no broker has written its endpoint there; start one with --endpoint-file, or check the path";
  if (code === "ELOOP") return "it is a symbolic link; name the file itself";
  return `the endpoint file cannot be read: ${message}`;
}

function endpointOf(text: string): Endpoint | undefined {
  let found: { readonly url?: unknown; readonly token?: unknown } | null;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof found !== "object" || found === null) return undefined;
  const { url, token = null } = found;
  if (typeof url !== "string" || !(token === null || typeof token === "string")) return undefined;
  return { url, token: token ?? undefined };
}
