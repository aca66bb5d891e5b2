"""What a subscription asks for: options of SUBSCRIBE as they may come, filters that nearly are some, and filters as text."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import check
from ionbus.contract.payload import Payload
from ionbus.events.fields import Fields
from ionbus.events.filter_text import parse_filter
from ionbus.events.filters import FilterProblem, plain_filter, predicate, read_filter
from ionbus.events.options import Aggregation
from ionbus.wire import values


class Inner(BaseModel):
    text: str = "a"
    number: int | None = None


class Sample(BaseModel):
    percent: float = 0.0
    ok: bool = True
    inner: Inner = Inner()
    anything: Any = None


PAYLOAD: Final[Payload[Sample]] = Payload(Sample, "a.b")
FIELDS: Final = Fields(PAYLOAD)
PLAIN: Final = PAYLOAD.plain(Sample())

PATHS: Final = (
    "percent",
    "ok",
    "inner.text",
    "inner.number",
    "anything.x",
    "inner",
    "",
    "a..b",
    "percnt",
    "a" * 300,
)
OPERATORS: Final = ("==", "!=", "<", "<=", ">", ">=", "in", "=>", "")
VALUES: Final[tuple[Any, ...]] = (
    0,
    -1.5,
    True,
    None,
    "a",
    b"a",
    float("nan"),
    float("inf"),
    1 << 600,
    [1],
    {},
    "x" * 5_000,
)
WORDS: Final = (
    *PATHS[:7],
    *OPERATORS,
    "and",
    "or",
    "not",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    '"a"',
    "'",
    '"',
    "1e9",
    "-",
    "`a b`",
    "null",
)
OPTIONS: Final = ("every", "batch", "latest_by", "distinct")


def tree(choices: Choices, depth: int) -> Any:
    """A filter, or nearly one."""
    match choices.below(8):
        case 0 | 1 if depth:
            return {
                choices.pick(("all", "any", "none")): [
                    tree(choices, depth - 1) for _ in range(choices.below(4))
                ]
            }
        case 2 if depth:
            return {"not": tree(choices, depth - 1)}
        case 3:
            return choices.pick(VALUES)
        case 4:
            return [choices.pick(PATHS), "in", [choices.pick(VALUES) for _ in range(choices.below(4))]]
        case _:
            return [choices.pick(PATHS), choices.pick(OPERATORS), choices.pick(VALUES)]


def judge(data: Any) -> Outcome:
    """Read a filter, fit it and ask it."""
    try:
        wanted = FIELDS.fitted(read_filter(data))
    except FilterProblem as problem:
        check(len(str(problem)) < 2_000, f"a problem of {len(str(problem))} characters")
        return Outcome(str(problem).split("; ")[0][:40])
    check(read_filter(plain_filter(wanted)) == wanted, "it is another one when it is read again")
    return Outcome(f"passes: {predicate(wanted)(PLAIN)}")


def run(data: bytes) -> Outcome:
    """One of the three."""
    choices = Choices(data)
    kind = choices.below(3)
    if kind == 0:
        text = " ".join(choices.pick(WORDS) for _ in range(choices.below(30)))
        try:
            return judge(parse_filter(text))
        except FilterProblem as problem:
            return Outcome(f"text: {str(problem).partition('expected')[2][:20]}")
    if kind == 1:
        return judge(tree(choices, 12))
    options: dict[str, object] = {
        name: choices.pick((*VALUES, 5, [3, 4], ["a"], [0, 1])) for name in OPTIONS if choices.one_in(2)
    }
    if choices.one_in(2):
        options["where"] = choices.blob(20) if choices.one_in(2) else values.encode(["ok", "==", True])
    try:
        asked = Aggregation.from_wire(options)
    except FilterProblem as problem:
        return Outcome(f"options: {str(problem)[:20]}")
    check(Aggregation.from_wire(asked.to_wire()) == asked, "they are others when they are read again")
    return Outcome("options are taken")


def target() -> Target:
    """See the module."""
    return Target("filters", run, tuple(corpus("filters").values()), longest=200)
