"""A value as one text, so that two ways of reading it can be compared, whatever language each is in.

js-shim/test/fuzz/canonical.ts writes the same. What one of the languages cannot tell apart is written alike: a whole float and an
integer, bytes and a typed array of uint8, a mapping whose keys are all text and a record.
"""

from __future__ import annotations

import struct
from array import array
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack

from ionbus.wire.values import MAX_SAFE, Extension

_KINDS = "bBhHiIqQfd"


def canonical(value: object) -> str:
    """The text of a value."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case int():
            return f"#{_number(float(value))}" if -MAX_SAFE <= value <= MAX_SAFE else f"wide {value:x}"
        case float():
            return f"#{_number(value)}"
        case str():
            return f"text {value.encode().hex()}"
        case bytes():
            return f"bytes {value.hex()}"
        case datetime():
            return f"date_time {value.isoformat()}"
        case date():
            return f"date {value.isoformat()}"
        case time():
            return f"time {value.isoformat()}"
        case timedelta():
            return f"duration {(value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds}"
        case Decimal():
            return f"decimal {value}"
        case UUID():
            return f"uuid {value}"
        case array():
            kind = _KINDS.index(value.typecode)
            return f"bytes {value.tobytes().hex()}" if kind == 1 else f"typed {kind} {_elements(value)}"
        case list() | tuple():
            return f"[{', '.join(map(canonical, value))}]"
        case set() | frozenset():
            return f"set({', '.join(sorted(map(canonical, value)))})"
        case dict():
            return f"{{{', '.join(sorted(f'{canonical(key)}: {canonical(part)}' for key, part in value.items()))}}}"
    raise AssertionError(f"{type(value).__qualname__} is no value of the table")


def _number(number: float) -> str:
    return "nan" if number != number else struct.pack(">d", number).hex()


def _elements(value: array[Any]) -> str:
    """Each NaN is like any other: JavaScript does not keep them apart."""
    if value.typecode in "fd":
        return " ".join(map(_number, value))
    return str(value.tobytes().hex())


def has_twice(data: bytes) -> bool:
    """Whether a text key stands twice in a map: the last counts, and not every reader looks at the others."""
    found = False

    def pairs(items: list[tuple[object, object]]) -> None:
        nonlocal found
        found = found or len({key for key, _ in items if isinstance(key, str)}) < len(items)

    def extension(code: int, body: bytes) -> None:
        if code in (Extension.SET, Extension.MAPPING):
            read(body)

    def read(part: bytes) -> None:
        msgpack.unpackb(part, object_pairs_hook=pairs, ext_hook=extension, strict_map_key=False)

    try:
        read(data)
    except (ValueError, RecursionError):
        return True  # it is not known
    return found
