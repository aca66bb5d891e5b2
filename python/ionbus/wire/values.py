"""Values to bytes and back (docs/protocol.md, section 10; the table as data: schemas/values.toml).

Theory of operation. msgpack's C code does the work; what it would let through is noticed afterwards by means that run in C as
well (`_is_plain`): one look at the types on each level, and a search of the bytes for what only a refused or a special value can
have put there. Only what raises a suspicion is walked value by value: `_lowered` on the way out, `_StrictReader` on the way
in. Both know the path to what they refuse; both say the same as the fast way for everything that is right.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import threading
from array import array
from collections import Counter, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum, IntEnum
from itertools import chain, compress
from typing import Any, Final
from uuid import UUID

from msgpack import ExtType, Packer, packb, unpackb

from ionbus.generated.protocol import Limits

__all__ = ["Extension", "KeyedMapping", "ValueRefused", "decode", "encode"]

MAX_DEPTH: Final = Limits().max_payload_depth
MAX_SAFE: Final = 2**53 - 1
KEPT_BUFFER_BYTES: Final = 1_048_576
"""A packer that grew beyond this is not kept."""
SMALL_BYTES: Final = 1_024
MAX_NUMBER_BYTES: Final = 1_024
"""Of an integer and of a decimal's text: what is done with a number soon costs the square of its length, or 10 to its exponent."""
MAX_SAME_HASH: Final = 256
"""Members of a set, or keys of a mapping, with one hash: looking each of them up goes through all of the others."""


class Extension(IntEnum):
    """msgpack's extension types, by the value that each carries."""

    DATE_TIME = 1
    DATE = 2
    TIME = 3
    DURATION = 4
    INTEGER = 5
    DECIMAL = 6
    UUID = 7
    SET = 8
    MAPPING = 9
    TYPED_ARRAY = 10


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


def encode(value: object) -> bytes:
    """The bytes of one value (docs/protocol.md, section 10).

    Tuples travel as lists, enum members as their values, subclasses of `str`, `int`, `float` and `dict` as what they extend.

    Raises:
        ValueRefused: it holds text with a lone surrogate, the key `__proto__`, nesting above 64, a cycle, or what the table does
            not name.
    """
    try:
        data = _packed(value)
    except (TypeError, ValueError, OverflowError):
        pass  # the walk finds out where and why
    else:
        if _is_plain(value, data):
            return data
    return _packed(_lowered(value, None, 0, set()))


def decode(data: bytes) -> object:
    """The one value that `data` holds (docs/protocol.md, section 10).

    Raises:
        ValueRefused: `data` is not exactly one value of the table, or holds what a sender has to refuse.
    """
    try:
        value = unpackb(data, ext_hook=_from_extension, strict_map_key=True)
    except (ValueError, RecursionError):
        pass  # the strict reader finds out where and why
    else:
        if _is_plain(value, data):
            return value  # type: ignore[no-any-return, unused-ignore]  # msgpack has no types
    reader = _StrictReader(data)
    value = reader.value(None, 0)
    if reader.at != len(data):
        raise ValueRefused("", f"{len(data) - reader.at} bytes follow the value")
    return value


# --- the fast way -------------------------------------------------------------------------------------------

_LEAVES: Final = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        bytearray,
        datetime,
        date,
        time,
        timedelta,
        Decimal,
        UUID,
        array,
    }
)
_LEAF_CLASSES: Final = (str, int, float, Enum, datetime, date, time, timedelta, Decimal, UUID, *_LEAVES)
_CONTAINERS: Final = frozenset({dict, list, tuple, set, frozenset})
_WITHOUT_INT: Final = (_LEAVES | _CONTAINERS) - {int}

_packers = threading.local()  # a packer's buffer is not to be shared: handlers run on threads too


def _packed(value: object) -> bytes:
    try:
        packer = _packers.packer
    except AttributeError:
        packer = _packers.packer = Packer(default=_to_extension)
    data: bytes = packer.pack(value)
    if len(data) > KEPT_BUFFER_BYTES:
        del _packers.packer
    return data


