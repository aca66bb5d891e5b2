"""Ends a run with what was covered: the rows of types, the models from outside, the contracts that were made up."""

import re
from collections import Counter

import pytest

_ROW = re.compile(r"test_type_rows\.py::test_values_come_back")
_REFUSAL = re.compile(r"test_refusals\.py::test_a_type_without_counterpart_is_refused")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        counts["rows of types"] += bool(_ROW.search(report.nodeid))
        counts["types refused with their reason"] += bool(_REFUSAL.search(report.nodeid))
        for what, number in report.user_properties:
            if what.startswith("codegen: "):
                counts[what.removeprefix("codegen: ")] += number
    told = [f"{number} {what}" for what, number in counts.items() if number]
    if told:
        terminalreporter.write_line(f"codegen: {', '.join(told)}")
