"""docs/observability.md: its table is that of the code, its sentences are those that health says, and its examples run."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from ionbus.observe.health import HealthBounds, ProblemKind
from ionbus.observe.metrics import Distribution, Number
from ionbus.observe.table import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")


def test_the_table_has_every_metric_as_it_is() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `ionbus_")]
    assert rows == [
        f"| `{each.name}` | {each.kind} | {' '.join(f'`{label}`' for label in each.labels)} "
        f"| {each.unit} | {each.when} | {'yes' if each.is_always else ''} |"
        for each in METRICS.values()
    ]


def test_every_kind_of_problem_is_there() -> None:
    section = PAGE.partition("## Health")[2].partition("## Prometheus")[0]
    assert set(re.findall(r"^\| `(\w+)` \| [A-Zsc9]", section, re.MULTILINE)) >= set(get_args(ProblemKind))


def test_the_bounds_and_their_defaults_are_those_of_the_code() -> None:
    bounds = HealthBounds()
    told = re.findall(r"^\| `(\w+)` \| ([\d.]+)(?: s)? \|", PAGE, re.MULTILINE)
    assert {name: float(default) for name, default in told} == asdict(bounds)


def test_the_fields_are_those_of_the_code() -> None:
    for kind in (Number, Distribution):
        fields = ", ".join(kind.__dataclass_fields__)
        assert f"`{kind.__name__}({fields})`" in PAGE
