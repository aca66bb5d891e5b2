"""Where in a payload integers of 64 bits are: small ones travel like any integer, and are made `bigint` where they arrive.

A path is written as in errors: `flow.nodes[].id`, with `[]` for each element of an array or a set, `[1]` for one of a tuple,
`[2..]` for those from there on, `{}` for each value and `{key}` for each key of a mapping. It ends in `:Tree` where what is
there is a recursive type, or one with many paths, whose own paths are those of the shape `Tree`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping as MappingOf
from dataclasses import dataclass, field

from ionbus.codegen.model import (
    Alias,
    Array,
    CodegenError,
    Constant,
    ContractModel,
    Definition,
    Field,
    Interface,
    Mapping,
    Plain,
    Reference,
    SetOf,
    Tuple,
    Type,
    Union,
    references,
)

__all__ = ["BigintFinder", "Bigints"]

_MAX_SPELLED_OUT = 16
"""A type with more paths than this is a shape of its own, so that types within types do not multiply."""
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


@dataclass(frozen=True)
class Bigints:
    """The paths to the 64-bit integers in what a client receives and what it sends, and those of recursive types."""

    received: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    shapes: MappingOf[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.received or self.sent)


class BigintFinder:
    """Finds the 64-bit integers in the types of one contract.

    Args:
        contract: the outermost one.
    """

    def __init__(self, contract: ContractModel) -> None:
        self._definitions: dict[str, Definition] = {each.name: each for each in contract.definitions}
        self._found: dict[str, tuple[str, ...]] = {}
        self._wide = self._holding_wide()
        self._recursive = {name for name in self._wide if name in self._reachable(name)}

    def find(self, received: Iterable[Type], sent: Iterable[Type], where: str) -> Bigints:
        """Give the paths in a payload.

        Args:
            received: what a client receives: one type, or none.
            sent: what it sends: likewise.
            where: what they belong to, for the message.

        Raises:
            CodegenError: in a union it cannot be told which of two numbers a value is.
        """
        if not self._wide and not any(_is_wide(part) for part in (*received, *sent)):
            return Bigints()
        both = [
            tuple(dict.fromkeys(path for part in side for path in self._paths(part, where)))
            for side in (received, sent)
        ]
        shapes: dict[str, tuple[str, ...]] = {}
        waiting = [path for side in both for path in side]
        while waiting:
            _, colon, name = waiting.pop().rpartition(":")
            if colon and name not in shapes:
                shapes[name] = self._paths_of(name)
                waiting += shapes[name]
        return Bigints(
            tuple(map(_without_dot, both[0])),
            tuple(map(_without_dot, both[1])),
            {name: tuple(map(_without_dot, shapes[name])) for name in sorted(shapes)},
        )

    def find_in_fields(self, fields: tuple[Field, ...], where: str) -> Bigints:
        """Give the paths in the fields of a declared error; raises as `find` does."""
        own = f"{where} "  # no definition is called so
        self._definitions[own] = Interface(own, fields)
        is_wide = any(self._is_wide_type(part.type) for part in fields)
        try:
            if is_wide:
                self._wide.add(own)
            return self.find([Reference(own)] if is_wide else [], [], where)
        finally:
            del self._definitions[own]
            self._found.pop(own, None)
            self._wide.discard(own)

    def _holding_wide(self) -> set[str]:
        wide = {name for name, each in self._definitions.items() if _is_wide(each)}
        changed = True
        while changed:
            more = {
                name
                for name, each in self._definitions.items()
                if name not in wide and any(below in wide for below in references(each))
            }
            wide |= more
            changed = bool(more)
        return wide

    def _is_wide_type(self, part: Type) -> bool:
        return _is_wide(part) or any(name in self._wide for name in references(part))

    def _reachable(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = list(references(self._definitions[name]))
        while waiting:
            below = waiting.pop()
            if below not in found and below in self._definitions:
                found.add(below)
                waiting += references(self._definitions[below])
        return found

    def _paths(self, part: Type, where: str) -> Iterator[str]:
        if not self._is_wide_type(part):
            return
        match part:
            case Plain():
                yield ""
            case Reference(name):
                below = () if name in self._recursive else self._paths_of(name)
                if below and len(below) <= _MAX_SPELLED_OUT:
                    yield from below
                else:
                    yield f":{name}"
            case Array(item) | SetOf(item):
                yield from (f"[]{path}" for path in self._paths(item, where))
            case Tuple(items, rest):
                for index, item in enumerate(items):
                    yield from (f"[{index}]{path}" for path in self._paths(item, where))
                if rest is not None:
                    yield from (f"[{len(items)}..]{path}" for path in self._paths(rest, where))
            case Mapping(value, key):
                if key is not None:
                    yield from (f"{{key}}{path}" for path in self._paths(key, where))
                yield from (f"{{}}{path}" for path in self._paths(value, where))
            case Union(options):
                self._refuse_ambiguous(options, where)
                for option in options:
                    yield from self._paths(option, where)
            case Constant():
                pass

    def _paths_of(self, name: str) -> tuple[str, ...]:
        """The paths in a definition, each once."""
        if name not in self._found:
            self._found[name] = tuple(dict.fromkeys(self._paths_in(self._definitions[name])))
        return self._found[name]

    def _paths_in(self, definition: Definition) -> Iterator[str]:
        if isinstance(definition, Alias):
            yield from self._paths(definition.type, definition.name)
            return
        for each in definition.fields:
            step = (
                f".{each.name}"
                if _IDENTIFIER.fullmatch(each.name)
                else f"[{json.dumps(each.name, ensure_ascii=False)}]"
            )
            yield from (
                step + path for path in self._paths(each.type, f"{definition.name.strip()}.{each.name}")
            )

    def _refuse_ambiguous(self, options: tuple[Type, ...], where: str) -> None:
        for one in options:
            for other in options:
                if one is not other and (path := self._clash(one, other, frozenset())) is not None:
                    spot = f" at {_without_dot(path)}" if path else ""
                    raise CodegenError(
                        f"{where}: a union in which one option has a 64-bit integer{spot} and another an ordinary number "
                        "there, which cannot be told apart; give both Int64, or give the two fields different names"
                    )

    def _clash(self, one: Type, other: Type, seen: frozenset[tuple[Type, Type]]) -> str | None:
        """The path at which `one` has a 64-bit integer and `other` may have another number; None where there is none."""
        if (one, other) in seen or not self._is_wide_type(one):
            return None
        seen |= {(one, other)}
        if isinstance(one, Reference) and isinstance(alias := self._definitions[one.name], Alias):
            return self._clash(alias.type, other, seen)
        if isinstance(other, Reference) and isinstance(alias := self._definitions[other.name], Alias):
            return self._clash(one, alias.type, seen)
        if isinstance(one, Union):
            return self._first("", ((option, other) for option in one.options), seen)
        if isinstance(other, Union):
            return self._first("", ((one, option) for option in other.options), seen)
        if isinstance(one, Plain):
            is_number = (isinstance(other, Plain) and other.name in {"number", "any"}) or (
                isinstance(other, Constant) and other.kind in {"int", "float"}
            )
            return "" if is_number else None
        if isinstance(one, SetOf) and isinstance(other, SetOf):
            return self._first("[]", [(one.item, other.item)], seen)
        if isinstance(one, (Array, Tuple)) and isinstance(other, (Array, Tuple)):
            return self._first("[]", ((a, b) for a in _elements(one) for b in _elements(other)), seen)
        if (
            isinstance(one, Mapping)
            and isinstance(other, Mapping)
            and (one.key is None) == (other.key is None)
        ):
            if one.key is not None and other.key is not None:
                found = self._first("{key}", [(one.key, other.key)], seen)
                if found is not None:
                    return found
            return self._first("{}", [(one.value, other.value)], seen)
        return self._clash_of_objects(one, other, seen)

    def _clash_of_objects(self, one: Type, other: Type, seen: frozenset[tuple[Type, Type]]) -> str | None:
        fields, others = self._fields(one), self._fields(other)
        if fields is None or others is None:
            return None
        for name, part in fields.items():
            for name_of_other, part_of_other in others.items():
                if name == name_of_other or "" in {name, name_of_other}:
                    found = self._first(f".{name}", [(part, part_of_other)], seen)
                    if found is not None:
                        return found
        return None

    def _fields(self, part: Type) -> dict[str, Type] | None:
        """The fields of what is an object; "" stands for any name."""
        if isinstance(part, Mapping) and part.key is None:
            return {"": part.value}
        if isinstance(part, Reference) and isinstance(found := self._definitions[part.name], Interface):
            return {each.name: each.type for each in found.fields}
        return None

    def _first(
        self, step: str, pairs: Iterable[tuple[Type, Type]], seen: frozenset[tuple[Type, Type]]
    ) -> str | None:
        for one, other in pairs:
            path = self._clash(one, other, seen)
            if path is not None:
                return step + path
        return None


def _elements(part: Array | Tuple) -> tuple[Type, ...]:
    if isinstance(part, Array):
        return (part.item,)
    return (*part.items, *((part.rest,) if part.rest is not None else ()))


def _is_wide(part: Type | Definition) -> bool:
    """Whether a 64-bit integer is in it, without looking into definitions that it refers to."""
    match part:
        case Plain(name):
            return name == "int64"
        case Array(inner) | SetOf(inner) | Alias(type=inner):
            return _is_wide(inner)
        case Mapping(value, key):
            return _is_wide(value) or (key is not None and _is_wide(key))
        case Tuple(items, rest):
            return any(map(_is_wide, items)) or (rest is not None and _is_wide(rest))
        case Union(options):
            return any(map(_is_wide, options))
        case Interface(fields=fields):
            return any(_is_wide(each.type) for each in fields)
        case Reference() | Constant():
            return False


def _without_dot(path: str) -> str:
    return path.removeprefix(".")
