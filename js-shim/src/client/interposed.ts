/** What may stand between an application and its bus. All of its code is in `ionbus/middleware`: a bus knows this much of it. */

import type { AnyMember } from "../contract.js";
import type { Target } from "../dispatch/listeners.js";
import type { Bus } from "./bus.js";
import type { Validators } from "./payloads.js";

/** What `compose` of `ionbus/middleware` gives. */
export interface Interposed {
  /** Give what the application gets in place of what is inside. */
  readonly interpose: (inside: Inside) => { readonly bus: Bus; readonly through: Through };
}

/** A bus as it is without middleware, and what middleware needs besides. */
export interface Inside {
  readonly bus: Bus;
  /** The members that have been used, or belong to a contract that was, by name. */
  readonly members: ReadonlyMap<string, AnyMember>;
  /** What payloads that middleware changes are checked with. */
  readonly validators: Validators;
}

/** Give what an event that has arrived is handed to in place of its listeners; `options` are those of its message. */
export type Through = (targets: readonly Target[], options?: unknown) => readonly Target[];