def _is_plain(value: object, data: bytes) -> bool:
    """Whether nothing in `value`, whose bytes are `data`, needs the slow way.

    Only types of the table, only text as keys, no integer that is too wide for msgpack's here, and no more than 64 levels. It
    goes level by level, since each step of that is a loop in C. `value` has no cycle: it was packed or unpacked before.
    """
    if b"__proto__" in data:
        return False
    seeks_wide = b"\xcf" in data or b"\xd3" in data
    if len(data) < SMALL_BYTES and not seeks_wide and _is_simple(value, MAX_DEPTH):
        return True
    level: list[Any] = [value]
    if type(value) in _LEAVES:
        return not seeks_wide or _are_safe(level, {type(value)})
    for _ in range(MAX_DEPTH):
        members = _members(level)
        if members is None:
            return False
        kinds = set(map(type, members))
        if seeks_wide and not _are_safe(members, kinds):
            return False
        if kinds <= _LEAVES:
            return True
        kinds -= _LEAVES
        if not kinds <= _CONTAINERS and not all(
            issubclass(kind, _LEAF_CLASSES) for kind in kinds - _CONTAINERS
        ):
            return False
        level = list(compress(members, map(_CONTAINERS.__contains__, map(type, members))))
        if not level:
            return True
    return False


def _is_simple(value: object, levels: int) -> bool:
    """The common case of `_is_plain`, quicker than it for small values."""
    kind = type(value)
    if kind is dict:
        if not levels:
            return False
        for key, member in value.items():  # type: ignore[attr-defined]  # mypy does not narrow by `kind`
            if type(key) is not str or (type(member) not in _LEAVES and not _is_simple(member, levels - 1)):
                return False
        return True
    if kind is list:
        if not levels:
            return False
        for member in value:  # type: ignore[attr-defined]
            if type(member) not in _LEAVES and not _is_simple(member, levels - 1):
                return False
        return True
    return kind in _LEAVES


def _members(level: list[Any]) -> list[object] | None:
    """What is in the containers of one level; None where one is no container of the table or has a key that is no text."""
    kinds = set(map(type, level))
    if not kinds <= _CONTAINERS:
        return None
    if dict not in kinds:
        return list(chain.from_iterable(level))
    dicts = level if len(kinds) == 1 else [container for container in level if type(container) is dict]
    try:
        "".join(chain.from_iterable(dicts))
    except TypeError:
        return None
    members = list(chain.from_iterable(map(dict.values, dicts)))
    if len(kinds) > 1:
        members.extend(chain.from_iterable(container for container in level if type(container) is not dict))
    return members


def _are_safe(members: list[Any], kinds: set[type]) -> bool:
    """Whether every integer among `members`, which are of `kinds`, is within ±(2^53 - 1)."""
    if kinds <= _WITHOUT_INT:
        return True
    if len(kinds) == 1 and int in kinds:
        return bool(min(members) >= -MAX_SAFE and max(members) <= MAX_SAFE)
    return not any(isinstance(member, int) and not -MAX_SAFE <= member <= MAX_SAFE for member in members)


