/** What hooks keep from one render to the next. */

import { type RefObject, useInsertionEffect, useRef, useState } from "react";

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
  if (Object.is(same, value) || isSame(same, value)) return same;
  keep(value); // as above
  return value;
}

function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (ArrayBuffer.isView(a) || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    (Array.isArray(a) || Object.getPrototypeOf(a) === Object.prototype) &&
    keys.every((key) => Object.hasOwn(b, key) && isSame(a[key as keyof typeof a], b[key as keyof typeof b]))
  );
}
