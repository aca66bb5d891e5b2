"""The nearest name to one that is unknown."""

from __future__ import annotations

import pytest

from ionbus.events.names import MOST_COMPARED, nearest

NAMES = ["flow.progress", "flow.finished", "flow.nodes.added", "flow.nodes.gpu.found", "other.said"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("flow.progres", "flow.progress"),
        ("flwo.finished", "flow.finished"),
        ("flow.node.added", "flow.nodes.added"),
        ("flwo.*", "flow.*"),
        ("flow.node.*", "flow.nodes.*"),
        ("flow.nods.**", "flow.nodes.**"),
        ("*.sayd", "*.said"),
        ("flow.*.*.*.*", None),
        ("something.else", None),
        ("x" * 300, None),
        ("", None),
    ],
)
def test_the_nearest(given: str, expected: str | None) -> None:
    assert nearest(given, NAMES) == expected


def test_names_that_begin_alike_are_compared_first() -> None:
    many = [f"other{number}.progress" for number in range(MOST_COMPARED * 2)]
    assert nearest("flow.progres", [*many, "flow.progress"]) == "flow.progress"
