"""Which kinds of values that msgpack lacks a payload may hold: a page's bundle has the code of those alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ionbus.codegen.model import (
    ContractModel,
    Definition,
    Interface,
    Mapping,
    Plain,
    SetOf,
    Type,
    parts,
    references,
)

__all__ = ["ALL_KINDS", "KIND_NAMES", "KindFinder"]

_OF_CLASSES: Final = {
    "datetime": "dateTimes",
    "date": "plainDates",
    "time": "plainTimes",
    "duration": "durations",
    "decimal": "decimals",
    "uuid": "uuids",
}
"""Kinds whose values are instances of classes of the package `ionbus`: what is needed to write one is in its class."""
ALL_KINDS: Final = "allValues"
"""For what may hold anything."""
_NATIVE: Final = frozenset({"mappings", "sets", "typedArrays"})
"""Kinds whose values are JavaScript's own, so that it takes the kind to write them too."""

KIND_NAMES: Final = frozenset(_OF_CLASSES.values()) | _NATIVE | {ALL_KINDS}
"""What the package `ionbus` calls them."""


class KindFinder:
    """Finds the kinds in the types of one contract.

    Args:
        contract: the outermost one.
    """

    def __init__(self, contract: ContractModel) -> None:
        self._definitions: dict[str, Definition] = {each.name: each for each in contract.definitions}

    def find(self, received: Iterable[Type], sent: Iterable[Type] = ()) -> tuple[str, ...]:
        """Give the names of the kinds, in order; that of all of them stands alone.

        Args:
            received: what a client receives.
            sent: what it sends.
        """
        found = set(self._kinds(received))
        if ALL_KINDS in found:
            return (ALL_KINDS,)
        written = set(self._kinds(sent))
        found |= _NATIVE if ALL_KINDS in written else written & _NATIVE
        return tuple(sorted(found))

    def _kinds(self, types: Iterable[Type]) -> Iterator[str]:
        waiting: list[Type | Definition] = list(types)
        seen: set[str] = set()
        while waiting:
            whole = waiting.pop()
            if isinstance(whole, Interface) and whole.is_open:
                yield ALL_KINDS
            for part in parts(whole):
                match part:
                    case Plain("any"):
                        yield ALL_KINDS
                    case Plain(name) if name.endswith("array"):
                        yield "typedArrays"
                    case Plain(name) if name in _OF_CLASSES:
                        yield _OF_CLASSES[name]
                    case SetOf():
                        yield "sets"
                    case Mapping(key=key) if key is not None:
                        yield "mappings"
            below = [each for each in references(whole) if each not in seen]
            seen.update(below)
            waiting += [self._definitions[each] for each in below if each in self._definitions]
