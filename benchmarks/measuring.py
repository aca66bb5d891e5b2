"""Goes through workloads, one after the other."""

import sys
import time
from collections.abc import Iterable, Mapping

from benchmarks.answers import RunFailed
from benchmarks.record import Record
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.base import Effort


def measure(wanted: Mapping[str, Iterable[str]], effort: Effort) -> tuple[list[Record], list[str]]:
    """Measure these workloads, each with these of its systems.

    Returns:
        The records, and what has gone wrong: a workload that fails does not take the others with it.
    """
    records: list[Record] = []
    failures: list[str] = []
    for name, systems in wanted.items():
        workload, chosen = WORKLOADS[name], set(systems)
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        start = time.monotonic()
        try:
            records += workload.measure(
                [SYSTEMS[each] for each in workload.systems if each in chosen], effort
            )
        except RunFailed as error:
            failures.append(f"{name}: {error}")
            print(f"\n{error}", file=sys.stderr, flush=True)
        print(f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return records, failures
