"""The command: `python -m benchmarks`; `make bench` and `make bench-quick` call it."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.history import remember
from benchmarks.loops import LOOPS
from benchmarks.machine import about
from benchmarks.measuring import measure
from benchmarks.payloads import BYTES, PAYLOADS
from benchmarks.publishing import publish
from benchmarks.record import Run
from benchmarks.report import markdown, summary, with_ratios
from benchmarks.systems import REFERENCES, SYSTEMS
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.base import Effort
from benchmarks.workloads.window import REFERENCES as WINDOW_REFERENCES, WINDOW

THOROUGH = (7, 0.4)
QUICK = (3, 0.2)
"""How many turns, and the seconds of each."""
QUICK_PAYLOADS = ("150B", "1MB of bytes")
QUICK_WORKLOADS = (
    "call",
    "call-64",
    "events-in",
    "events-out",
    "stream",
    "bytes-in",
    "fan-out-100",
    "connect",
    "bulk-in",
    "bulk-out",
)


def main() -> int:
    options = parse()
    rounds, seconds = QUICK if options.quick else THOROUGH
    payloads = options.payloads or (QUICK_PAYLOADS if options.quick else ())
    effort = Effort(options.rounds or rounds, options.seconds or seconds, options.loop, tuple(payloads))
    workloads = options.workloads or (QUICK_WORKLOADS if options.quick else everything())
    records, failures = measure(dict.fromkeys(workloads, options.systems), effort)
    run = Run(about(options.loop), with_ratios(records, (*REFERENCES, *WINDOW_REFERENCES)))
    if options.output:
        run.save(options.output)
        options.output.with_suffix(".md").write_text(f"{summary(run)}\n{markdown(run)}", "utf-8")
    if options.publish:
        publish(run)
    if options.release:
        remember(run, options.release)
    print(f"{markdown(run)}\n{summary(run)}")
    return 1 if failures else 0


def everything() -> list[str]:
    """Name all workloads that can be measured here."""
    return [name for name in WORKLOADS if name not in WINDOW or "IONBUS_ELECTRON" in os.environ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what ionbus costs, beside its peers, in turns."
    )
    add = parser.add_argument
    add(
        "--workloads",
        nargs="+",
        choices=WORKLOADS,
        default=[],
        metavar="NAME",
        help=f"{', '.join(WORKLOADS)} (default: all, or ten; the window's where IONBUS_ELECTRON names an Electron)",
    )
    add(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=list(SYSTEMS),
        metavar="NAME",
        help=", ".join(SYSTEMS),
    )
    sizes = [*PAYLOADS, *BYTES]
    add("--payloads", nargs="+", choices=sizes, default=[], metavar="SIZE", help=", ".join(sizes))
    add(
        "--quick",
        action="store_true",
        help="fewer and shorter turns of fewer workloads, with 150 B and 1 MB alone",
    )
    add("--rounds", type=int, help=f"turns of each system (default: {THOROUGH[0]} or {QUICK[0]})")
    add("--seconds", type=float, help=f"length of a turn (default: {THOROUGH[1]} or {QUICK[1]})")
    add("--loop", choices=LOOPS, default="uvloop", help="the servers' event loop (default: uvloop)")
    add("--output", type=Path, help="where to write the records, as JSON, and the tables beside it")
    add("--publish", action="store_true", help="write the charts and tables of docs/benchmarks.md anew")
    add("--release", metavar="VERSION", help="write this release's line of results/history.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
