/** Every kind of value, for programs that cannot tell which of them they will meet. */

import { mappings, sets } from "./collections.js";
import { decimals } from "./decimal.js";
import { dateTimes, durations, plainDates, plainTimes } from "./times.js";
import { typedArrays } from "./typed_arrays.js";
import { uuids } from "./uuid.js";
import type { ValueKind } from "./values.js";

export const allValues: readonly ValueKind[] = [
  dateTimes,
  plainDates,
  plainTimes,
  durations,
  decimals,
  uuids,
  sets,
  mappings,
  typedArrays,
];
