"""What each trial says: progress on standard error, one JSON object on standard output, exit status 1 on a violation."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_VIOLATIONS = 20
"""How many are told of one kind of trial; the rest is counted."""


@dataclass
class Report:
    """The counts of one trial."""

    trial: str
    seed: int | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def violated(self, what: str) -> None:
        """Something was not as promised."""
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(what)
        self.counts["violations_seen"] = self.counts.get("violations_seen", 0) + 1

    def check(self, is_so: bool, what: str) -> None:
        """It is a violation unless it is so."""
        if not is_so:
            self.violated(what)

    def as_dict(self) -> dict[str, Any]:
        """What is printed."""
        return {
            "trial": self.trial,
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.began, 1),
            "load_average": round(os.getloadavg()[0], 2),
            **self.counts,
            "violations": self.violations,
        }


def say(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def conclude(report: Report) -> None:
    """Print the JSON object and exit."""
    print(json.dumps(report.as_dict(), indent=2))
    sys.exit(1 if report.violations else 0)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: how long it took in the middle, for the slowest of twenty and of a hundred, and at most."""
    ranked = sorted(seconds)
    if not ranked:
        return {"count": 0}

    def at(share: float) -> float:
        return round(ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000, 3)

    return {
        "count": len(ranked),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
    }


def environment_of_trials() -> dict[str, str]:
    """The environment of a process that imports `trials`."""
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - a text is wanted
    paths = [tests, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def resident_bytes(pid: int | str = "self") -> int:
    """The memory of a process that is resident now."""
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123 - it is no file of ours
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


Progress = Callable[[str], None]
