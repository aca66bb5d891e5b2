"""What an event's payload has fields for, and whether a filter fits it.

Read from the JSON Schema of what is sent, which knows aliases, computed fields and serializers. What that cannot say, as of a field that is `Any`, fits everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from ionbus.contract.payload import Payload
from ionbus.contract.schema import MARK, REFUSED, JsonSchema, payload_schema
from ionbus.events.filters import Compare, Filter, FilterProblem, Many, Negated, Operator

__all__ = ["Fields"]

MAX_VARIANTS: Final = 1_000
"""Schemas that a field may be of."""


class Fields:
    """The fields of one payload.

    Args:
        payload: of an event.
    """

    def __init__(self, payload: Payload[Any]) -> None:
        self._where = payload.where
        schema, self._definitions = payload_schema(payload)
        self._root = [schema]

    def fitted(self, wanted: Filter) -> Filter:
        """The same filter with values as the fields hold them: a date that was written as text is a date.

        Raises:
            FilterProblem: there is no such field, or it is never such a value; suggests what may have been meant.
        """
        match wanted:
            case Compare(path, op, value):
                kinds = self._kinds_at(path)
                name = ".".join(path) or "the payload"
                if op == "in":
                    return Compare(path, op, tuple(self._fit(kinds, name, "==", each) for each in value))
                return Compare(path, op, self._fit(kinds, name, op, value))
            case Many(join, parts):
                return Many(join, tuple(self.fitted(part) for part in parts))
            case Negated(part):
                return Negated(self.fitted(part))

    def check_path(self, path: tuple[str, ...]) -> None:
        """Refuse a path that leads to no single value.

        Raises:
            FilterProblem: there is no such field, or it is an object or a list.
        """
        kinds = self._kinds_at(path)
        if all(_is_compound(kind) or kind.get("type") == "null" for kind in kinds):
            raise FilterProblem(
                f"{self._where}: {'.'.join(path) or 'the payload'} is {_named(kinds)}; name a single value in it"
            )

    def _kinds_at(self, path: tuple[str, ...]) -> list[JsonSchema]:
        kinds = list(self._variants(self._root))
        for at, name in enumerate(path):
            found = [inner for kind in kinds for inner in _inner(kind, name)]
            if not found:
                known = sorted({each for kind in kinds for each in kind.get("properties", ())})
                raise UnknownField(self._where, path[:at], name, known, kinds)
            kinds = list(self._variants(found))
        return kinds

    def _variants(self, schemas: list[JsonSchema]) -> Iterator[JsonSchema]:
        """What a value may be, without references and unions."""
        seen: set[str] = set()
        waiting = list(reversed(schemas))
        count = 0
        while waiting:
            schema = waiting.pop()
            count += 1
            if count > MAX_VARIANTS:
                yield {}
                return
            reference = schema.get("$ref")
            if reference is not None:
                if reference not in seen:
                    seen.add(reference)
                    waiting.append(self._definitions.get(reference.removeprefix("#/$defs/"), {}))
                continue
            choices = [
                each
                for key in ("anyOf", "oneOf", "allOf")
                for each in schema.get(key, ())
                if isinstance(each, dict)
            ]
            if choices:
                waiting.extend(reversed(choices))
            else:
                yield schema

    def _fit(self, kinds: list[JsonSchema], name: str, op: Operator, value: object) -> object:
        for kind in kinds:
            try:
                return _converted(kind, op, value)
            except (TypeError, ValueError, OverflowError, InvalidOperation):
                continue
        raise FilterProblem(f"{self._where}: {name} is {_named(kinds)}; {op} {_shown(value)} can never be so")


def _inner(schema: JsonSchema, name: str) -> Iterator[JsonSchema]:
    """The schemas of a field of a value."""
    if _is_anything(schema):
        yield {}
    elif schema.get("type") == "object" and schema.get(MARK) != "map":
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", not properties)
        if name in properties:
            yield properties[name]
        elif isinstance(others, dict):
            yield others
        elif others:
            yield {}


def _is_anything(schema: JsonSchema) -> bool:
    return REFUSED in schema or not {"type", "enum", "const", MARK} & schema.keys()


def _is_compound(schema: JsonSchema) -> bool:
    return not _is_anything(schema) and (
        schema.get("type") in ("object", "array") or schema.get(MARK) in ("set", "map")
    )


def _converted(schema: JsonSchema, op: Operator, value: object) -> object:
    """A filter's value as a field of this schema holds it. TypeError, ValueError: it never does."""
    if _is_anything(schema):
        return value
    if "const" in schema or "enum" in schema:
        choices = schema["enum"] if "enum" in schema else [schema["const"]]
        if op in ("==", "!=") and (
            value not in choices
            or isinstance(value, bool) != any(value is each for each in choices if isinstance(each, bool))
        ):
            raise ValueError
        if op not in ("==", "!=") and not any(_is_ordered(each, value) for each in choices):
            raise ValueError
        return value
    if value is None:
        if schema.get("type") == "null" and op in ("==", "!="):
            return None
        raise ValueError
    mark = schema.get(MARK)
    kind = mark if mark in _CONVERSIONS else schema.get("type")
    convert = _CONVERSIONS.get(kind)
    if convert is None or (kind in _UNORDERED and op not in ("==", "!=")):
        raise ValueError
    return convert(value)


