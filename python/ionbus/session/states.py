"""The connection-state machine: it runs the table that `schemas/connection.toml` describes, and knows nothing else."""

from __future__ import annotations

from ionbus.errors import LocalProtocolError
from ionbus.generated.states import IGNORED, INITIAL, TRANSITIONS, ConnectionState, Effect, Input


class StateMachine:
    """A state, and `take` to go to the next."""

    def __init__(self) -> None:
        self.state = INITIAL

    @property
    def shown(self) -> ConnectionState:
        """What the application sees: the part before the dot."""
        return shown(self.state)

    def take(self, given: Input) -> tuple[Effect, ...]:
        """Go where `given` leads from here and say what to do.

        Raises:
            LocalProtocolError: the table has no such row and does not list the input as ignored: a bug of the caller.
        """
        row = TRANSITIONS.get((self.state, given))
        if row is None:
            if (self.state, given) in IGNORED:
                return ()
            raise LocalProtocolError(f"input {given!r} in state {self.state!r}; see schemas/connection.toml")
        self.state, effects = row
        return effects


def shown(state: str) -> ConnectionState:
    """The public name of a state of the table."""
    return ConnectionState(state.partition(".")[0])