def _to_extension(value: object) -> object:
    """msgpack's hook for what it does not know; an integer beyond 64 bits comes here as well."""
    match value:
        case datetime():
            return ExtType(
                Extension.DATE_TIME, _text_with_offset(datetime.isoformat(value), value.utcoffset())
            )
        case date():
            return ExtType(Extension.DATE, date.isoformat(value).encode())
        case time():
            return ExtType(Extension.TIME, _text_with_offset(time.isoformat(value), value.utcoffset()))
        case timedelta():
            microseconds = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
            if not -(2**63) <= microseconds < 2**63:
                raise ValueError("a duration beyond 64 bits of microseconds")
            return ExtType(Extension.DURATION, microseconds.to_bytes(8, "big", signed=True))
        case int():
            length = (value + (value < 0)).bit_length() // 8 + 1
            if length > MAX_NUMBER_BYTES:
                raise ValueError(_LONG_INTEGER)
            return ExtType(Extension.INTEGER, int(value).to_bytes(length, "big", signed=True))
        case Decimal():
            text = Decimal.__str__(value)
            if len(text) > MAX_NUMBER_BYTES or _DECIMAL.fullmatch(text) is None:
                raise ValueError(_LONG_DECIMAL)
            return ExtType(Extension.DECIMAL, text.encode())
        case UUID():
            return ExtType(Extension.UUID, value.bytes)
        case set() | frozenset():
            return ExtType(Extension.SET, packb(list(value), default=_to_extension))
        case array():
            return ExtType(Extension.TYPED_ARRAY, _typed_array_body(value))
        case Enum():
            return value.value
        case _:
            raise TypeError(f"no value of the wire: {type(value).__qualname__}")


def _hook(levels: int) -> Callable[[int, bytes], object]:
    """msgpack's hook for extension types, within which sets and mappings nest `levels` deep."""

    def from_extension(code: int, body: bytes) -> object:
        match code:
            case Extension.SET | Extension.MAPPING:
                if not levels:
                    raise ValueError("for the strict reader")
                members = unpackb(body, ext_hook=inner, strict_map_key=True)
                return _set(members) if code == Extension.SET else _mapping(members)
            case _:
                return _leaf(code, body)

    inner = _hook(levels - 1) if levels else from_extension
    return from_extension


# Each call of `unpackb` takes 40 KB of the C stack, which ends without a Python exception.
_from_extension = _hook(2)


# --- the table's rows, both directions ----------------------------------------------------------------------

_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(_CLOCK + _OFFSET)
_DATE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T" + _CLOCK + _OFFSET)
_DECIMAL: Final = re.compile(
    r"-?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:E[+-]?[0-9]{1,4})?|Infinity|s?NaN[0-9]*)",
)
_LONG_INTEGER: Final = f"an integer of more than {MAX_NUMBER_BYTES} bytes"
_LONG_DECIMAL: Final = (
    f"a decimal of more than {MAX_NUMBER_BYTES} characters, or with an exponent beyond ±9999"
)
_ELEMENTS: Final = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "float64",
)
_ELEMENT_BYTES: Final = (1, 1, 2, 2, 4, 4, 8, 8, 4, 8)
_CODE_OF_TYPECODE: Final = {
    **{code: (0, 2, 4, 6)[(1, 2, 4, 8).index(array(code).itemsize)] for code in "bhilq"},
    **{code: (1, 3, 5, 7)[(1, 2, 4, 8).index(array(code).itemsize)] for code in "BHILQ"},
    "f": 8,
    "d": 9,
}
_TYPECODE_OF_CODE: Final = "bBhHiIqQfd"


def _text_with_offset(text: str, offset: timedelta | None) -> bytes:
    if offset is not None and (offset.seconds % 60 or offset.microseconds):
        raise ValueError("its offset from UTC is not a whole number of minutes")
    return text.encode()


def _typed_array_body(value: array[int] | array[float]) -> bytes:
    code = _CODE_OF_TYPECODE.get(value.typecode)
    if code is None:
        raise TypeError(f"an array of type code {value.typecode!r} is no value of the wire")
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    return bytes((code,)) + value.tobytes()


