"""Count which rows of schemas/cases/emitter.json each side has run, from their JUnit reports: `make test-events`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

CASES = Path(__file__).parents[1] / "schemas" / "cases" / "emitter.json"


def rules_passed(report: Path, rules: list[str]) -> set[str]:
    """The rules that a passed test of a report is named after."""
    passed = [
        test.get("name", "")
        for test in ET.parse(report).iter("testcase")
        if not any(test.find(fault) is not None for fault in ("failure", "error", "skipped"))
    ]
    return {rule for rule in rules if any(rule in name for name in passed)}


def main(reports: list[str]) -> int:
    """Print how many each side ran; 1 where one has not run all.

    Args:
        reports: `Python=build/reports/events-python.xml` and the like.
    """
    rules = [case["rule"] for case in json.loads(CASES.read_text())["cases"]]
    is_whole = True
    for side, _, path in (report.partition("=") for report in reports):
        passed = rules_passed(Path(path), rules) if Path(path).exists() else set()
        print(f"{side}: {len(passed)} of {len(rules)} rows")
        for rule in rules:
            if passed and rule not in passed:
                print(f"  not run: {rule}")
        is_whole = is_whole and len(passed) == len(rules)
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
