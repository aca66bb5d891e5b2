/** `ionbus` under the `node` condition: the same, with Node.js's modules for what an older Node.js has no globals for. */

import type { Bus } from "./client/bus.js";
import { type ConnectOptions, connect as connectAnywhere } from "./client/connect.js";
import { useNodePlatform } from "./node/platform.js";

export * from "./index.js";

/** {@inheritDoc connectAnywhere} */
export function connect(options?: ConnectOptions): Bus {
  useNodePlatform();
  return connectAnywhere(options);
}
