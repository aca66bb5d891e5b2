import type { Bus, EventDescriptor } from "ionbus";
import { onScopeDispose, type ShallowRef, shallowRef } from "vue";

/** The newest payload of an event, for as long as the component is there. */
export function useLatest<T>(bus: Bus, event: EventDescriptor<string, T>): ShallowRef<T | undefined> {
  const newest = shallowRef<T>();
  const set = (payload: T): void => {
    newest.value = payload;
  };
  onScopeDispose(bus.on(event, set));
  return newest;
}
