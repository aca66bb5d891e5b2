"""Filters: what is read, what fits an event, and that what is prepared says what a naive reading of the same data says."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, Field, computed_field

from ionbus.contract.payload import Payload
from ionbus.events.fields import Fields
from ionbus.events.filter_text import parse_filter
from ionbus.events.filters import FilterProblem, plain_filter, predicate, read_filter
from ionbus.events.options import Aggregation, aggregation
from ionbus.events.recorded import not_, one_of, recorded


class State(Enum):
    RUNNING = "running"
    DONE = "done"


class Place(BaseModel):
    host: str
    port: int = Field(alias="PORT")


class Tree(BaseModel):
    size: int = 0
    left: Tree | None = None


class Sample(BaseModel):
    percent: float
    state: State = State.RUNNING
    level: Literal["info", "error"] = "info"
    place: Place | None = None
    at: datetime | None = None
    day: date | None = None
    hour: time | None = None
    took: timedelta = timedelta(0)
    price: Decimal = Decimal(0)
    run: UUID | None = None
    blob: bytes = b""
    ok: bool = True
    whatever: Any = None
    tags: list[str] = []
    labels: dict[str, int] = {}
    tree: Tree = Tree()

    @computed_field  # type: ignore[prop-decorator] # mypy cannot read decorated properties
    @property
    def half(self) -> float:
        return self.percent / 2


PAYLOAD: Payload[Sample] = Payload(Sample, "shop.sample")
FIELDS = Fields(PAYLOAD)


def passes(wanted: Any, **fields: Any) -> bool:
    sample = Sample.model_validate({"percent": 50.0, **fields})
    return predicate(FIELDS.fitted(read_filter(wanted)))(PAYLOAD.dump(sample))


@pytest.mark.parametrize(
    ("wanted", "fields", "expected"),
    [
        (["percent", ">=", 50], {}, True),
        (["percent", ">", 50], {}, False),
        (["half", "==", 25], {}, True),
        (["state", "==", "running"], {}, True),
        (["state", "in", ["done"]], {}, False),
        (["level", "!=", "error"], {}, True),
        (["place", "==", None], {}, True),
        (["place.PORT", "<", 100], {}, False),
        (["place.PORT", "<", 100], {"place": {"host": "a", "PORT": 80}}, True),
        ({"not": ["place.PORT", "<", 100]}, {}, True),
        (["at", ">", "2026-01-01T00:00:00Z"], {"at": datetime(2026, 6, 1, tzinfo=UTC)}, True),
        (["at", ">", "2026-01-01T00:00:00Z"], {"at": datetime(2026, 6, 1)}, False),  # noqa: DTZ001 - of another kind
        (["day", "<=", "2026-01-01"], {"day": date(2026, 1, 1)}, True),
        (["hour", "<", "12:00:00"], {"hour": time(9)}, True),
        (["took", ">", 1.5], {"took": timedelta(seconds=2)}, True),
        (["price", "<", 1.1], {"price": Decimal("1.09")}, True),
        (["price", "==", "0.10"], {"price": Decimal("0.1")}, True),
        (["run", "==", "00000000-0000-0000-0000-000000000001"], {"run": UUID(int=1)}, True),
        (["blob", "==", b"a"], {"blob": b"a"}, True),
        (["ok", "==", True], {}, True),
        (["whatever", "==", 1], {"whatever": True}, False),
        (["whatever.deep", "==", 1], {"whatever": {"deep": 1}}, True),
        (["whatever", "<", 1], {"whatever": "text"}, False),
        (["labels.a", ">", 1], {"labels": {"a": 2}}, True),
        (["labels.b", ">", 1], {"labels": {"a": 2}}, False),
        (["tree.left.left.size", "==", 3], {"tree": {"left": {"left": {"size": 3}}}}, True),
        (
            {"all": [["percent", ">", 1], {"any": [["ok", "==", False], ["state", "==", "running"]]}]},
            {},
            True,
        ),
        (["percent", "in", []], {}, False),
    ],
)
def test_a_filter_says_what_passes(wanted: Any, fields: dict[str, Any], expected: bool) -> None:
    assert passes(wanted, **fields) is expected


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (["percnt", ">", 1], "shop.sample: the payload has no field 'percnt'; did you mean 'percent'?"),
        (["place.x", ">", 1], "shop.sample: place has no field 'x'; it has PORT, host"),
        (["place.port", ">", 1], "shop.sample: place has no field 'port'; it has PORT, host"),
        (["percent.x", ">", 1], "shop.sample: percent is a number and has no field 'x'"),
        (["percent", ">", "a"], "shop.sample: percent is a number; > 'a' can never be so"),
        (["percent", "==", True], "shop.sample: percent is a number; == true can never be so"),
        (["percent", "==", None], "shop.sample: percent is a number; == null can never be so"),
        (["place", "<", None], "shop.sample: place is an object or null; < null can never be so"),
        (["state", "==", "dome"], "shop.sample: state is 'running' or 'done'; == 'dome' can never be so"),
        (["ok", ">", True], "shop.sample: ok is true or false; > true can never be so"),
        (["tags", "==", "a"], "shop.sample: tags is a list; == 'a' can never be so"),
        (
            ["at", ">", "yesterday"],
            "shop.sample: at is a date and time or null; > 'yesterday' can never be so",
        ),
        (["", "==", 1], "shop.sample: the payload is an object; == 1 can never be so"),
    ],
)
def test_a_filter_that_does_not_fit_is_refused(wanted: Any, problem: str) -> None:
    with pytest.raises(FilterProblem) as refused:
        FIELDS.fitted(read_filter(wanted))
    assert str(refused.value) == problem


def nested(depth: int) -> Any:
    return ["a", "==", 1] if depth == 1 else {"not": nested(depth - 1)}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "where: a filter is [path, operator, value], "),
        ({}, "where: a filter is"),
        ({"all": [], "any": []}, "where: a filter is"),
        ({"all": []}, "where.all: a list of filters, not []"),
        ({"none": []}, "where: 'none' joins nothing; it is all, any or not"),
        ({"not": 3}, "where.not: a filter is"),
        (
            {"all": [["a", "==", 1], ["a", "=>", 1]]},
            "where.all[1]: '=>' is no operator; one of == != < <= > >= in",
        ),
        ([], "where: a comparison is [path, operator, value], not []"),
        (["a", "=="], "where: a comparison is"),
        ([1, "==", 1], "where: a path is field names with dots between them, not 1"),
        (["a..b", "==", 1], "where: 'a..b' is no path"),
        (["a" * 256, "==", 1], "where: a path has at most 255 characters"),
        ([".".join("a" * 17), "==", 1], "is no path"),
        (["a", [], 1], "where: [] is no operator"),
        (["a", "in", 1], "where: `in` takes a list of values, not 1"),
        (["a", "in", list(range(1001))], "where: more than 1000 values to choose from"),
        (["a", "==", [1]], "where: a field is compared with null, a truth, a number"),
        (["a", "==", float("nan")], "where: nan can be compared with nothing"),
        (["a", "<", Decimal("sNaN")], "where: sNaN can be compared with nothing"),
        (["a", "==", "x" * 5000], "where: a value has at most 4096 characters or bytes"),
        ({"all": [["a", "==", 1]] * 100}, "where.all[99]: more than 100 conditions"),
        (nested(11), "nested more than 10 deep"),
    ],
)
def test_a_malformed_filter_is_refused(data: Any, problem: str) -> None:
    with pytest.raises(FilterProblem) as refused:
        read_filter(data)
    assert problem in str(refused.value)


# The prepared filter against a naive one.

FIELD_VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, "a", "b", ""])
comparisons = st.tuples(
    st.sampled_from(["a", "b", "c.a", "c.b", "c.c.a", "x"]),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    FIELD_VALUES,
) | st.tuples(st.sampled_from(["a", "c.b"]), st.just("in"), st.lists(FIELD_VALUES, max_size=3))
filters = st.recursive(
    comparisons.map(list),
    lambda inner: (
        st.fixed_dictionaries({"not": inner})
        | st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=8,
).filter(lambda wanted: depth_of(wanted) <= 10)
payloads = st.recursive(
    st.dictionaries(st.sampled_from("ab"), FIELD_VALUES),
    lambda inner: st.dictionaries(st.sampled_from("ab"), FIELD_VALUES).flatmap(
        lambda fields: inner.map(lambda part: {**fields, "c": part})
    ),
    max_leaves=3,
)


def depth_of(wanted: Any) -> int:
    if isinstance(wanted, list):
        return 1
    [(join, parts)] = wanted.items()
    return 1 + max(map(depth_of, [parts] if join == "not" else parts))


def naive(wanted: Any, payload: Any) -> Any:
    if isinstance(wanted, dict):
        [(join, parts)] = wanted.items()
        if join == "not":
            return not naive(parts, payload)
        return {"all": all, "any": any}[join](naive(part, payload) for part in parts)
    path, op, value = wanted
    found = payload
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    if op == "in":
        return any(equal(found, each) for each in value)
    if op in ("==", "!="):
        return equal(found, value) == (op == "==")
    if type(found) not in (int, float, str) or type(value) not in (int, float, str):
        return False
    if isinstance(found, str) != isinstance(value, str):
        return False
    return {"<": found < value, "<=": found <= value, ">": found > value, ">=": found >= value}[op]


def equal(one: Any, other: Any) -> Any:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@settings(max_examples=1_000)
@given(filters, payloads)
def test_what_is_prepared_says_what_a_naive_reading_says(wanted: Any, payload: Any) -> None:
    read = read_filter(wanted)
    assert predicate(read)(payload) is naive(wanted, payload)
    assert read_filter(plain_filter(read)) == read


# Text.


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("percent >= 50", ["percent", ">=", 50]),
        (
            "percent >= 50 and state in [\"a\", 'b']",
            {"all": [["percent", ">=", 50], ["state", "in", ["a", "b"]]]},
        ),
        (
            "a or b and not c",
            {"any": [["a", "==", True], {"all": [["b", "==", True], {"not": ["c", "==", True]}]}]},
        ),
        ("(a or b) and c", {"all": [{"any": [["a", "==", True], ["b", "==", True]]}, ["c", "==", True]]}),
        ("a not in [null, true]", {"not": ["a", "in", [None, True]]}),
        ("`odd name`.x-y == -1.5e3", ["odd name.x-y", "==", -1500.0]),
        (". > .5", ["", ">", 0.5]),
        (r"""a == 'it\'s "so"' """, ["a", "==", 'it\'s "so"']),
        (r'a == "\u00e9\n"', ["a", "==", "é\n"]),
        ("a in []", ["a", "in", []]),
    ],
)
def test_text_is_read(text: str, data: Any) -> None:
    assert parse_filter(text) == data


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at 1: expected the name of a field, not the end"),
        ("percent >=", "at 11: expected a number, a text in quotes, true, false or null, not the end"),
        ("percent = 3", "at 9: expected and, or, or the end, not '='"),
        (
            "percent >= percent",
            "at 12: expected a number, a text in quotes, true, false or null, not 'percent'",
        ),
        ("(a", "at 3: expected ), not the end"),
        ("a in 3", "at 6: expected [, not '3'"),
        ("a not 3", "at 7: expected in, not '3'"),
        ("a == 'x", 'at 6: expected a number, a text in quotes, true, false or null, not "\'"'),
        ("__import__('os')", "at 11: expected and, or, or the end, not '('"),
        ("`a.b` == 1", "at 1: a name with a dot in it cannot be told from two"),
        ("not " * 50 + "a", "nested too deep"),
        ("(" * 50 + "a", "nested too deep"),
        ("a and " * 300 + "a", "more than 100 conditions"),
        ("a" * 20_000, "a filter has at most 16384 characters"),
        ("a == 1e999", ""),
    ],
)
def test_text_that_is_no_filter_is_refused(text: str, problem: str) -> None:
    with pytest.raises(FilterProblem) as refused:
        read_filter(parse_filter(text))
    assert problem in str(refused.value)


def written(wanted: Any) -> str:
    """A filter's plain data as text."""
    if isinstance(wanted, dict):
        [(join, parts)] = wanted.items()
        if join == "not":
            return f"not ({written(parts)})"
        return f" {'and' if join == 'all' else 'or'} ".join(f"({written(part)})" for part in parts)
    path, op, value = wanted
    values = [literal(each) for each in value] if op == "in" else []
    return f"{path} in [{', '.join(values)}]" if op == "in" else f"{path} {op} {literal(value)}"


def literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


@given(filters)
def test_what_is_written_is_read_as_it_was(wanted: Any) -> None:
    """But for joins of one part, which text has no need to say."""
    payload = {"a": 1, "b": "b", "c": {"a": 0.5, "b": None, "c": {"a": True}}}
    assert predicate(read_filter(parse_filter(written(wanted))))(payload) is naive(wanted, payload)


@given(st.text() | st.text("ab.`'\"\\()[]<>=!,0123456789 andornti"))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    try:
        data = parse_filter(text)
    except FilterProblem:
        return
    with suppress(FilterProblem):
        read_filter(data)


# Functions.


@pytest.mark.parametrize(
    ("function", "data"),
    [
        (lambda p: p.percent >= 50, ["percent", ">=", 50]),
        (lambda p: 50 <= p.percent, ["percent", ">=", 50]),  # noqa: SIM300 - the order is what is tested
        (
            lambda p: (p.percent >= 50) & (p.state == State.DONE) & p.ok,
            {"all": [["percent", ">=", 50], ["state", "==", State.DONE], ["ok", "==", True]]},
        ),
        (
            lambda p: ~p.ok | one_of(p.level, ["info"]),
            {"any": [{"not": ["ok", "==", True]}, ["level", "in", ["info"]]]},
        ),
        (
            lambda p: not_(p.percent > 1) & not_(p.ok),
            {"all": [{"not": ["percent", ">", 1]}, {"not": ["ok", "==", True]}]},
        ),
        (lambda p: p.place.port < 100, ["place.PORT", "<", 100]),
        (lambda p: p.tree.left.left.size == 3, ["tree.left.left.size", "==", 3]),
        (lambda p: p.labels["a"] == 3, ["labels.a", "==", 3]),
        (lambda p: p.whatever.deep["x"] == 3, ["whatever.deep.x", "==", 3]),
        (lambda p: p.half > 3, ["half", ">", 3]),
        (lambda p: p.place == None, ["place", "==", None]),  # noqa: E711 - it is written down, not run
    ],
)
def test_a_function_is_written_down(function: Any, data: Any) -> None:
    assert recorded(function, PAYLOAD) == data
    read_filter(data)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda p: p.percent > 1 and p.ok, "use & and | in place of and, or"),
        (lambda p: not p.ok, "use & and |"),
        (lambda p: 1 < p.percent < 3, "use & and |"),
        (lambda p: p.level in ["info", "error"], "one_of(field, [...]) in place of `in`"),
        (lambda p: p.percnt > 1, "the payload has no field 'percnt'; did you mean 'percent'?"),
        (lambda p: p.place.hots == "a", "place has no field 'hots'; did you mean 'host'?"),
        (
            lambda p: p.percent == p.half,
            "percent: a filter compares a field with a value, not with another field",
        ),
        (lambda p: p.level.upper() == "A", "a filter compares"),
        (lambda _: True, "this one gave True"),
        (lambda p: p.ok & True, "this one gave True"),
        (lambda p: p[0] == 1, "0 is no field's name"),
    ],
)
def test_a_function_that_does_something_else_is_refused(function: Any, problem: str) -> None:
    with pytest.raises(FilterProblem) as refused:
        read_filter(recorded(function, PAYLOAD))
    assert problem in str(refused.value)


