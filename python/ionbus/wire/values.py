"""Values to bytes and back (docs/protocol.md, section 10; the table as data: schemas/values.toml).

Theory of operation. msgpack's C code does the work; what it would let through is noticed afterwards by means that run in C as
well: a search of the bytes for what only a refused or a special value can have put there (`_looks_plain`), and where that leaves
doubts, one look at the types on each level (`_is_plain`). Only what raises a suspicion is walked value by value, by `strict`: `lowered` on the way out, `StrictReader` on the
way in. Both know the path to what they refuse; both say the same as the fast way for everything that is right.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import chain, compress
from typing import Any, Final
from uuid import UUID

from msgpack import Packer, unpackb

from ionbus.generated.protocol import Limits
from ionbus.wire.extensions import MAX_SAFE, Extension, leaf, make_mapping, make_set, to_extension
from ionbus.wire.pieces import Encoded, Pieces
from ionbus.wire.strict import MAX_DEPTH, KeyedMapping, StrictReader, ValueRefused, lowered

__all__ = [
    "MAX_DEPTH",
    "MAX_SAFE",
    "Extension",
    "KeyedMapping",
    "ValueRefused",
    "decode",
    "encode",
    "encode_plain",
]

KEPT_BUFFER_BYTES: Final = 1_048_576
"""A packer that grew beyond this is not kept."""
SMALL_BYTES: Final = 1_024
"""Up to here it pays to look at the bytes, and at the values one by one."""
MAX_VALUES: Final = Limits().max_payload_values
WALKED_BYTES: Final = 65_536
"""In more bytes than these nobody looks for the place where they are no value: it may take a second a megabyte."""


def encode(value: object) -> bytes:
    """`encode_in_pieces`, put together."""
    return bytes(encode_in_pieces(value))


def encode_in_pieces(value: object) -> Encoded:
    """The bytes of one value (docs/protocol.md, section 10).

    Tuples travel as lists, enum members as their values, subclasses of `str`, `int`, `float` and `dict` as what they extend.

    Raises:
        ValueRefused: it holds text with a lone surrogate, the key `__proto__`, nesting above 64, a cycle, or what the table does
            not name.
    """
    if type(value) is bytes and len(value) > KEPT_BUFFER_BYTES:
        return Pieces(large_bin_header(len(value)), value)
    try:
        data = encode_plain(value)
    except (TypeError, ValueError, OverflowError):
        pass  # the walk finds out where and why
    else:
        if _is_plain(value, data):
            return data
    return encode_plain(lowered(value, None, 0, set()))


def decode(data: bytes) -> object:
    """The one value that `data` holds (docs/protocol.md, section 10).

    Raises:
        ValueRefused: `data` is not exactly one value of the table, or holds what a sender has to refuse.
    """
    try:
        if len(data) <= MAX_VALUES:
            value = unpackb(data, ext_hook=_from_extension, strict_map_key=True)
        else:
            value = _counted(data)
    except _NestedInExtensions:
        pass
    except _TooMany as error:
        raise ValueRefused("", str(error)) from None
    except (ValueError, RecursionError) as error:  # the strict reader finds out where and why
        if len(data) > WALKED_BYTES:
            raise ValueRefused("", f"somewhere no value: {str(error) or type(error).__name__}") from None
    else:
        if _looks_plain(data) or _is_plain(value, data):
            return value  # type: ignore[no-any-return, unused-ignore]  # msgpack has no types
    return StrictReader(data).whole()


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


def large_bin_header(size: int) -> bytes:
    """What precedes more than 65,535 bytes."""
    return b"\xc6" + size.to_bytes(4, "big")


def encode_plain(value: object) -> bytes:
    """The bytes of one value of which is known that the table has all that is in it; nobody looks for what `encode` refuses.

    Raises:
        TypeError, ValueError, OverflowError: it holds what has no bytes here, as text with a lone surrogate.
    """
    try:
        packer = _packers.packer
    except AttributeError:
        packer = _packers.packer = Packer(default=to_extension)
    data: bytes = packer.pack(value)
    if len(data) > KEPT_BUFFER_BYTES:
        del _packers.packer
    return data


_CONTAINER_HEADS: Final = bytes((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
_SPECIAL_HEADS: Final = bytes((*range(0xC4, 0xCA), 0xCF, *range(0xD3, 0xD9)))
"""With which byte strings begin, which may be keys; extensions; and integers of 64 bits."""
_PLAIN, _CONTAINER, _SPECIAL = range(3)
_KINDS: Final = bytes(
    _CONTAINER if byte in _CONTAINER_HEADS else _SPECIAL if byte in _SPECIAL_HEADS else _PLAIN
    for byte in range(256)
)
"""What a value may be that begins with a byte."""

_UNDERSCORE: Final = 0x5F

_WIDE: Final = re.compile(rb"\xcf(?!\x00[\x00-\x1f])|\xd3(?!\xff[\xe1-\xff])")
"""An integer of 64 bits whose first bytes do not show that it is within ±(2^53 - 1)."""


def _looks_plain(data: bytes) -> bool:
    """Whether these few bytes, which were unpacked with text as the only keys, can hold nothing that needs the slow way.

    False where any of them, be it within a text or a number, looks like the first byte of something special, or like more
    containers than may nest.
    """
    if len(data) > SMALL_BYTES:
        return False
    kinds = data.translate(_KINDS)
    return (
        _SPECIAL not in kinds
        and kinds.count(_CONTAINER) <= MAX_DEPTH
        and not (_UNDERSCORE in data and data.find(b"__proto__") >= 0)
    )


def _is_plain(value: object, data: bytes) -> bool:
    """Whether nothing in `value`, whose bytes are `data`, needs the slow way.

    Only types of the table, only text as keys, no integer that is too wide for msgpack's here, and no more than 64 levels. It
    goes level by level, since each step of that is a loop in C. `value` has no cycle: it was packed or unpacked before.
    """
    if type(value) is bytes:
        return True
    if _UNDERSCORE in data and data.find(b"__proto__") >= 0:
        return False
    seeks_wide = 0xCF in data or 0xD3 in data
    if len(data) <= SMALL_BYTES:
        seeks_wide = seeks_wide and _WIDE.search(data) is not None
        if not seeks_wide and _is_simple(value, MAX_DEPTH):
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


def _hook(levels: int, **hooks: Any) -> Callable[[int, bytes], object]:
    """msgpack's hook for extension types, within which sets and mappings nest `levels` deep. `hooks`: those for what is in them."""

    def from_extension(code: int, body: bytes) -> object:
        match code:
            case Extension.SET | Extension.MAPPING:
                if not levels:
                    raise _NestedInExtensions
                members = unpackb(body, ext_hook=inner, strict_map_key=True, **hooks)
                return make_set(members) if code == Extension.SET else make_mapping(members)
            case _:
                return leaf(code, body)

    inner = _hook(levels - 1, **hooks) if levels else from_extension
    return from_extension


def _counted(data: bytes) -> object:
    """`unpackb` of so much that it may hold too many values: each is 8 to 80 bytes of memory, and may be one byte here."""
    count = 0

    def counted(container: list[Any] | dict[Any, Any]) -> object:
        nonlocal count
        count += len(container)
        if count > MAX_VALUES:
            raise _TooMany(f"more than {MAX_VALUES} values")
        return container

    hooks = {"list_hook": counted, "object_hook": counted}
    bounds = {"max_array_len": MAX_VALUES, "max_map_len": MAX_VALUES}  # before anything is reserved for them
    try:
        return unpackb(data, ext_hook=_hook(2, **hooks, **bounds), strict_map_key=True, **hooks, **bounds)
    except ValueError as error:
        if str(MAX_VALUES) in str(error):  # msgpack's words for `bounds`
            raise _TooMany(f"more than {MAX_VALUES} values") from None
        raise


class _TooMany(ValueError):
    """More values than a payload may hold."""


class _NestedInExtensions(ValueError):
    """Sets and mappings within sets and mappings: for the strict reader."""


# Each call of `unpackb` takes 40 KB of the C stack, which ends without a Python exception.
_from_extension = _hook(2)
