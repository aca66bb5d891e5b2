"""Judges what was measured by targets.toml: `python -m benchmarks.targets`; `make bench-targets` calls it."""

import argparse
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loops import LOOPS
from benchmarks.machine import about
from benchmarks.measuring import measure
from benchmarks.record import Ratio, Record, Run, ratio
from benchmarks.report import number
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.base import Effort

FILE = Path(__file__).with_name("targets.toml")


@dataclass(frozen=True)
class Target:
    """What one figure is to be.

    Args:
        text: for people.
        workload: with the four that follow, which record it speaks of.
        system: see there.
        payload: see there.
        metric: see there.
        at_most: a bound; either this one or `at_least`.
        at_least: a bound.
        of: the systems whose better figure the bound is a factor of; empty: it is a figure itself.
    """

    text: str
    workload: str
    system: str
    payload: str
    metric: str
    at_most: float | None = None
    at_least: float | None = None
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"{self.text}: a target has either at_most or at_least")

    @property
    def bound(self) -> str:
        """As people read it."""
        sign, value = ("<=", self.at_most) if self.at_least is None else (">=", self.at_least)
        assert value is not None
        return f"{sign} {value:g} x {' or '.join(self.of)}" if self.of else f"{sign} {value:g}"

    def holds(self, value: float) -> bool:
        """Whether that is within the bound."""
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )


@dataclass(frozen=True)
class Verdict:
    """What became of a target.

    Args:
        target: of which.
        measured: the figure, or how many times that of the better reference; None: it was not measured.
        unit: what it is in.
    """

    target: Target
    measured: Ratio | None
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.measured is not None and self.target.holds(self.measured.value)


def read(path: Path = FILE) -> list[Target]:
    """Read the targets."""
    rows: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))["target"]
    return [Target(**row | {"of": tuple(row.get("of", ()))}) for row in rows]


def judge(target: Target, records: Iterable[Record]) -> Verdict:
    """Find its figure among the records."""
    wanted = (target.workload, target.payload, target.metric)
    by_system = {
        each.system: each for each in records if (each.workload, each.payload, each.metric) == wanted
    }
    mine = by_system.get(target.system)
    if mine is None or not set(target.of) <= by_system.keys():
        return Verdict(target, None)
    if not target.of:
        return Verdict(target, Ratio(mine.value, mine.spread), mine.unit)
    better = min if target.at_least is None else max
    return Verdict(
        target, ratio(mine, better((by_system[name] for name in target.of), key=lambda each: each.value)), "x"
    )


def line(verdict: Verdict) -> str:
    """Give the verdict for people: the target, what was measured with its spread, and whether it holds."""
    measured = "not measured"
    if verdict.measured is not None:
        lower, upper = verdict.measured.spread
        measured = f"{number(verdict.measured.value)} {verdict.unit} ({number(lower)} to {number(upper)})"
    word = "holds " if verdict.holds else "MISSES"
    return f"{word}  {verdict.target.text:<58}  {verdict.target.bound:<49}  {measured}"


def needs(targets: Sequence[Target]) -> dict[str, set[str]]:
    """Give, for each workload, the systems to measure."""
    systems: dict[str, set[str]] = {}
    for target in targets:
        systems.setdefault(target.workload, set()).update((target.system, *target.of))
    return systems


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.targets", description="Judge by the targets.")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORKLOAD", help="those of these workloads")
    parser.add_argument(
        "--loop", choices=LOOPS, default="uvloop", help="the servers' event loop (default: uvloop)"
    )
    parser.add_argument("--output", type=Path, help="where to write the records, as JSON")
    chosen = parser.parse_args()
    targets = [target for target in read() if not chosen.only or target.workload in chosen.only]
    needed = {name: systems for name, systems in needs(targets).items() if name in WORKLOADS}
    payloads = tuple({target.payload for target in targets})
    records, _ = measure(needed, Effort(9, 0.4, chosen.loop, payloads))
    if chosen.output:
        Run(about(chosen.loop), records).save(chosen.output)
    verdicts = [judge(target, records) for target in targets]
    print("\n".join(map(line, verdicts)))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
