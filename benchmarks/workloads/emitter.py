"""What an event costs inside one process, beside the emitters that each language has: nothing is validated or matched there."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.driver import ROOT
from benchmarks.record import Record, record
from benchmarks.systems import System
from benchmarks.workloads.base import Effort
from benchmarks.workloads.costs import environment

PYTHON = (sys.executable, "-m", "benchmarks.emitting")
NODE = ("node", str(ROOT / "benchmarks" / "client" / "emitting.mjs"))
CONTENDERS: dict[str, tuple[str, ...]] = {
    "ionbus-python": (*PYTHON, "ionbus"),
    "pyee": (*PYTHON, "pyee"),
    "ionbus-typescript": (*NODE, "ionbus"),
    "eventemitter3": (*NODE, "eventemitter3"),
}
"""The programs that emit; each takes a payload and a number of other subscriptions as well."""

WARM_UP = 100_000
"""Events before the first round, and as many to see how many make one."""
MANY = 10_000
"""Other subscriptions."""


class Emitting:
    """One that emits when it is told to: `with Emitting("pyee", "text", 0) as emitting`."""

    def __init__(self, contender: str, payload: str, others: int) -> None:
        self._process = subprocess.Popen(
            [*CONTENDERS[contender], payload, str(others)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def emit(self, count: int) -> float:
        """Let it emit so often; give the microseconds of CPU that one took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


@dataclass(frozen=True)
class Emitter:
    """An event to one listener.

    Args:
        payloads: short text, and a model, which ionbus validates in Python.
    """

    payloads: tuple[str, ...] = ("text", "150B")
    name: str = "emitter"
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        return [
            record(self.name, contender, payload, "cpu", "us", rounds)
            for payload in self.payloads
            for contender, rounds in _in_turns([(each, payload, 0) for each in CONTENDERS], effort).items()
        ]


@dataclass(frozen=True)
class EmitterGrowth:
    """The same with many subscriptions to other events and patterns, divided by the cost with none."""

    contenders: tuple[str, ...] = ("ionbus-python", "ionbus-typescript")
    name: str = "growth-emitter"
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        records: list[Record] = []
        for each in self.contenders:
            alone = _in_turns([(each, "text", 0), (each, "text", MANY)], effort, by="others")
            growth = [many / none for none, many in zip(alone["0"], alone[str(MANY)], strict=True)]
            records.append(record(self.name, each, "text", "growth", "times", growth))
        return records


def _in_turns(
    programs: Sequence[tuple[str, str, int]], effort: Effort, by: str = "contender"
) -> dict[str, list[float]]:
    """What each took, round for round; by the contender's name, or by the number of other subscriptions."""
    rounds: dict[str, list[float]] = {}
    with ExitStack() as stack:
        open_ones = {
            (program[0] if by == "contender" else str(program[2])): stack.enter_context(Emitting(*program))
            for program in programs
        }
        for each in open_ones.values():
            each.emit(WARM_UP)
        counts = {
            name: int(effort.seconds * 1e6 / each.emit(WARM_UP)) + 1 for name, each in open_ones.items()
        }
        for _ in range(effort.rounds):
            for name, emitting in open_ones.items():
                rounds.setdefault(name, []).append(emitting.emit(counts[name]))
    return rounds


EMITTER = Emitter()
EMITTER_GROWTH = EmitterGrowth()
