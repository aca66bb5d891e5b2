"""What becomes of values, and which payloads pass filters, to record or to compare (schemas/vectors/aggregation.json, filters.json)."""

from __future__ import annotations

import random
from typing import Any, Final

from ionbus.events.aggregation import Aggregate, Bounds, Reading
from ionbus.events.filters import predicate, read_filter, value_at
from ionbus.events.options import Aggregation
from vectors.replay import FOLDER

AGGREGATIONS: Final = FOLDER / "aggregation.json"
FILTERS: Final = FOLDER / "filters.json"

KEYS: Final = 3
"""For so many the newest is kept."""


def _random_cases(count: int) -> list[dict[str, Any]]:
    """Inputs that every combination of options meets."""
    dice = random.Random(20_261_124)
    cases = []
    for number in range(count):
        options: dict[str, Any] = {}
        if number & 1:
            options["every"] = dice.randint(2, 8)
        if number & 2:
            options["latest_by"] = ["key"]
        if number & 4:
            options["batch"] = [dice.randint(1, 4), dice.randint(1, 9)]
        if number & 8:
            options["where"] = ["n", "!=", 1]
        if number & 16:
            options["distinct"] = True
        steps = [
            [dice.choice((0, 0, 1, 2, 5, 12)), dice.choice("abcd"), dice.randint(0, 2)] for _ in range(20)
        ]
        cases.append(
            {"name": f"{number}: {' '.join(options) or 'nothing'}", "options": options, "values": steps}
        )
    return cases


AGGREGATION_CASES: Final = _random_cases(64)
"""`values`: after how many milliseconds which `key` comes with which `n`."""


def record_aggregation(case: dict[str, Any]) -> dict[str, Any]:
    """Add what goes out, and when: `gives`, of times and lists of `key` and `n`."""
    options = case["options"]
    asked = Aggregation(
        options.get("every"),
        (("key",),) if "latest_by" in options else (),
        tuple(options["batch"]) if "batch" in options else None,
        None,
        options.get("distinct", False),
    )
    reading: Reading[dict[str, Any]] = Reading(
        predicate(read_filter(options["where"])) if "where" in options else None,
        value_at(("key",)) if asked.latest_by else None,
        lambda value: value,
        lambda _: 1,
    )
    aggregate = Aggregate(asked, reading, Bounds(KEYS, 1_000_000, 1_000_000))
    gives: list[list[Any]] = []

    def give(at: float, lists: Any) -> None:
        gives.extend([int(at), [[each["key"], each["n"]] for each in values]] for values in lists)

    def pass_until(time: float) -> None:
        while aggregate.deadline is not None and aggregate.deadline <= time:
            at = aggregate.deadline
            give(at, aggregate.tick(at))

    now = 0
    for wait, key, number in case["values"]:
        now += wait
        pass_until(now)
        give(now, aggregate.add({"key": key, "n": number}, now))
    pass_until(now + 1_000)
    return {"name": case["name"], "options": options, "values": case["values"], "gives": gives}


PAYLOAD: Final[dict[str, Any]] = {
    "percent": 50,
    "half": 0.5,
    "state": "done",
    "ok": True,
    "nothing": None,
    "inner": {"deep": {"n": 3}, "text": "b"},
}
FILTER_CASES: Final[tuple[Any, ...]] = (
    *(
        ["percent", op, value]
        for op in ("==", "!=", "<", "<=", ">", ">=")
        for value in (49, 50, 50.5, None, True, "50")
    ),
    *(["state", op, value] for op in ("==", "!=", "<", ">=") for value in ("done", "e", "", 4, None)),
    *(["nothing", op, value] for op in ("==", "!=", "<", ">") for value in (None, 0, "", False)),
    *(["missing", op, value] for op in ("==", "!=", ">=") for value in (None, 0)),
    *(["ok", op, value] for op in ("==", "!=", ">") for value in (True, False, 1, 0)),
    ["half", "<", 1],
    ["inner.deep.n", "==", 3],
    ["inner.deep.m", "==", None],
    ["inner.text.n", "==", None],
    ["inner.deep", "==", None],
    ["percent.x", "!=", None],
    ["state", "in", ["a", "done"]],
    ["state", "in", []],
    ["ok", "in", [1]],
    ["missing", "in", [None]],
    {"not": ["percent", ">", 3]},
    {"not": ["missing", ">", 3]},
    {"all": [["percent", ">", 3], ["ok", "==", True]]},
    {"all": [["percent", ">", 3], ["ok", "==", False]]},
    {"any": [["percent", "<", 3], {"not": {"all": [["ok", "==", False]]}}]},
    {"any": [["percent", "<", 3]]},
)


def record_filters() -> dict[str, Any]:
    """A payload, and which filters it passes."""
    return {
        "payload": PAYLOAD,
        "filters": [[each, predicate(read_filter(each))(PAYLOAD)] for each in FILTER_CASES],
    }
