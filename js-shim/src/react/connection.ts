/** How it stands with the connection. */

import { useCallback, useEffect, useSyncExternalStore } from "react";
import type { StateChange } from "../client/bus.js";
import type { ConnectionState } from "../generated/states.js";
import { useBus } from "./bus.js";
import { useNewest } from "./kept.js";

/** The connection's state; renders again with each change. */
export function useConnectionState(): ConnectionState {
  const bus = useBus();
  const subscribe = useCallback((changed: () => void): (() => void) => bus.onState(changed), [bus]);
  const read = (): ConnectionState => bus.state;
  return useSyncExternalStore(subscribe, read, read);
}

/** Calls `listener`, always the one of the newest render, with each change: where to, why, and what became of the session. */
export function useStateChange(listener: (change: StateChange) => unknown): void {
  const bus = useBus();
  const newest = useNewest(listener);
  useEffect(() => bus.onState((change) => void newest.current(change)), [bus, newest]);
}
