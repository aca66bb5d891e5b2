"""What a broker costs that has much, or does nothing: memory, the time to import it, and what grows with what."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.driver import ROOT, Driver
from benchmarks.record import Record, record
from benchmarks.systems import System
from benchmarks.workloads.base import Effort

BEFORE = 100
"""Sessions that are open before memory is looked at for the first time."""
AT_ONCE = 1_000
"""Sessions that one run opens."""
KILOBYTE = 1_024


@dataclass(frozen=True)
class IdleMemory:
    """What one more session that does nothing adds to its server's resident memory.

    Args:
        sessions: how many are opened.
    """

    sessions: int
    name: str = "idle-memory"
    systems: tuple[str, ...] = ("ionbus-websocket", "socketio-msgpack")

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        return [
            record(self.name, system.name, "", "memory", "KB", [self._of(system, effort.loop)])
            for system in systems
        ]

    def _of(self, system: System, loop: str) -> float:
        with Driver(system, loop) as driver:
            driver.run("crowd", sessions=BEFORE)
            before = resident(driver.server_pid)
            for more in range(AT_ONCE, self.sessions + 1, AT_ONCE):
                driver.run("crowd", sessions=BEFORE + more)
            return (resident(driver.server_pid) - before) / self.sessions / KILOBYTE


def resident(pid: int) -> int:
    """Give a process's resident memory, in bytes."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], stdout=subprocess.PIPE, check=True)
    return int(told.stdout) * KILOBYTE


PEERS = (
    "from pydantic import BaseModel, TypeAdapter; from websockets.asyncio.server import serve; "
    "from websockets.asyncio.client import connect; import msgpack"
)
"""What a program imports that uses the three for what ionbus uses them for: each of them loads most of itself only then."""


class Import:
    """What `import ionbus` takes above what it is made of."""

    name = "import"
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        for each in (PEERS, "import ionbus"):
            seconds(each)  # so that everything is compiled
        rounds = [(seconds(PEERS), seconds("import ionbus")) for _ in range(max(5, effort.rounds))]
        of = {"ionbus": [(ours - peers) * 1000 for peers, ours in rounds]}
        of["pydantic-websockets-msgpack"] = [peers * 1000 for peers, _ in rounds]
        return [record(self.name, system, "", "time", "ms", times) for system, times in of.items()]


def seconds(code: str) -> float:
    """Give the CPU that this takes in a Python of its own."""
    timed = f"import time; before = time.process_time(); {code}; print(time.process_time() - before)"
    told = subprocess.run(
        [sys.executable, "-c", timed], stdout=subprocess.PIPE, check=True, env=environment()
    )
    return float(told.stdout)


def environment() -> dict[str, str]:
    """What a Python of ours runs in."""
    paths = [str(ROOT), str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class Broker:
    """One of `benchmarks.growth`, at work: `with Broker("uvloop", names=10) as broker`."""

    def __init__(
        self, loop: str, *, names: int = 1, subscriptions: int = 1, sessions: int = 1, backlog: int = 0
    ) -> None:
        numbers = map(str, (names, subscriptions, sessions, backlog))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.growth", loop, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def emit(self, count: int) -> float:
        """Let it emit so many; give the seconds of CPU that one took."""
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
class Growth:
    """What one event costs for each session, as there is more of something.

    Args:
        name: what records call it.
        of: of what.
        sizes: how many; what they cost is divided by the cost with the first.
    """

    name: str
    of: str
    sizes: tuple[int, ...]
    systems: tuple[str, ...] = ()

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        deliveries = max(1_000, int(effort.seconds * 100_000))
        rounds: dict[int, list[float]] = {size: [] for size in self.sizes}
        with ExitStack() as stack:
            brokers = {
                size: stack.enter_context(Broker(effort.loop, **{self.of: size})) for size in self.sizes
            }
            for number in range(-1, effort.rounds):  # the first is to warm them up
                for size, broker in brokers.items():
                    sessions = size if self.of == "sessions" else 1
                    took = broker.emit(max(20, size if self.of == "names" else 0, deliveries // sessions))
                    if number >= 0:
                        rounds[size].append(took / sessions * 1e6)
        first, last = (rounds[self.sizes[at]] for at in (0, -1))
        growth = [large / small for small, large in zip(first, last, strict=True)]
        return [
            record(self.name, "ionbus-websocket", "150B", "growth", "times", growth),
            *(
                record(self.name, f"{size:,} {self.of}", "150B", "cpu_server", "us", took)
                for size, took in rounds.items()
            ),
        ]


IDLE_MEMORY = IdleMemory(5_000)
IMPORT = Import()
GROWTH = (
    Growth("growth-names", "names", (1, 100, 10_000)),
    Growth("growth-subscriptions", "subscriptions", (1, 1_000)),
    Growth("growth-sessions", "sessions", (1, 10, 100, 1_000)),
    Growth("growth-backlog", "backlog", (1, 60_000)),
)
