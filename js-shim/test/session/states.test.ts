import { describe, expect, test } from "vitest";
import { LocalProtocolError } from "../../src/errors.js";
import { IGNORED, type Input, type State, TRANSITIONS } from "../../src/generated/states.js";
import { StateMachine } from "../../src/session/states.js";

const INPUTS: readonly Input[] = [
  "opened",
  "failed",
  "lost",
  "welcomed",
  "refused",
  "silent",
  "dead",
  "heard",
  "retry",
  "close",
];

describe.each(Object.keys(TRANSITIONS) as State[])("%s", (state) => {
  test.each(INPUTS)("%s", (input) => {
    const machine = new StateMachine();
    machine.state = state;
    const row = TRANSITIONS[state][input];
    if (row !== undefined) {
      expect(machine.take(input)).toStrictEqual(row[1]);
      expect(machine.state).toBe(row[0]);
    } else if (IGNORED[state].includes(input)) {
      expect(machine.take(input)).toStrictEqual([]);
      expect(machine.state).toBe(state);
    } else {
      expect(() => machine.take(input)).toThrow(LocalProtocolError);
    }
    expect(machine.state.startsWith(machine.shown)).toBe(true);
  });
});
