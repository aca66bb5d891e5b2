"""Filters over payloads, as plain data (docs/aggregation.md, docs/protocol.md, section 5.2).

`[path, op, value]` with one of the operators `== != < <= > >=`, `[path, "in", [value, …]]`, `{"all": [filter, …]}`, `{"any": [filter, …]}`
and `{"not": filter}`. A path is field names with dots between them, spelled as on the wire; "" is the payload itself.

A filter is read once (`read_filter`), is bounded, and has an answer for each payload: what is not there counts as null, null is neither less nor greater than
anything, and neither is what cannot be compared. `fields` fits it to the schema of an event first.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

__all__ = [
    "Compare",
    "Filter",
    "FilterData",
    "FilterProblem",
    "Many",
    "Negated",
    "Operator",
    "paths_of",
    "plain_filter",
    "predicate",
    "read_filter",
    "value_at",
]

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
FilterData: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""A filter as it is written."""

OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

MAX_CONDITIONS: Final = 100
"""Comparisons, and what joins them."""
MAX_DEPTH: Final = 10
"""Of what joins them."""
MAX_CHOICES: Final = 1_000
"""Values of all `in` of a filter together."""
MAX_PATH: Final = 255
"""Characters of a path."""
MAX_STEPS: Final = 16
"""Names in a path."""
MAX_VALUE: Final = 4_096
"""Characters or bytes of a value."""
SCALARS: Final = (str, bytes, int, float, Decimal, datetime, date, time, timedelta, UUID)


class FilterProblem(ValueError):
    """A filter that is malformed, or does not fit what it is for."""


@dataclass(frozen=True, slots=True)
class Compare:
    """One field against a value; `value` is a tuple where the operator is `in`."""

    path: tuple[str, ...]
    op: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class Many:
    """All of them, or any."""

    join: Literal["all", "any"]
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """What the filter inside does not let pass."""

    part: Filter


Filter: TypeAlias = Compare | Many | Negated


def read_filter(data: object) -> Filter:
    """Read a filter.

    Args:
        data: as it is written; anything else is refused.

    Raises:
        FilterProblem: it is malformed, or larger than it may be; says where.
    """
    return _Reader().read(data, "where", 1)


class _Reader:
    def __init__(self) -> None:
        self._conditions = 0
        self._choices = 0

    def read(self, data: object, where: str, depth: int) -> Filter:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterProblem(f"{where}: more than {MAX_CONDITIONS} conditions")
        if depth > MAX_DEPTH:
            raise FilterProblem(f"{where}: nested more than {MAX_DEPTH} deep")
        if isinstance(data, (list, tuple)):
            return self._comparison(data, where)
        if not isinstance(data, dict) or len(data) != 1:
            raise FilterProblem(
                f'{where}: a filter is [path, operator, value], {{"all": […]}}, {{"any": […]}} or {{"not": …}}, '
                f"not {_shown(data)}"
            )
        [(join, parts)] = data.items()
        if join == "not":
            return Negated(self.read(parts, f"{where}.not", depth + 1))
        if join not in ("all", "any"):
            raise FilterProblem(f"{where}: {_shown(join)} joins nothing; it is all, any or not")
        if not isinstance(parts, (list, tuple)) or not parts:
            raise FilterProblem(f"{where}.{join}: a list of filters, not {_shown(parts)}")
        return Many(
            join,
            tuple(self.read(part, f"{where}.{join}[{index}]", depth + 1) for index, part in enumerate(parts)),
        )

    def _comparison(self, data: Sequence[object], where: str) -> Compare:
        if len(data) != 3:
            raise FilterProblem(f"{where}: a comparison is [path, operator, value], not {_shown(data)}")
        path, op, value = data
        steps = read_path(path, where)
        if op == "in":
            if not isinstance(value, (list, tuple)):
                raise FilterProblem(f"{where}: `in` takes a list of values, not {_shown(value)}")
            self._choices += len(value)
            if self._choices > MAX_CHOICES:
                raise FilterProblem(f"{where}: more than {MAX_CHOICES} values to choose from")
            return Compare(steps, "in", tuple(_scalar(each, where) for each in value))
        if not isinstance(op, str) or op not in OPERATORS:
            raise FilterProblem(f"{where}: {_shown(op)} is no operator; one of {' '.join(OPERATORS)} in")
        return Compare(steps, op, _scalar(value, where))  # type: ignore[arg-type] # it is one of the table's


