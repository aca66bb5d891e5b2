"""One kind of traffic between clients and a server: a run of client/runs/, and what is read from its figures."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.driver import Driver
from benchmarks.payloads import BYTES, PAYLOADS
from benchmarks.record import Record, record
from benchmarks.systems import SYSTEMS, System
from benchmarks.turns import Figures, take_turns
from benchmarks.workloads.base import Effort


@dataclass(frozen=True)
class Metric:
    """One figure of a run.

    Args:
        name: what records call it.
        unit: of what.
        of: finds it, given the run's figures and how many messages it had.
    """

    name: str
    unit: str
    of: Callable[[Figures, int], float]


def figure(name: str, unit: str, key: str = "") -> Metric:
    """One that the run gives as it is."""
    return Metric(name, unit, lambda figures, count: figures[key or name])


MEDIAN = figure("median", "us")
P99 = figure("p99", "us")
RATE = Metric("rate", "1/s", lambda figures, count: count / figures["seconds"])
CPU = (
    Metric("cpu_server", "us", lambda figures, count: figures["cpuServer"] / count * 1e6),
    Metric("cpu_client", "us", lambda figures, count: figures["cpuClient"] / count * 1e6),
)
"""What one message costs each process."""


@dataclass(frozen=True)
class Traffic:
    """A workload.

    Args:
        name: what records call it.
        run: the run of client/runs/.
        metrics: what is recorded of it.
        payloads: with what.
        job: what else the run is told.
        systems: with which it can be done.
        count: how many messages a turn has; None: as many as take their time.
        at_least: the smallest count where that is sought.
        is_warmed: whether a message is so little that each system has `effort.warm_up` of them first.
        rounds: no more turns than so many: for what hardly differs between them.
    """

    name: str
    run: str
    metrics: tuple[Metric, ...]
    payloads: tuple[str, ...] = ("150B",)
    job: Mapping[str, Any] = field(default_factory=dict)
    systems: tuple[str, ...] = tuple(SYSTEMS)
    count: int | None = None
    at_least: int = 2
    is_warmed: bool = False
    rounds: int = 1_000

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        """Let them take turns, payload by payload."""
        payloads = [each for each in self.payloads if not effort.payloads or each in effort.payloads]
        if not payloads:
            return []
        records: list[Record] = []
        with ExitStack() as stack:
            starting = {system.name: Driver(system, effort.loop) for system in systems}
            drivers = {name: stack.enter_context(driver) for name, driver in starting.items()}
            for payload in payloads:
                able = {system.name: drivers[system.name] for system in systems if payload in system.payloads}
                records += self._with_payload(able, payload, effort)
        return records

    def _with_payload(self, drivers: Mapping[str, Driver], payload: str, effort: Effort) -> list[Record]:
        told = {**self.job, **content(payload)}

        def run(driver: Driver, count: int) -> Figures:
            return driver.run(self.run, count=count, **told)

        runs = {name: partial(run, driver) for name, driver in drivers.items()}
        rounds = min(effort.rounds, self.rounds)
        warm_up = min(effort.warm_up, WARM_UP_BYTES // size_of(payload)) if self.is_warmed else 0
        turns = take_turns(runs, rounds, effort.seconds, self.at_least, self.count, warm_up)
        return [
            record(
                self.name,
                system,
                payload,
                metric.name,
                metric.unit,
                [metric.of(figures, count) for figures, count in taken],
            )
            for system, taken in turns.items()
            for metric in self.metrics
        ]


WARM_UP_BYTES = 25_000_000
"""No more than so much goes by before the first turn."""


def size_of(payload: str) -> int:
    """Bytes, as JSON where it is not bytes anyway."""
    return BYTES.get(payload) or len(json.dumps(PAYLOADS[payload].make()))


def content(payload: str) -> dict[str, Any]:
    """What a run is told of its payload."""
    if payload in BYTES:
        return {"size": BYTES[payload]}
    found = PAYLOADS[payload]
    return {"kind": found.kind, "payload": found.make()}
