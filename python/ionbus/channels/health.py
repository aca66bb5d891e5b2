"""What can be said of a broker's process, and when it is started again (docs/supervision.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from ionbus.channels.child_process import BrokerExit
from ionbus.errors import ConnectionLost

BrokerState = Literal["starting", "running", "restarting", "stopping", "stopped", "failed"]
"""How it stands with the process. `failed`: it is not started again."""


def default_delay(deaths: int) -> float:
    """How long to wait after the nth death in a row, in seconds: 0.05 · 2ⁿ, at most 10."""
    return min(10.0, 0.05 * float(1 << min(deaths, 30)))


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to start a broker again.

    Args:
        limit: how many deaths in a row are too many. A broker that was ready for 5 s counts as well again.
        delay: how long to wait after the nth death in a row, in seconds.
    """

    limit: int = 10
    delay: Callable[[int], float] = default_delay


@dataclass(frozen=True, slots=True)
class BrokerStateChange:
    """A step from one state of the process to another. `reason`: why, in words."""

    before: BrokerState
    after: BrokerState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """How it stands with a broker, as plain data.

    Args:
        state: of the process.
        pid: its id, while there is one.
        restarts: how often it was started after the first time.
        deaths: how often it has died in a row.
        uptime: seconds that this process has run, while there is one.
        last_exit: how the process before this one has ended.
        last_lines: the last that the newest process wrote to its standard error, at most 20.
    """

    state: BrokerState
    pid: int | None
    restarts: int
    deaths: int
    uptime: float | None
    last_exit: BrokerExit | None
    last_lines: tuple[str, ...]


class BrokerExited(ConnectionLost):
    """The broker's process has ended, or could not be started.

    Args:
        message: how, with the last lines.
        exit_code: None where a signal ended it, or it never ran.
        exit_signal: that signal's name.
        last_lines: the last that it wrote to its standard error.
    """

    is_final = False
    """Whether it is not started again: for those who wait for a channel to it."""

    def __init__(
        self,
        message: str = "",
        *,
        exit_code: int | None = None,
        exit_signal: str | None = None,
        last_lines: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.exit_signal = exit_signal
        self.last_lines = list(last_lines)

    @classmethod
    def of(cls, how: BrokerExit) -> Self:
        """The error that tells of an exit."""
        return cls(how.text, exit_code=how.code, exit_signal=how.signal, last_lines=how.last_lines)

    def details(self) -> dict[str, object]:
        """What it tells besides."""
        return {
            "exit_code": self.exit_code,
            "exit_signal": self.exit_signal,
            "last_lines": self.last_lines,
        }

    @classmethod
    def from_wire(cls, message: str, details: Mapping[str, object]) -> Self:
        """Made again, by a copy; it never crosses a wire."""
        error = cls(message)
        vars(error).update(details)
        return error
