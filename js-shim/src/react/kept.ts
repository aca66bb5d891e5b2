/** What hooks keep from one render to the next. */

import { type RefObject, useInsertionEffect, useRef, useState } from "react";
import { isSame } from "../wire/same.js";

/** A value that is made once for each set of keys. Unlike `useMemo` it is never made anew for the same ones. */
export function useKept<Value>(make: () => Value, ...keys: readonly unknown[]): Value {
  const [kept, keep] = useState(() => ({ keys, value: make() }));
  if (kept.keys.every((key, index) => Object.is(key, keys[index]))) return kept.value;
  const next = { keys, value: make() };
  keep(next); // while it renders: React renders this component again before any other
  return next.value;
}

/** The newest of what was rendered and committed: what a render that was thrown away brought is not seen. */
export function useNewest<Value>(value: Value): RefObject<Value> {
  const newest = useRef(value);
  useInsertionEffect(() => {
    newest.current = value;
  });
  return newest;
}

/** The earlier value for as long as the new one says the same: for plain data that is written where it is used. */
export function useSame<Value>(value: Value): Value {
  const [same, keep] = useState(value);
  if (isSame(same, value)) return same;
  keep(value); // as above
  return value;
}
