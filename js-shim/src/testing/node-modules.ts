/** Node.js's modules, for the one part of the kit that needs them: they are loaded when that is used, so that the rest runs in a page. */

import type { Socket } from "node:net";

export interface Node {
  readonly net: typeof import("node:net");
  readonly fs: typeof import("node:fs");
}

/** Load them. @throws where there is no Node.js. */
export async function nodeModules(): Promise<Node> {
  // As a value, so that no bundler looks for them.
  const names = ["node:net", "node:fs"];
  const [net, fs] = await Promise.all(names.map((name) => import(/* @vite-ignore */ name)));
  return { net, fs };
}

/** Tells whether bytes that were written to a socket have not arrived at the other end's kernel, as far as the system says. */
export function unsentIn({ fs }: Node): (socket: Socket) => boolean {
  return (socket) => {
    if (socket.writableLength > 0) return true;
    if (process.platform !== "linux") return false;
    const table = fs.readFileSync(
      socket.localFamily === "IPv6" ? "/proc/net/tcp6" : "/proc/net/tcp",
      "latin1",
    );
    const [local, remote] = [hexOf(socket.localPort), hexOf(socket.remotePort)];
    const line = new RegExp(`^ *\\d+: [0-9A-F]+:${local} [0-9A-F]+:${remote} .. ([0-9A-F]{8}):`, "m").exec(
      table,
    );
    return line !== null && Number.parseInt(line[1] as string, 16) > 0;
  };
}

function hexOf(port: number | undefined): string {
  return (port ?? 0).toString(16).toUpperCase().padStart(4, "0");
}
