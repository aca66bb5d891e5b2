"""What a workload is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.record import Record
from benchmarks.systems import System


@dataclass(frozen=True)
class Effort:
    """How long to measure, and with what.

    Args:
        rounds: how often each system has its turn.
        seconds: how long a turn is.
        loop: the servers' event loop.
        payloads: of what a workload has these alone, by name; empty: all.
        warm_up: messages that each system has before the first turn, where a workload has many: V8 goes on making code
            faster for some thousands of them.
    """

    rounds: int
    seconds: float
    loop: str
    payloads: tuple[str, ...] = ()
    warm_up: int = 5_000


class Workload(Protocol):
    """Something that can be measured.

    `name` is what records and the command line call it; `systems` are those by which it can be done, empty where it has
    contenders of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def systems(self) -> tuple[str, ...]: ...

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        """Measure these, in turns."""
        ...
