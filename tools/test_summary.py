"""Adds up the JUnit reports of the test runs and prints one line a run, then `N passed, N failed`.

A run that left no report counts as one failure. Exits 1 where anything failed, or was skipped: what a machine lacks is installed.
"""

import argparse
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple


class Counts(NamedTuple):
    """How many tests ended in which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def count(report: Path) -> Counts:
    """What one report says. pytest and vitest agree on these elements."""
    passed = failed = skipped = 0
    for case in ET.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Counts(passed, failed, skipped)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", nargs="+", type=Path)
    passed = failed = skipped = 0
    for report in parser.parse_args().reports:
        if not report.is_file():
            print(f"{report.stem}: no report, so it did not run to its end")
            failed += 1
            continue
        counts = count(report)
        print(f"{report.stem}: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
        passed += counts.passed
        failed += counts.failed
        skipped += counts.skipped
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or skipped else 0


if __name__ == "__main__":
    sys.exit(main())
