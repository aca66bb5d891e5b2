"""Frames to bytes and back (docs/protocol.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgpack

from ionbus.generated.protocol import Frame, Limits

MAX_UINT: Final = 2**53 - 1
"""The largest number, id or total on the wire: what a JavaScript number holds exactly."""

MAX_DEPTH: Final = Limits().max_frame_depth
"""Levels of arrays and maps in a frame."""

LONGEST_REASON: Final = 1_000
"""Characters of CLOSE's message: it may repeat what the other side sent, and has to fit where little is taken yet."""

_DATA: Final = int(Frame.DATA)  # to compare enum members takes longer

_SEARCHED_BYTES: Final = 65_536

_MINUS_ONE: Final = 0xFF  # to look for one byte takes a hundredth of the time of the others

_TIMESTAMPS: Final = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
"""How an extension of type -1 begins."""

_pack: Callable[[object], bytes] = msgpack.Packer(use_bin_type=True).pack


class MalformedFrame(Exception):
    """Bytes that are no frame, or a frame whose fields are not what section 3 says. The text says what and where."""


def encode_data(first_seq: int, ack: int, elements: Iterable[bytes], count: int) -> bytes:
    """A DATA frame of `count` elements that were encoded before."""
    fields = count + 3
    header = bytes((0x90 | fields,)) if fields < 16 else b"\xdc" + fields.to_bytes(2, "big")
    return b"".join((header, b"\x00", _pack(first_seq), _pack(ack), *elements))


def encode_control(kind: Frame, *fields: object) -> bytes:
    """Any other frame."""
    return _pack((int(kind), *fields))


def encode_close(code: str, message: str, options: Mapping[str, object] | None = None) -> bytes:
    """CLOSE; `options` are `final`, `over`, `retry_after` (section 9)."""
    return encode_control(Frame.CLOSE, code, message[:LONGEST_REASON], *((options,) if options else ()))


def decode_frame(frame: bytes | bytearray) -> list[Any]:
    """The frame as a list, its kind first; elements are lists whose payloads are bytes.

    Raises:
        MalformedFrame: not msgpack, cut short, too deep, or no array that starts with a kind.
    """
    try:
        decoded = msgpack.unpackb(frame, ext_hook=_refuse_extension, object_pairs_hook=_text_map)
    except MalformedFrame:
        raise
    except (ValueError, msgpack.UnpackException, RecursionError, TypeError) as error:
        raise MalformedFrame(f"not a msgpack frame: {type(error).__name__}: {error}") from None
    if (
        (len(frame) > _SEARCHED_BYTES or _MINUS_ONE in frame)
        and _may_hold_timestamp(frame, decoded)
        and _holds_timestamp(decoded)
    ):
        raise MalformedFrame("extension type -1 outside a payload")
    fields: list[Any] = decoded if type(decoded) is list else []
    kind = fields[0] if fields else None
    if type(kind) is int and kind == _DATA:  # its elements are checked one by one
        return fields
    if not is_uint(kind):
        raise MalformedFrame("a frame is an array that starts with its kind")
    if is_deeper_than(fields, MAX_DEPTH):
        raise MalformedFrame(f"nests more than {MAX_DEPTH} levels")
    return fields


def _text_map(pairs: list[tuple[object, object]]) -> dict[object, object]:
    """msgpack itself takes byte strings as keys too."""
    for key, _ in pairs:
        if type(key) is not str:
            raise MalformedFrame("a map's keys are text")
    return dict(pairs)


def _may_hold_timestamp(frame: bytes | bytearray, decoded: object) -> bool:
    """Whether to look at each value. A large payload is not searched: 200 MB would take half a second, in one turn of the event loop."""
    if len(frame) > _SEARCHED_BYTES and type(decoded) is list and len(decoded) < 16:
        payloads = sum(len(field) for field in decoded if type(field) is bytes)
        if len(frame) - payloads < _SEARCHED_BYTES:  # so little besides them that it holds few values
            return True
    return _MINUS_ONE in frame and any(frame.find(mark) >= 0 for mark in _TIMESTAMPS)


def _holds_timestamp(part: object) -> bool:
    """Whether msgpack has read what it takes for a time: that does not come to the hook for extension types."""
    if isinstance(part, (list, dict)):
        return any(map(_holds_timestamp, _items(part)))
    return isinstance(part, msgpack.Timestamp)


def _refuse_extension(code: int, data: bytes) -> object:
    raise MalformedFrame(f"extension type {code} outside a payload")


def is_uint(value: object) -> bool:
    """Whether `value` is a non-negative integer that fits (a bool is none)."""
    return type(value) is int and 0 <= value <= MAX_UINT


def is_id(value: object, size: int) -> bool:
    """Whether `value` is a byte string of `size` bytes."""
    return type(value) is bytes and len(value) == size


def is_pair(value: object) -> bool:
    """Whether `value` is a list of two uints."""
    return type(value) is list and len(value) == 2 and all(map(is_uint, value))


def uint_fields(frame: list[Any], count: int) -> list[int]:
    """The first `count` fields of a control frame, all of them uint.

    Raises:
        MalformedFrame: one is missing or is no uint.
    """
    fields = frame[1 : 1 + count]
    right = 0
    for field in fields:
        right += type(field) is int and 0 <= field <= MAX_UINT
    if right < count:
        raise MalformedFrame(f"frame kind {frame[0]} needs {count} unsigned integers")
    return fields


def close_fields(frame: list[Any]) -> tuple[str, str, dict[str, Any]]:
    """Code, message and options of CLOSE.

    Raises:
        MalformedFrame: a field is missing or of the wrong type.
    """
    if len(frame) < 3 or type(frame[1]) is not str or type(frame[2]) is not str:
        raise MalformedFrame("CLOSE needs a code and a message")
    options = frame[3] if len(frame) > 3 and frame[3] is not None else {}
    if type(options) is not dict:
        raise MalformedFrame("CLOSE: options are a map")
    return frame[1], frame[2], options


def greeting_map(frame: list[Any]) -> dict[str, Any]:
    """The map of HELLO or WELCOME.

    Raises:
        MalformedFrame: there is none.
    """
    if len(frame) < 2 or type(frame[1]) is not dict:
        raise MalformedFrame("HELLO and WELCOME hold one map")
    return frame[1]


def is_deeper_than(value: object, limit: int) -> bool:
    """Whether lists and dicts in `value` nest more than `limit` levels."""
    level = [value]
    for _ in range(limit):
        level = [item for part in level if isinstance(part, (list, dict)) for item in _items(part)]
        if not level:
            return False
    return any(isinstance(part, (list, dict)) for part in level)


def _items(part: list[object] | dict[object, object]) -> Iterable[object]:
    return part.values() if isinstance(part, dict) else part