def test_one_of_is_membership_where_nothing_is_written_down() -> None:
    assert one_of("a", ["a"])
    assert not one_of("a", [])
    assert not_(False)


# All that may be asked for.


def test_what_is_asked_for_travels() -> None:
    asked = aggregation(0.1, "level", (100, 0.05), lambda p: p.percent >= 50, True, PAYLOAD)
    assert asked == Aggregation(100, (("level",),), (100, 50), asked.where, True)
    assert asked.filter == ["percent", ">=", 50]
    assert Aggregation.from_wire(asked.to_wire()) == asked
    assert aggregation(where="percent >= 50", payload=PAYLOAD).where == asked.where
    assert not aggregation()
    assert aggregation().to_wire() == {}
    assert hash(asked)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"every": 0}, "every=0: seconds, from 0.001 to 3600"),
        ({"every": -1}, "every=-1"),
        ({"every": True}, "every=True"),
        ({"every": "1"}, "every='1'"),
        ({"every": float("inf")}, "every=inf"),
        ({"batch": 3}, "batch=3: a pair of a count and seconds"),
        ({"batch": (0, 1)}, "batch: values from 1 to 10000, not 0"),
        ({"batch": (1.5, 1)}, "batch: values from 1 to 10000, not 1.5"),
        ({"batch": (1, 0)}, "batch=0: seconds"),
        ({"latest_by": []}, "latest_by: 1 to 8 fields, not []"),
        ({"latest_by": 3}, "latest_by: 1 to 8 fields, not 3"),
        ({"latest_by": "levl"}, "the payload has no field 'levl'; did you mean 'level'?"),
        ({"latest_by": "place"}, "place is an object or null; name a single value in it"),
        ({"where": 3}, "where: a filter is"),
        ({"where": "percent >"}, "at 10: expected"),
        ({"where": ["percent", "==", "a"]}, "percent is a number"),
    ],
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(FilterProblem) as refused:
        aggregation(**asked, payload=PAYLOAD)
    assert problem in str(refused.value)


def test_a_function_needs_one_event() -> None:
    with pytest.raises(FilterProblem, match="describes the payload of one"):
        aggregation(where=lambda p: p.percent >= 50)


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"every": 3_600_001},
        {"every": 1.0},
        {"every": True},
        {"batch": 3},
        {"batch": [3]},
        {"batch": [3, "a"]},
        {"batch": [10_001, 1]},
        {"latest_by": "a..b"},
        {"latest_by": [1]},
        {"latest_by": ["a"] * 9},
        {"where": "percent >= 50"},
        {"where": b""},
        {"where": b"\xc1"},
        {"where": b"\x93\xa1a\xa1b\xa1c"},
        {"where": b"\xc0" * 70_000},
        {"distinct": 1},
    ],
)
def test_options_from_the_wire_are_looked_at(options: dict[str, Any]) -> None:
    with pytest.raises(FilterProblem):
        Aggregation.from_wire(options)


def test_options_that_are_not_known_are_left_alone() -> None:
    assert Aggregation.from_wire({"snapshot": True, "later": [1]}) == Aggregation()
