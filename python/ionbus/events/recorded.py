"""Filters as functions: `lambda p: (p.percent >= 50) & (p.state == "done")`.

The function is called once, with a stand-in for the payload that writes down what is asked of it. It is never called with a payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn, TypeVar, cast

from ionbus.contract.payload import Payload
from ionbus.events.filters import FilterProblem

__all__ = ["not_", "one_of", "recorded"]

T = TypeVar("T")


def recorded(function: Callable[[Any], object], payload: Payload[Any] | None) -> Any:
    """Give the filter that a function describes, as plain data (`filters`).

    Args:
        function: given the payload, says when it passes: comparisons of its fields, joined by `&` and `|`.
        payload: tells how fields are spelled on the wire; None: as in the function.

    Raises:
        FilterProblem: it does something else.
    """
    schemas = [] if payload is None else [payload.core_schema]
    result = function(_Field("", _Schemas(schemas)))
    return _condition(result)


def one_of(field: T, values: Iterable[T]) -> bool:
    """In a filter: whether a field has one of these values, as `where=lambda p: one_of(p.state, ["done", "failed"])`."""
    if not isinstance(field, _Field):
        return field in values
    return cast("bool", _Condition([_path(field), "in", list(values)]))


def not_(condition: bool) -> bool:
    """In a filter: what a condition does not let pass. Python's `not` cannot be written down, and `~` is deprecated for truths."""
    written: object = condition
    return cast("bool", ~written) if isinstance(written, _Recorded) else not condition


class _Recorded:
    """What stands for a truth that is not known yet."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise FilterProblem(
            "a filter is written down, not run: use & and | in place of and, or, with parentheses around comparisons, "
            "not_(...) in place of not, and one_of(field, [...]) in place of `in`"
        )

    def __and__(self, other: object) -> _Condition:
        return _joined("all", self, other)

    def __or__(self, other: object) -> _Condition:
        return _joined("any", self, other)

    __rand__ = __and__
    __ror__ = __or__

    def __invert__(self) -> _Condition:
        return _Condition({"not": _condition(self)})


class _Condition(_Recorded):
    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data


class _Field(_Recorded):
    """A field of the payload, or the payload itself."""

    __slots__ = ("_ionbus_path", "_ionbus_schemas")

    def __init__(self, path: str, schemas: _Schemas) -> None:
        self._ionbus_path = path
        self._ionbus_schemas = schemas

    def __getattr__(self, name: str) -> _Field:
        if name.startswith("__"):
            raise AttributeError(name)
        return _inside(self, name)

    def __getitem__(self, name: object) -> _Field:
        if not isinstance(name, str):
            raise FilterProblem(f"a filter compares fields; {name!r} is no field's name")
        return _inside(self, name)

    def __eq__(self, other: object) -> Any:
        return _compared(self, "==", other)

    def __ne__(self, other: object) -> Any:
        return _compared(self, "!=", other)

    def __lt__(self, other: object) -> Any:
        return _compared(self, "<", other)

    def __le__(self, other: object) -> Any:
        return _compared(self, "<=", other)

    def __gt__(self, other: object) -> Any:
        return _compared(self, ">", other)

    def __ge__(self, other: object) -> Any:
        return _compared(self, ">=", other)

    __hash__ = None  # type: ignore[assignment] # it equals nothing

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise FilterProblem(f"{_path(self)}(…): a filter compares fields, and calls nothing")


def _path(field: _Field) -> str:
    return field._ionbus_path  # noqa: SLF001 - payloads have fields of any other name


def _inside(field: _Field, name: str) -> _Field:
    path, schemas = field._ionbus_path, field._ionbus_schemas  # noqa: SLF001 - as above
    spelled, inner = schemas.field(name, path)
    return _Field(f"{path}.{spelled}" if path else spelled, inner)


def _compared(field: _Field, op: str, value: object) -> _Condition:
    if isinstance(value, _Recorded):
        raise FilterProblem(f"{_path(field)}: a filter compares a field with a value, not with another field")
    return _Condition([_path(field), op, value])


def _joined(join: str, one: object, other: object) -> _Condition:
    parts: list[Any] = []
    for each in (one, other):
        data = _condition(each)
        parts += data[join] if isinstance(data, dict) and join in data else [data]
    return _Condition({join: parts})


def _condition(result: object) -> Any:
    """What a function gave, as plain data; a field alone stands for its being true."""
    if isinstance(result, _Condition):
        return result.data
    if isinstance(result, _Field):
        return [_path(result), "==", True]
    raise FilterProblem(
        f"a filter compares the payload's fields, as `lambda p: p.percent >= 50`; this one gave {result!r}"
    )


class _Schemas:
    """The core schemas that a value may be of; none: nothing is known of it."""

    def __init__(self, schemas: Iterable[Any], definitions: Mapping[str, Any] | None = None) -> None:
        self._definitions: dict[str, Any] = dict(definitions or {})
        self._variants = list(self._expanded(schemas))

    def field(self, name: str, path: str) -> tuple[str, _Schemas]:
        """How a field is spelled on the wire, and what it may be.

        Raises:
            FilterProblem: none of the models has it.
        """
        known: set[str] = set()
        is_open = not self._variants
        for schema in self._variants:
            fields = _fields_of(schema)
            if fields is None:
                values = schema.get("values_schema")
                if schema.get("type") == "dict" and values is not None:
                    return name, _Schemas([values], self._definitions)
                is_open = True
                continue
            if name in fields:
                spelled, inner = fields[name]
                return spelled, _Schemas([] if inner is None else [inner], self._definitions)
            known |= fields.keys()
        if is_open:
            return name, _Schemas([])
        from difflib import get_close_matches  # noqa: PLC0415 - few ever mistype

        near = get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise FilterProblem(f"{path or 'the payload'} has no field {name!r}{meant}")

    def _expanded(self, schemas: Iterable[Any]) -> Iterator[Any]:
        seen: set[str] = set()
        waiting = list(schemas)
        while waiting:
            schema = waiting.pop(0)
            if isinstance(schema, tuple):  # a choice with its label
                schema = schema[0]
            kind = schema["type"]
            if kind == "definitions":
                self._definitions.update({each["ref"]: each for each in schema["definitions"]})
                waiting.append(schema["schema"])
            elif kind == "definition-ref":
                if schema["schema_ref"] not in seen:
                    seen.add(schema["schema_ref"])
                    waiting.append(self._definitions[schema["schema_ref"]])
            elif kind == "union":
                waiting += schema["choices"]
            elif kind == "tagged-union":
                waiting += schema["choices"].values()
            elif kind in _MODELS or "schema" not in schema:
                yield schema
            else:
                waiting.append(schema["schema"])


_MODELS: Final = frozenset({"model", "dataclass"})


def _fields_of(schema: Mapping[str, Any]) -> Mapping[str, tuple[str, Any]] | None:
    """The fields of a model: by their names in Python, how each is spelled on the wire, and its core schema."""
    inner: Any = schema
    while inner["type"] not in ("model-fields", "dataclass-args", "typed-dict"):
        inner = inner.get("schema")
        if inner is None:
            return None
    fields = inner["fields"]
    named = fields.items() if isinstance(fields, dict) else [(each["name"], each) for each in fields]
    found: dict[str, tuple[str, Any]] = {
        name: (field.get("serialization_alias", name), field["schema"]) for name, field in named
    }
    for computed in inner.get("computed_fields", ()):
        name = computed["property_name"]
        found[name] = (computed.get("alias", name), None)
    return found
