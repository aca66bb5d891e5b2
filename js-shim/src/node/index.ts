/** `ionbus/node`: start and supervise a broker without Electron. */

import { type LaunchedBroker, type LaunchOptions, supervise } from "./supervisor.js";

export type { BrokerExit } from "./child_process.js";
export type {
  BrokerHealth,
  BrokerState,
  BrokerStateChange,
  LaunchedBroker,
  LaunchOptions,
  RestartPolicy,
} from "./supervisor.js";
export { BrokerExited } from "./supervisor.js";

/**
 * Start a broker as a child process and look after it. Returns at once; `ready` tells when it has answered.
 *
 * ```ts
 * const broker = launchBroker({ command: "python", args: ["-m", "myapp"] });
 * const bus = broker.connect();
 * ```
 */
export function launchBroker(options: LaunchOptions): LaunchedBroker {
  return supervise(options).broker;
}
