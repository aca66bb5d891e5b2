"""The slow way of `values`, which knows where it is: walks a value, or reads it byte by byte, and tells the path to what it refuses.

It says the same as the fast way for everything that is right.
"""

from __future__ import annotations

import json
import re
import struct
from collections import deque
from enum import Enum
from typing import Any, Final

from msgpack import ExtType, packb

from ionbus.generated.protocol import Limits
from ionbus.wire.extensions import MAX_SAFE, Extension, leaf, make_mapping, make_set, to_extension

MAX_DEPTH: Final = Limits().max_payload_depth
PROTO: Final = "the key `__proto__` is not allowed"
TOO_DEEP: Final = f"nested more than {MAX_DEPTH} deep"
LONGEST_KEY: Final = 64
"""Characters of a key that are shown in a path."""

Path = tuple["Path", object] | None
"""Steps from the innermost outwards: an index is an int, a key is whatever it is."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


class KeyedMapping:
    """A mapping that travels as one whose keys may be anything, even where all of them are text or it is empty."""

    __slots__ = ("entries",)

    entries: dict[Any, Any]

    def __init__(self, entries: dict[Any, Any]) -> None:
        self.entries = entries


class ValueRefused(ValueError):
    """A value that cannot travel, or bytes that are not one value.

    Args:
        path: where in the payload, as `flow.nodes[2].id`; "" is the whole.
        problem: what is wrong there.
    """

    path: str
    problem: str

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


def step_text(step: object) -> str:
    """One step of a path as a person would write it: `.id`, `["a b"]`, `[2]`, and `[key]` for keys that are neither text nor integers."""
    if isinstance(step, str):
        key = step if len(step) <= LONGEST_KEY else f"{step[:LONGEST_KEY]}…"
        if _PLAIN_KEY.fullmatch(key):
            return f".{key}"
        return f"[{json.dumps(key, ensure_ascii=False).encode('utf-8', 'backslashreplace').decode()}]"
    return f"[{step}]" if type(step) is int else "[key]"


def _rendered(path: Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step_text(step))
    return "".join(reversed(steps)).removeprefix(".")


def _refusal(path: Path, problem: str) -> ValueRefused:
    return ValueRefused(_rendered(path), problem)


# --- out -----------------------------------------------------------------------------------------------------


def lowered(value: object, path: Path, depth: int, open_ids: set[int]) -> object:
    """`value` with everything in it replaced by what msgpack writes as the table says.

    Raises:
        ValueRefused: something in it cannot travel.
    """
    while isinstance(value, Enum):
        value = value.value
    match value:
        case None | bool() | float():
            return value
        case int() if -MAX_SAFE <= value <= MAX_SAFE:
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _refusal(path, "text with a lone surrogate") from None
            return value
        case bytes() | bytearray():
            return value
        case ExtType():
            raise _refusal(path, "ExtType is not a value that travels")
        case memoryview():
            return value.tobytes()
        case dict() | list() | tuple() | set() | frozenset() | deque() | KeyedMapping():
            if id(value) in open_ids:
                raise _refusal(path, "refers to itself")
            if depth == MAX_DEPTH:
                raise _refusal(path, TOO_DEEP)
            open_ids.add(id(value))
            container = _lowered_container(value, path, depth + 1, open_ids)
            open_ids.discard(id(value))
            return container
        case _:
            try:
                return to_extension(value)
            except TypeError:
                raise _refusal(path, f"{type(value).__qualname__} is not a value that travels") from None
            except ValueError as error:
                raise _refusal(path, str(error)) from None


def _lowered_container(value: object, path: Path, depth: int, open_ids: set[int]) -> object:
    if not isinstance(value, (dict, KeyedMapping)):
        assert isinstance(value, (list, tuple, set, frozenset, deque))
        members = [lowered(member, (path, index), depth, open_ids) for index, member in enumerate(value)]
        return ExtType(Extension.SET, packb(members)) if isinstance(value, (set, frozenset)) else members
    entries = []
    is_keyed = isinstance(value, KeyedMapping)
    for named, member in (value.entries if isinstance(value, KeyedMapping) else value).items():
        key = named
        while isinstance(key, Enum):
            key = key.value
        under = (path, key)
        if key == "__proto__":
            raise _refusal(under, PROTO)
        entries.append((lowered(key, under, depth, open_ids), lowered(member, under, depth, open_ids)))
    if not is_keyed and all(isinstance(key, str) for key, _ in entries):
        mapping = dict(entries)
        if len(mapping) != len(entries):
            raise _refusal(path, "two keys are equal")
        return mapping
    return ExtType(Extension.MAPPING, packb([part for entry in entries for part in entry]))


# --- in ------------------------------------------------------------------------------------------------------


class StrictReader:
    """Reads one value byte by byte and says where it refuses."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def whole(self) -> object:
        """The one value that all the bytes are.

        Raises:
            ValueRefused: they are not.
        """
        value = self.value(None, 0)
        if self.at != len(self.data):
            raise ValueRefused("", f"{len(self.data) - self.at} bytes follow the value")
        return value

    def value(self, path: Path, depth: int) -> object:
        """The next value, which is at `path` and inside `depth` containers."""
        at = self.at
        if at >= len(self.data):
            raise _refusal(path, "the bytes end inside the value")
        head = self.data[at]
        self.at = at + 1
        if head < 0x80:
            return head
        if head >= 0xE0:
            return head - 0x100
        if head < 0x90:
            return self._map(head & 0x0F, path, depth)
        if head < 0xA0:
            return self._array(head & 0x0F, path, depth)
        if head < 0xC0:
            return self._text(head & 0x1F, path)
        match head:
            case 0xC0:
                return None
            case 0xC2 | 0xC3:
                return head == 0xC3
            case 0xC4 | 0xC5 | 0xC6:
                return self._take(self._uint(1 << (head - 0xC4), path), path)
            case 0xC7 | 0xC8 | 0xC9:
                return self._extension(self._uint(1 << (head - 0xC7), path), path, depth)
            case 0xCA:
                return float(struct.unpack(">f", self._take(4, path))[0])
            case 0xCB:
                return float(struct.unpack(">d", self._take(8, path))[0])
            case 0xCC | 0xCD | 0xCE | 0xCF:
                return self._safe(self._uint(1 << (head - 0xCC), path), path)
            case 0xD0 | 0xD1 | 0xD2 | 0xD3:
                taken = self._take(1 << (head - 0xD0), path)
                return self._safe(int.from_bytes(taken, "big", signed=True), path)
            case 0xD4 | 0xD5 | 0xD6 | 0xD7 | 0xD8:
                return self._extension(1 << (head - 0xD4), path, depth)
            case 0xD9 | 0xDA | 0xDB:
                return self._text(self._uint(1 << (head - 0xD9), path), path)
            case 0xDC | 0xDD:
                return self._array(self._uint(2 << (head - 0xDC), path), path, depth)
            case 0xDE | 0xDF:
                return self._map(self._uint(2 << (head - 0xDE), path), path, depth)
            case _:
                raise _refusal(path, "the byte 0xc1 begins no value")

    def _take(self, length: int, path: Path) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise _refusal(path, "the bytes end inside the value")
        taken = self.data[self.at : end]
        self.at = end
        return bytes(taken)

    def _uint(self, length: int, path: Path) -> int:
        return int.from_bytes(self._take(length, path), "big")

    def _safe(self, number: int, path: Path) -> int:
        if not -MAX_SAFE <= number <= MAX_SAFE:
            raise _refusal(path, "an integer outside ±(2^53 - 1)")
        return number

    def _text(self, length: int, path: Path) -> str:
        try:
            return self._take(length, path).decode()
        except UnicodeDecodeError:
            raise _refusal(path, "text that is not UTF-8") from None

    def _enter(self, path: Path, depth: int) -> None:
        if depth == MAX_DEPTH:
            raise _refusal(path, TOO_DEEP)

    def _array(self, length: int, path: Path, depth: int) -> object:
        self._enter(path, depth)
        return [self.value((path, index), depth + 1) for index in range(length)]

    def _map(self, length: int, path: Path, depth: int) -> object:
        self._enter(path, depth)
        mapping: dict[str, object] = {}
        for _ in range(length):
            if self.at < len(self.data) and not _begins_text(self.data[self.at]):
                raise _refusal(path, "a key that is not text")
            key = self.value(path, depth + 1)
            assert isinstance(key, str)
            under = (path, key)
            if key == "__proto__":
                raise _refusal(under, PROTO)
            mapping[key] = self.value(under, depth + 1)
        return mapping

    def _extension(self, length: int, path: Path, depth: int) -> object:
        code = int.from_bytes(self._take(1, path), "big", signed=True)
        body = self._take(length, path)
        try:
            if code == Extension.SET:
                return make_set(self._nested(body, path, depth, is_mapping=False))
            if code == Extension.MAPPING:
                return make_mapping(self._nested(body, path, depth, is_mapping=True))
            return leaf(code, body)
        except ValueRefused:
            raise
        except (ValueError, OverflowError) as error:
            raise _refusal(path, str(error)) from None

    def _nested(self, body: bytes, path: Path, depth: int, *, is_mapping: bool) -> list[object]:
        """The members of the array that is the body of a set or a mapping."""
        reader = StrictReader(body)
        head = reader._uint(1, path)
        if 0x90 <= head < 0xA0:
            length = head & 0x0F
        elif head in {0xDC, 0xDD}:
            length = reader._uint(2 << (head - 0xDC), path)
        else:
            raise _refusal(
                path, "a mapping is one array of keys and values" if is_mapping else "a set is one array"
            )
        self._enter(path, depth)
        members: list[object] = []
        for index in range(length):
            if not is_mapping:
                under: Path = (path, index)
            elif index % 2 == 0:
                under = path
            else:
                under = (path, members[-1])
            members.append(reader.value(under, depth + 1))
            if is_mapping and index % 2 == 0 and members[-1] == "__proto__":
                raise _refusal((path, "__proto__"), PROTO)
        if reader.at != len(body):
            raise _refusal(path, f"{len(body) - reader.at} bytes follow the value")
        return members


def _begins_text(head: int) -> bool:
    return 0xA0 <= head < 0xC0 or 0xD9 <= head <= 0xDB
