"""The command: `python -m benchmarks`; `make bench` and `make bench-quick` call it."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.loops import LOOPS
from benchmarks.machine import about
from benchmarks.payloads import PAYLOADS
from benchmarks.record import Record, Run
from benchmarks.report import markdown, with_ratios
from benchmarks.systems import REFERENCES, SYSTEMS
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.base import Effort
from benchmarks.workloads.window import REFERENCES as WINDOW_REFERENCES, WINDOW

THOROUGH = (11, 0.5)
QUICK = (5, 0.25)
"""How many turns, and the seconds of each."""


def main() -> int:
    options = parse()
    rounds, seconds = QUICK if options.quick else THOROUGH
    effort = Effort(
        options.rounds or rounds, options.seconds or seconds, options.loop, tuple(options.payloads)
    )
    records: list[Record] = []
    for name in options.workloads:
        workload = WORKLOADS[name]
        systems = [SYSTEMS[system] for system in workload.systems if system in options.systems]
        print(f"{name} …", file=sys.stderr, flush=True)
        records += workload.measure(systems, effort)
    run = Run(about(options.loop), with_ratios(records, (*REFERENCES, *WINDOW_REFERENCES)))
    if options.output:
        run.save(options.output)
    print(markdown(run))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what ionbus costs, beside its peers, in turns."
    )
    add = parser.add_argument
    add(
        "--workloads",
        nargs="+",
        choices=WORKLOADS,
        default=[name for name in WORKLOADS if name not in WINDOW or "IONBUS_ELECTRON" in os.environ],
        metavar="NAME",
        help=f"{', '.join(WORKLOADS)} (default: all; the window's where IONBUS_ELECTRON names an Electron)",
    )
    add(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=list(SYSTEMS),
        metavar="NAME",
        help=", ".join(SYSTEMS),
    )
    add("--payloads", nargs="+", choices=PAYLOADS, default=[], metavar="SIZE", help=", ".join(PAYLOADS))
    add("--quick", action="store_true", help="fewer and shorter turns")
    add("--rounds", type=int, help=f"turns of each system (default: {THOROUGH[0]} or {QUICK[0]})")
    add("--seconds", type=float, help=f"length of a turn (default: {THOROUGH[1]} or {QUICK[1]})")
    add("--loop", choices=LOOPS, default="uvloop", help="the servers' event loop (default: uvloop)")
    add("--output", type=Path, help="where to write the records, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
