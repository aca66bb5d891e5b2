"""What it costs to be able to count, and to count."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.record import Record, record
from benchmarks.systems import System
from benchmarks.workloads.base import Effort
from benchmarks.workloads.costs import environment

COMMANDS = {
    "none": ("benchmarks.bare", "benchmarks.instrumented"),
    "off": ("benchmarks.instrumented",),
    "on": ("benchmarks.instrumented",),
}
"""The module that is run for each contender: `none` is an ionbus without a line that could count."""

TURNS = 4
"""For each round: turns are short, so that what else the machine does falls on all alike."""


@dataclass(frozen=True)
class Instrumentation:
    """The broker's CPU for an event or a call.

    Args:
        name: what records call it.
        kind: events or calls.
        count: how many in a turn.
    """

    name: str
    kind: str
    count: int
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        rounds: dict[str, list[float]] = {name: [] for name in COMMANDS}
        with ExitStack() as stack:
            brokers = {name: stack.enter_context(_started(name, effort.loop)) for name in COMMANDS}
            for number in range(-1, effort.rounds * TURNS):  # the first is to warm them up
                for name in COMMANDS if number % 2 else reversed(COMMANDS):
                    took = self._turn(brokers[name])
                    if number >= 0:
                        rounds[name].append(took * 1e6)
            for broker in brokers.values():
                broker.communicate()
        return [record(self.name, name, "150B", "cpu_server", "us", took) for name, took in rounds.items()]

    def _turn(self, broker: subprocess.Popen[str]) -> float:
        assert broker.stdin is not None
        assert broker.stdout is not None
        broker.stdin.write(f"{self.kind} {self.count}\n")
        broker.stdin.flush()
        return float(broker.stdout.readline())


def _started(name: str, loop: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *COMMANDS[name], loop, name]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment())


INSTRUMENTATION = (
    Instrumentation("instrumentation", "events", 25_600),
    Instrumentation("instrumentation-calls", "calls", 6_400),
)
