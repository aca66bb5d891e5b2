"""msgpack's extension types: the table's rows that msgpack lacks, both directions (docs/protocol.md, section 10)."""

from __future__ import annotations

import re
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum, IntEnum
from functools import partial
from typing import Final
from uuid import UUID

from msgpack import ExtType, packb

MAX_SAFE: Final = 2**53 - 1
MAX_NUMBER_BYTES: Final = 1_024
"""Of an integer and of a decimal's text: what is done with a number soon costs the square of its length, or 10 to its exponent."""
MAX_SAME_HASH: Final = 256
"""Members of a set, or keys of a mapping, with one hash: looking each of them up goes through all of the others."""
SAME_HASH: Final = f"more than {MAX_SAME_HASH} members or keys have the same hash"
LONG_INTEGER: Final = f"an integer of more than {MAX_NUMBER_BYTES} bytes"
LONG_DECIMAL: Final = (
    f"a decimal of more than {MAX_NUMBER_BYTES} characters, or with an exponent beyond ±9999"
)


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


def to_extension(value: object) -> object:
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
                raise ValueError(LONG_INTEGER)
            return ExtType(Extension.INTEGER, int(value).to_bytes(length, "big", signed=True))
        case Decimal():
            text = Decimal.__str__(value)
            if len(text) > MAX_NUMBER_BYTES or _DECIMAL.fullmatch(text) is None:
                raise ValueError(LONG_DECIMAL)
            return ExtType(Extension.DECIMAL, text.encode())
        case UUID():
            return ExtType(Extension.UUID, value.bytes)
        case set() | frozenset():
            return ExtType(Extension.SET, packb(list(value), default=to_extension))
        case array():
            return ExtType(Extension.TYPED_ARRAY, _typed_array_body(value))
        case Enum():
            return value.value
        case _:
            raise TypeError(f"no value of the wire: {type(value).__qualname__}")


_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?"
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(_CLOCK + _OFFSET)
_DATE_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T" + _CLOCK + _OFFSET)
_DECIMAL: Final = re.compile(
    r"-?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:E[+-]?[0-9]{1,4})?|Infinity|s?NaN[0-9]*)",
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


def leaf(code: int, body: bytes) -> object:
    """The value of an extension that holds no others.

    Raises:
        ValueError: it is none.
    """
    read = _READ.get(code)
    if read is None:
        raise ValueError(f"extension type {code} is unknown")
    return read(body)


def _duration(body: bytes) -> timedelta:
    if len(body) != 8:
        raise ValueError(f"a duration has 8 bytes, not {len(body)}")
    return timedelta(microseconds=int.from_bytes(body, "big", signed=True))


def _integer(body: bytes) -> int:
    if len(body) > MAX_NUMBER_BYTES:
        raise ValueError(LONG_INTEGER)
    number = int.from_bytes(body, "big", signed=True)
    if -MAX_SAFE <= number <= MAX_SAFE or len(body) != (number + (number < 0)).bit_length() // 8 + 1:
        raise ValueError("an integer in a longer form than it needs")
    return number


def _decimal(body: bytes) -> object:
    if len(body) > MAX_NUMBER_BYTES:
        raise ValueError(LONG_DECIMAL)
    return _parsed(Decimal, _DECIMAL, "a decimal", body)


def _uuid(body: bytes) -> UUID:
    if len(body) != 16:
        raise ValueError(f"a UUID has 16 bytes, not {len(body)}")
    return UUID(bytes=bytes(body))


def _typed_array(body: bytes) -> object:
    kind = body[0] if body else len(_ELEMENT_BYTES)
    if kind >= len(_ELEMENT_BYTES) or (len(body) - 1) % _ELEMENT_BYTES[kind]:
        raise ValueError("not a typed array")
    elements: array[int] | array[float] = array(_TYPECODE_OF_CODE[kind], body[1:])
    if sys.byteorder == "big":
        elements.byteswap()
    return elements


def _parsed(parse: Callable[[str], object], pattern: re.Pattern[str], name: str, body: bytes) -> object:
    text = body.decode("latin-1")
    try:
        if pattern.fullmatch(text) is not None:  # `parse` takes more than the wire allows
            return parse(text)
    except (ValueError, InvalidOperation):
        pass
    raise ValueError(f"not {name}")


_READ: Final[dict[int, Callable[[bytes], object]]] = {
    Extension.DATE_TIME: partial(_parsed, datetime.fromisoformat, _DATE_TIME, "a date and time"),
    Extension.DATE: partial(_parsed, date.fromisoformat, _DATE, "a date"),
    Extension.TIME: partial(_parsed, time.fromisoformat, _TIME, "a time of day"),
    Extension.DURATION: _duration,
    Extension.INTEGER: _integer,
    Extension.DECIMAL: _decimal,
    Extension.UUID: _uuid,
    Extension.TYPED_ARRAY: _typed_array,
}


def make_set(members: object) -> object:
    """A set from what was read of its body; ValueError where it can be none."""
    if type(members) is not list:
        raise ValueError("a set is one array")
    distinct = set(_hashables(members))
    if len(distinct) != len(members):
        raise ValueError("two members of the set are equal")
    return distinct


def make_mapping(entries: object) -> object:
    """A mapping with any keys from what was read of its body; ValueError where it can be none."""
    if type(entries) is not list or len(entries) % 2:
        raise ValueError("a mapping is one array of keys and values")
    mapping = dict(zip(_hashables(entries[::2]), entries[1::2], strict=True))
    if len(mapping) * 2 != len(entries):
        raise ValueError("two keys of the mapping are equal")
    return mapping


def _hashables(members: list[object]) -> list[object]:
    """All members of a set, or keys of a mapping, as such."""
    made = list(map(_hashable, members))
    if len(made) > MAX_SAME_HASH and have_same_hash(map(hash, made)):
        raise ValueError(SAME_HASH)
    return made


def have_same_hash(hashes: Iterable[int]) -> bool:
    """Whether too many are the same: hashes of numbers are no secret, so that whoever chooses the numbers can make them collide."""
    return max(Counter(hashes).values(), default=0) > MAX_SAME_HASH


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