def _leaf(code: int, body: bytes) -> object:
    """The value of an extension that holds no others; ValueError where it is none."""
    match code:
        case Extension.DATE_TIME:
            return _parsed(datetime.fromisoformat, _DATE_TIME, body, "a date and time")
        case Extension.DATE:
            return _parsed(date.fromisoformat, _DATE, body, "a date")
        case Extension.TIME:
            return _parsed(time.fromisoformat, _TIME, body, "a time of day")
        case Extension.DURATION:
            if len(body) != 8:
                raise ValueError(f"a duration has 8 bytes, not {len(body)}")
            return timedelta(microseconds=int.from_bytes(body, "big", signed=True))
        case Extension.INTEGER:
            if len(body) > MAX_NUMBER_BYTES:
                raise ValueError(_LONG_INTEGER)
            number = int.from_bytes(body, "big", signed=True)
            if -MAX_SAFE <= number <= MAX_SAFE or len(body) != (number + (number < 0)).bit_length() // 8 + 1:
                raise ValueError("an integer in a longer form than it needs")
            return number
        case Extension.DECIMAL:
            if len(body) > MAX_NUMBER_BYTES:
                raise ValueError(_LONG_DECIMAL)
            return _parsed(Decimal, _DECIMAL, body, "a decimal")
        case Extension.UUID:
            if len(body) != 16:
                raise ValueError(f"a UUID has 16 bytes, not {len(body)}")
            return UUID(bytes=bytes(body))
        case Extension.TYPED_ARRAY:
            kind = body[0] if body else len(_ELEMENTS)
            if kind >= len(_ELEMENTS) or (len(body) - 1) % _ELEMENT_BYTES[kind]:
                raise ValueError("not a typed array")
            elements: array[int] | array[float] = array(_TYPECODE_OF_CODE[kind])
            elements.frombytes(memoryview(body)[1:])
            if sys.byteorder == "big":
                elements.byteswap()
            return elements
        case _:
            raise ValueError(f"extension type {code} is unknown")


def _parsed(parse: Callable[[str], object], pattern: re.Pattern[str], body: bytes, name: str) -> object:
    text = body.decode("latin-1")
    try:
        if pattern.fullmatch(text) is not None:  # `parse` takes more than the wire allows
            return parse(text)
    except (ValueError, InvalidOperation):
        pass
    raise ValueError(f"not {name}")


def _set(members: object) -> object:
    if type(members) is not list:
        raise ValueError("a set is one array")
    distinct = set(_hashables(members))
    if len(distinct) != len(members):
        raise ValueError("two members of the set are equal")
    return distinct


def _mapping(entries: object) -> object:
    if type(entries) is not list or len(entries) % 2:
        raise ValueError("a mapping is one array of keys and values")
    mapping = dict(zip(_hashables(entries[::2]), entries[1::2], strict=True))
    if len(mapping) * 2 != len(entries):
        raise ValueError("two keys of the mapping are equal")
    return mapping


def _hashables(members: list[object]) -> list[object]:
    """All members of a set, or keys of a mapping. Hashes of numbers are no secret: who knows them can make them collide."""
    made = list(map(_hashable, members))
    if len(made) > MAX_SAME_HASH and max(Counter(map(hash, made)).values()) > MAX_SAME_HASH:
        raise ValueError(f"more than {MAX_SAME_HASH} members or keys have the same hash")
    return made


def _hashable(member: object) -> object:
    """A set's member or a mapping's key: a list becomes a tuple again, a set a frozenset."""
    match member:
        case list():
            return tuple(map(_hashable, member))
        case set():
            return frozenset(member)
        case dict() | array():
            raise ValueError(
                f"a {type(member).__name__} can be neither a member of a set nor a key in Python"
            )
        case Decimal() if member.is_snan():
            raise ValueError("a signaling NaN can be neither a member of a set nor a key in Python")
        case _:
            return member


# --- the way that knows where it is -------------------------------------------------------------------------

Path = tuple["Path", str] | None
"""Segments from the innermost outwards."""

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def _rendered(path: Path) -> str:
    segments: list[str] = []
    while path is not None:
        path, segment = path
        segments.append(segment)
    return "".join(reversed(segments)).removeprefix(".")


def _under_key(path: Path, key: object) -> Path:
    if isinstance(key, str):
        if _PLAIN_KEY.fullmatch(key):
            return path, f".{key}"
        return path, f"[{json.dumps(key, ensure_ascii=False).encode('utf-8', 'backslashreplace').decode()}]"
    return path, f"[{key}]" if type(key) is int else "[key]"


def _refusal(path: Path, problem: str) -> ValueRefused:
    return ValueRefused(_rendered(path), problem)