def read_path(path: object, where: str) -> tuple[str, ...]:
    """The names in a path, outermost first.

    Args:
        path: names with dots between them; "" is the payload itself.
        where: what it is for, for the message.

    Raises:
        FilterProblem: it is no path.
    """
    if not isinstance(path, str):
        raise FilterProblem(f"{where}: a path is field names with dots between them, not {_shown(path)}")
    if len(path) > MAX_PATH:
        raise FilterProblem(f"{where}: a path has at most {MAX_PATH} characters")
    steps = tuple(path.split(".")) if path else ()
    if len(steps) > MAX_STEPS or "" in steps:
        raise FilterProblem(
            f"{where}: {path!r} is no path; field names with dots between them, {MAX_STEPS} at most"
        )
    return steps


def _scalar(value: object, where: str) -> object:
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return None
    if not isinstance(value, SCALARS):
        raise FilterProblem(
            f"{where}: a field is compared with null, a truth, a number, text, bytes, a date or the like, not {_shown(value)}"
        )
    if isinstance(value, (str, bytes)) and len(value) > MAX_VALUE:
        raise FilterProblem(f"{where}: a value has at most {MAX_VALUE} characters or bytes")
    if isinstance(value, int) and abs(value) >= 1 << 512:
        raise FilterProblem(f"{where}: an integer that is larger than any that travels")
    if (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, Decimal) and not value.is_finite()
    ):
        raise FilterProblem(f"{where}: {value} can be compared with nothing")
    return value


def plain_filter(wanted: Filter) -> list[Any] | dict[str, Any]:
    """A filter as plain data, as it travels."""
    match wanted:
        case Compare(path, op, value):
            return [".".join(path), op, list(value) if op == "in" else value]
        case Many(join, parts):
            return {join: [plain_filter(part) for part in parts]}
        case Negated(part):
            return {"not": plain_filter(part)}


def paths_of(wanted: Filter) -> list[tuple[str, ...]]:
    """Every path in a filter, in order."""
    match wanted:
        case Compare(path):
            return [path]
        case Many(_, parts):
            return [path for part in parts for path in paths_of(part)]
        case Negated(part):
            return paths_of(part)


Predicate: TypeAlias = Callable[[Any], bool]


def predicate(wanted: Filter) -> Predicate:
    """Make what tells whether a payload, as plain data, passes: closures over what was read, no code that is written."""
    match wanted:
        case Compare():
            return _comparison(wanted)
        case Many(join, parts):
            tests = tuple(predicate(part) for part in parts)
            if join == "all":
                return lambda payload: all(test(payload) for test in tests)
            return lambda payload: any(test(payload) for test in tests)
        case Negated(part):
            test = predicate(part)
            return lambda payload: not test(payload)


def value_at(path: tuple[str, ...]) -> Callable[[Any], Any]:
    """Make what finds a field's value in plain data; None where there is none."""
    if len(path) == 1:
        (name,) = path

        def find_one(payload: Any) -> Any:
            found = payload.get(name) if isinstance(payload, dict) else None
            return found.value if isinstance(found, Enum) else found

        return find_one

    def find(payload: Any) -> Any:
        for name in path:
            if not isinstance(payload, dict):
                return None
            payload = payload.get(name)
        return payload.value if isinstance(payload, Enum) else payload

    return find


def _comparison(comparison: Compare) -> Predicate:
    find, value = value_at(comparison.path), comparison.value
    match comparison.op:
        case "==":
            return lambda payload: is_same(find(payload), value)
        case "!=":
            return lambda payload: not is_same(find(payload), value)
        case "in":
            return lambda payload: _is_among(find(payload), value)
        case op:
            compare = OPERATORS[op]

    def is_so(payload: Any) -> bool:
        found = find(payload)
        if found is None or value is None or isinstance(found, bool) or isinstance(value, bool):
            return False
        try:
            return bool(compare(found, value))
        except (TypeError, ArithmeticError):  # of two kinds, or a NaN among decimals
            return False

    return is_so


def is_same(one: object, other: object) -> bool:
    """Whether two scalars are equal; True is not 1 here, as it is not on the wire."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    try:
        return bool(one == other)
    except ArithmeticError:  # a signaling NaN, which equals nothing
        return False


def _is_among(found: object, values: tuple[object, ...]) -> bool:
    return any(is_same(found, value) for value in values)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - it is shown in a message only, and may be anything of a caller's
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}…"
