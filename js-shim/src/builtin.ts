/** What ionbus itself has besides an application's contracts; the twin of the contract `ionbus` in Python. */

import { type ContractReference, type EventDescriptor, event } from "./contract.js";

/** The contract of what every broker serves besides its own; it needs no announcement. */
export const BUILT_IN: ContractReference = { name: "ionbus", version: "1.0", fingerprint: "" };

/** What comes next does not follow on what came before: the session was lost, and a new one has taken its place. */
export interface Discontinuity {
  /** Why, as a code of docs/protocol.md, section 9: `new_epoch` where the broker was started anew. */
  readonly reason: string;
  /** Events for this client that it had not acknowledged, by name (others under "*"); null where the broker is a new one. */
  readonly missed: Readonly<Record<string, number>> | null;
  /** Events of this client that may not have arrived. */
  readonly lost_events: number;
  /** Requests of this client that were rejected with SessionLost. */
  readonly lost_calls: number;
}

/** `bus.on(Ionbus.discontinuity, …)`: published by every client to itself, before anything of its new session. */
export const Ionbus: {
  readonly __contract__: ContractReference;
  readonly discontinuity: EventDescriptor<"ionbus.discontinuity", Discontinuity>;
} = {
  __contract__: BUILT_IN,
  discontinuity: /*#__PURE__*/ event({ name: "ionbus.discontinuity", contract: BUILT_IN }),
};
