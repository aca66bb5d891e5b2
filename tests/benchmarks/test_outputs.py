"""What is written of a run: tables, the page's figures, and the line that is kept of a release."""

import json
from pathlib import Path

import pytest
from benchmarks.history import remember
from benchmarks.publishing import BEGIN, END, PAGE, with_figures
from benchmarks.record import Run, record
from benchmarks.report import summary, with_ratios
from benchmarks.targets import read
from benchmarks.workloads import WORKLOADS

RUN = Run(
    {"loop": "uvloop"},
    with_ratios(
        [
            record("call", "ionbus-stdio", "150B", "median", "us", [90.0, 90.0]),
            record("call", "ionbus-stdio", "150B", "p99", "us", [200.0, 200.0]),
            record("call", "raw-stdio", "150B", "median", "us", [60.0, 60.0]),
            record("call-64", "ionbus-stdio", "150B", "rate", "1/s", [80_000.0, 80_000.0]),
            record("window-call", "ipc-invoke", "150B", "median", "us", [80.0, 80.0]),
        ],
        ["raw-stdio"],
    ),
)


def test_the_summary_has_a_row_for_each_system_that_was_called() -> None:
    head, _, *rows = summary(RUN).splitlines()
    assert head.startswith("| system | one call, median (p99), us | calls/s, 64 in flight |")
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| ionbus-stdio", "90.0 (200)", "80,000"],
        ["| raw-stdio", "60.0", ""],
    ]


def test_the_figures_of_a_page_are_replaced_and_nothing_else() -> None:
    page = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", RUN)
    assert page.startswith(f"before\n{BEGIN}\n\n| system |")
    assert page.endswith(f"Measured on: loop uvloop.\n\n{END}\nafter\n")
    assert "old" not in page
    assert with_figures(page, RUN) == page


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no"):
        with_figures("no marks", RUN)


def test_the_documentation_has_the_marks_and_names_every_workload() -> None:
    page = PAGE.read_text("utf-8")
    assert with_figures(page, RUN)
    named = page.replace("fan-out-N", " ".join(name for name in WORKLOADS if name.startswith("fan-out-")))
    named = named.replace("`-out`", "calls-during-bulk-out")
    assert [name for name in WORKLOADS if name not in named] == []


def test_a_release_keeps_one_line_of_its_own_figures(tmp_path: Path) -> None:
    path = tmp_path / "results" / "history.jsonl"
    for release in ("0.1.0", "0.2.0", "0.1.0"):
        remember(RUN, release, path)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["release"] for line in lines] == ["0.2.0", "0.1.0"]
    assert lines[0]["figures"]["call ionbus-stdio 150B median"] == {
        "value": 90.0,
        "unit": "us",
        "ratio_to": {"raw-stdio": 1.5},
    }
    assert all(" ionbus" in name for name in lines[0]["figures"])


def test_targets_speak_of_workloads_with_their_systems_and_payloads() -> None:
    measurable = [target for target in read() if target.workload in WORKLOADS]
    assert len(measurable) > 10
    for target in measurable:
        systems = WORKLOADS[target.workload].systems
        assert not systems or {target.system, *target.of} <= set(systems), target.text