PROTO: Final = "the key `__proto__` is not allowed"
TOO_DEEP: Final = f"nested more than {MAX_DEPTH} deep"


def _lowered(value: object, path: Path, depth: int, open_ids: set[int]) -> object:
    """`value` with everything in it replaced by what msgpack writes as the table says."""
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
            lowered = _lowered_container(value, path, depth + 1, open_ids)
            open_ids.discard(id(value))
            return lowered
        case _:
            try:
                return _to_extension(value)
            except TypeError:
                raise _refusal(path, f"{type(value).__qualname__} is not a value that travels") from None
            except ValueError as error:
                raise _refusal(path, str(error)) from None


def _lowered_container(value: object, path: Path, depth: int, open_ids: set[int]) -> object:
    if not isinstance(value, (dict, KeyedMapping)):
        assert isinstance(value, (list, tuple, set, frozenset, deque))
        members = [
            _lowered(member, (path, f"[{index}]"), depth, open_ids) for index, member in enumerate(value)
        ]
        return ExtType(Extension.SET, _packed(members)) if isinstance(value, (set, frozenset)) else members
    entries = []
    is_keyed = isinstance(value, KeyedMapping)
    for named, member in (value.entries if isinstance(value, KeyedMapping) else value).items():
        key = named
        while isinstance(key, Enum):
            key = key.value
        under = _under_key(path, key)
        if key == "__proto__":
            raise _refusal(under, PROTO)
        entries.append((_lowered(key, under, depth, open_ids), _lowered(member, under, depth, open_ids)))
    if not is_keyed and all(isinstance(key, str) for key, _ in entries):
        mapping = dict(entries)
        if len(mapping) != len(entries):
            raise _refusal(path, "two keys are equal")
        return mapping
    return ExtType(Extension.MAPPING, _packed([part for entry in entries for part in entry]))


def _begins_text(head: int) -> bool:
    return 0xA0 <= head < 0xC0 or 0xD9 <= head <= 0xDB


class _StrictReader:
    """Reads one value byte by byte and says where it refuses."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def value(self, path: Path, depth: int) -> object:
        head = self._uint(1, path)
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
        return [self.value((path, f"[{index}]"), depth + 1) for index in range(length)]

    def _map(self, length: int, path: Path, depth: int) -> object:
        self._enter(path, depth)
        mapping: dict[str, object] = {}
        for _ in range(length):
            if self.at < len(self.data) and not _begins_text(self.data[self.at]):
                raise _refusal(path, "a key that is not text")
            key = self.value(path, depth + 1)
            assert isinstance(key, str)
            under = _under_key(path, key)
            if key == "__proto__":
                raise _refusal(under, PROTO)
            mapping[key] = self.value(under, depth + 1)
        return mapping

    def _extension(self, length: int, path: Path, depth: int) -> object:
        code = int.from_bytes(self._take(1, path), "big", signed=True)
        body = self._take(length, path)
        try:
            if code == Extension.SET:
                return _set(self._nested(body, path, depth, is_mapping=False))
            if code == Extension.MAPPING:
                return _mapping(self._nested(body, path, depth, is_mapping=True))
            return _leaf(code, body)
        except ValueRefused:
            raise
        except (ValueError, OverflowError) as error:
            raise _refusal(path, str(error)) from None

    def _nested(self, body: bytes, path: Path, depth: int, *, is_mapping: bool) -> list[object]:
        """The members of the array that is the body of a set or a mapping."""
        reader = _StrictReader(body)
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
                under: Path = (path, f"[{index}]")
            elif index % 2 == 0:
                under = path
            else:
                under = _under_key(path, members[-1])
            members.append(reader.value(under, depth + 1))
            if is_mapping and index % 2 == 0 and members[-1] == "__proto__":
                raise _refusal(_under_key(path, "__proto__"), PROTO)
        if reader.at != len(body):
            raise _refusal(path, f"{len(body) - reader.at} bytes follow the value")
        return members
