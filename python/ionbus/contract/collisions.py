"""Sets and mappings whose members are converted from text: text that was chosen so that what comes out of it has one hash is refused.

A set of numbers that travels as one was checked where it was read (wire/extensions.py). Pydantic also takes a list for a set, and
text for a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from pydantic_core import PydanticCustomError, core_schema

from ionbus.wire.extensions import MAX_SAME_HASH, SAME_HASH, have_same_hash

__all__ = ["guarded"]


def _uuid(text: str | bytes) -> UUID:
    return UUID(text) if isinstance(text, str) else UUID(bytes=text)


_MADE_FROM_TEXT: Final[Mapping[str, Callable[[Any], object]]] = {
    "int": int,
    "float": float,
    "decimal": Decimal,
    "uuid": _uuid,
}
"""The kinds of core schemas whose values hash as numbers do, and what makes such a value of text."""


def guarded(schema: dict[str, Any], members: Mapping[str, Any], find: Callable[[str], Any]) -> dict[str, Any]:
    """The core schema of a set or mapping, with the check before it where that is needed.

    Args:
        schema: what is to be guarded.
        members: the schema of its members or keys.
        find: gives the core schema that a reference names.
    """
    inner: Any = members
    while inner is not None and inner["type"] not in _MADE_FROM_TEXT:
        inner = find(inner["schema_ref"]) if inner["type"] == "definition-ref" else inner.get("schema")
    if inner is None:
        return schema
    make = _MADE_FROM_TEXT[inner["type"]]

    def check(value: object) -> object:
        is_large = isinstance(value, (list, tuple, dict, set, frozenset)) and len(value) > MAX_SAME_HASH
        if is_large and have_same_hash(_hashes(value, make)):
            raise PydanticCustomError("same_hash", SAME_HASH)
        return value

    return {**core_schema.no_info_before_validator_function(check, schema)}


def _hashes(value: Any, make: Callable[[Any], object]) -> Iterator[int]:
    """The hash of each member as it will be; what cannot become one is pydantic's to refuse."""
    for member in value:
        try:
            yield hash(make(member) if isinstance(member, (str, bytes)) else member)
        except (TypeError, ValueError, OverflowError, InvalidOperation):
            continue