def _is_ordered(one: object, other: object) -> bool:
    numbers = (int, float)
    return (isinstance(one, str) and isinstance(other, str)) or (
        isinstance(one, numbers) and isinstance(other, numbers) and not isinstance(other, bool)
    )


def _is(*types: type) -> Callable[[Any], object]:
    def convert(value: Any) -> object:
        if type(value) not in types:
            raise TypeError
        return value

    return convert


def _from_text(kind: type, read: Callable[[str], object]) -> Callable[[Any], object]:
    def convert(value: Any) -> object:
        if type(value) is kind:
            return value
        if not isinstance(value, str):
            raise TypeError
        return read(value)

    return convert


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise TypeError
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError
    return number


def _duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return timedelta(seconds=value)


_CONVERSIONS: Final[Mapping[Any, Callable[[Any], object]]] = {
    "boolean": _is(bool),
    "integer": _is(int, float),
    "int64": _is(int, float),
    "number": _is(int, float),
    "string": _is(str),
    "str": _is(str),
    "bytes": _is(bytes),
    "datetime": _from_text(datetime, datetime.fromisoformat),
    "date": _from_text(date, date.fromisoformat),
    "time": _from_text(time, time.fromisoformat),
    "duration": _duration,
    "decimal": _decimal,
    "uuid": _from_text(UUID, UUID),
}
"""A value of a filter as a field of this kind holds it."""

_UNORDERED: Final = frozenset({"boolean", "bytes", "uuid"})

_NAMES: Final[Mapping[Any, str]] = {
    "boolean": "true or false",
    "integer": "an integer",
    "int64": "an integer",
    "number": "a number",
    "string": "text",
    "str": "text",
    "bytes": "bytes",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time of day",
    "duration": "a duration, in seconds",
    "decimal": "a decimal",
    "uuid": "a UUID",
    "null": "null",
    "object": "an object",
    "map": "a mapping",
    "array": "a list",
    "set": "a set",
}


def _named(kinds: list[JsonSchema]) -> str:
    names: dict[str, None] = {}
    for kind in kinds:
        if "const" in kind or "enum" in kind:
            choices = kind["enum"] if "enum" in kind else [kind["const"]]
            names[" or ".join(map(_shown, choices[:10]))] = None
        else:
            mark = kind.get(MARK)
            names[_NAMES.get(mark if mark in _NAMES else kind.get("type"), "anything")] = None
    return " or ".join(names) or "nothing"


class UnknownField(FilterProblem):
    """A filter names a field that a payload does not have.

    Which may have been meant is looked for when somebody is told: a pattern may match hundreds of events, and one problem is enough.
    """

    def __init__(
        self, where: str, path: tuple[str, ...], name: str, known: list[str], kinds: list[JsonSchema]
    ) -> None:
        super().__init__(where, path, name)
        self._owner = f"{where}: {'.'.join(path) or 'the payload'}"
        self._name = name
        self._known = known
        self._kinds = kinds

    def __str__(self) -> str:
        if not self._known:
            return f"{self._owner} is {_named(self._kinds)} and has no field {self._name!r}"
        from difflib import get_close_matches  # noqa: PLC0415 - few ever mistype

        near = get_close_matches(self._name, self._known, 1)
        meant = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(self._known[:10])}"
        return f"{self._owner} has no field {self._name!r}; {meant}"


def _shown(value: object) -> str:
    text = (
        {None: "null", True: "true", False: "false"}.get(value, repr(value))
        if value is None or isinstance(value, bool)
        else repr(value)
    )
    return text if len(text) <= 60 else f"{text[:57]}…"
