import type { Bus, EventDescriptor } from "ionbus";
import { type Readable, readable } from "svelte/store";

/** The newest payload of an event, as a store: `$progress?.percent`. It listens while somebody looks at it. */
export function latest<T>(bus: Bus, event: EventDescriptor<string, T>): Readable<T | undefined> {
  return readable<T | undefined>(undefined, (set) => bus.on(event, set));
}
