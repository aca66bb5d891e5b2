/** The connection-state machine: it runs the table that `schemas/connection.toml` describes, and knows nothing else. */

import { LocalProtocolError } from "../errors.js";
import {
  type ConnectionState,
  type Effect,
  IGNORED,
  INITIAL,
  type Input,
  type State,
  TRANSITIONS,
} from "../generated/states.js";

/** A state, and `take` to go to the next. */
export class StateMachine {
  state: State = INITIAL;

  /** What the application sees: the part before the dot. */
  get shown(): ConnectionState {
    return shown(this.state);
  }

  /**
   * Go where `given` leads from here and say what to do.
   *
   * @throws LocalProtocolError where the table has no such row and does not list the input as ignored: a bug of the caller.
   */
  take(given: Input): readonly Effect[] {
    const row = TRANSITIONS[this.state][given];
    if (row === undefined) {
      if (IGNORED[this.state].includes(given)) return [];
      throw new LocalProtocolError(`input "${given}" in state "${this.state}"; see schemas/connection.toml`);
    }
    const [state, effects] = row;
    this.state = state;
    return effects;
  }
}

/** The public name of a state of the table. */
export function shown(state: State): ConnectionState {
  return state.split(".", 1)[0] as ConnectionState;
}
