"""Calls and events between one client and its server."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.driver import Driver
from benchmarks.payloads import PAYLOADS, Payload
from benchmarks.record import Record, record
from benchmarks.systems import SYSTEMS, System
from benchmarks.turns import take_turns
from benchmarks.workloads.base import Effort

Figures = Mapping[str, float]
"""What a run gives: seconds of wall clock, and of CPU on either side."""


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


MEDIAN = Metric("median", "us", lambda figures, count: figures["median"])
P99 = Metric("p99", "us", lambda figures, count: figures["p99"])
RATE = Metric("rate", "1/s", lambda figures, count: count / figures["seconds"])
CPU = (
    Metric("cpu_server", "us", lambda figures, count: figures["cpuServer"] / count * 1e6),
    Metric("cpu_client", "us", lambda figures, count: figures["cpuClient"] / count * 1e6),
)


@dataclass(frozen=True)
class Messages:
    """One kind of traffic.

    Args:
        name: what records call it.
        run: the run of client/runs.mjs.
        metrics: what is recorded of it, besides what it costs each process in CPU.
        payloads: with what.
        width: how many calls are under way at any time.
    """

    name: str
    run: str
    metrics: tuple[Metric, ...]
    payloads: tuple[str, ...] = ("150B",)
    width: int = 1
    systems: tuple[str, ...] = tuple(SYSTEMS)

    def measure(self, systems: Sequence[System], effort: Effort) -> list[Record]:
        records: list[Record] = []
        with ExitStack() as stack:
            drivers = {system.name: stack.enter_context(Driver(system, effort.loop)) for system in systems}
            for name in effort.payloads or self.payloads:
                able = {system.name: drivers[system.name] for system in systems if name in system.payloads}
                records += self._with_payload(able, PAYLOADS[name], effort)
        return records

    def _with_payload(self, drivers: Mapping[str, Driver], payload: Payload, effort: Effort) -> list[Record]:
        job = {"kind": payload.kind, "payload": payload.make(), "width": self.width}

        def run(driver: Driver, count: int) -> Figures:
            return driver.run(self.run, count=count, **job)

        runs = {name: partial(run, driver) for name, driver in drivers.items()}
        turns = take_turns(runs, effort.rounds, effort.seconds, at_least=2 * self.width)
        return [
            record(
                self.name,
                system,
                payload.name,
                metric.name,
                metric.unit,
                [metric.of(figures, count) for figures, count in rounds],
            )
            for system, rounds in turns.items()
            for metric in (*self.metrics, *CPU)
        ]


CALL = Messages("call", "call", (MEDIAN, P99))
CALL_64 = replace(CALL, name="call-64", metrics=(RATE,), width=64)
CALL_1000 = replace(CALL_64, name="call-1000", width=1000)
EVENTS_IN = Messages("events-in", "events-in", (RATE,))
EVENTS_OUT = Messages("events-out", "events-out", (RATE,))
