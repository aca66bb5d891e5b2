"""What our channels know of WebSocket frames themselves; websockets knows the rest (RFC 6455, section 5.2).

Nearly every read is one small message in one frame, and nearly every write is one. websockets takes eight microseconds for the two,
since it reads each field by a coroutine of its own and makes an object for each frame.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # websockets without its C extension does the same
    from websockets.utils import apply_mask

__all__ = ["header", "masked_size", "whole_message"]

_BINARY: Final = 0x80 | Opcode.BINARY
"""The first byte of a binary message that is one frame."""
_MASKED: Final = 0x80
_IN_16_BITS: Final = 126
_IN_64_BITS: Final = 127
"""In the place of a length: how the length follows."""

_HEADER_16: Final = Struct("!BBH").pack
_HEADER_64: Final = Struct("!BBQ").pack


def header(size: int) -> bytes:
    """What a server puts in front of a binary message of so many bytes."""
    if size < _IN_16_BITS:
        return bytes((_BINARY, size))
    if size < 65_536:
        return _HEADER_16(_BINARY, _IN_16_BITS, size)
    return _HEADER_64(_BINARY, _IN_64_BITS, size)


def masked_size(size: int) -> int:
    """How many bytes a client's frame of so many takes at least."""
    return size + (6 if size < _IN_16_BITS else 8 if size < 65_536 else 14)


def whole_message(data: bytes, most: int) -> bytes | None:
    """The message of a client's frame, where `data` is one frame and that one message; None for all else, whatever is wrong with it.

    Args:
        data: what was read, from the beginning of a frame on.
        most: bytes of a message that are taken.
    """
    size = len(data) - 6
    if size < 0 or data[0] != _BINARY:
        return None
    told = data[1] - _MASKED
    start = 6
    if told == _IN_16_BITS and size >= 2:
        size -= 2
        start = 8
        told = data[2] << 8 | data[3]
    elif told >= _IN_16_BITS:
        return None
    if told != size or size > most:
        return None
    return apply_mask(data[start:], data[start - 4 : start])
