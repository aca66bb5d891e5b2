"""Bytes that are too many to be put together: several byte strings, one behind the other.

To join what a message of 100 MB begins with and its payload copies all of it, in one turn of the event loop, and once more for each
layer that puts something in front. Such a message is sent in parts in any case, and each part is cut from the pieces.
"""

from __future__ import annotations

from typing import overload


class Pieces:
    """See the module. It can be measured, looked at and cut like the bytes that it stands for."""

    __slots__ = ("_size", "pieces")

    def __init__(self, *pieces: Encoded) -> None:
        self.pieces: tuple[bytes, ...] = tuple(
            each for piece in pieces for each in (piece.pieces if isinstance(piece, Pieces) else (piece,))
        )
        self._size = sum(map(len, self.pieces))

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    def __getitem__(self, index: int | slice) -> int | bytes:
        if isinstance(index, slice):
            start, stop, _ = index.indices(self._size)
            return b"".join(self.cut(start, stop))
        return b"".join(self.cut(index, index + 1))[0]

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)

    def __eq__(self, other: object) -> bool:
        return bytes(self) == bytes(other) if isinstance(other, (bytes, Pieces)) else NotImplemented

    def __hash__(self) -> int:
        return hash(bytes(self))

    def cut(self, start: int, stop: int) -> list[memoryview]:
        """What is from `start` to before `stop`, not copied."""
        views: list[memoryview] = []
        for piece in self.pieces:
            size = len(piece)
            if start < size and stop > 0:
                views.append(memoryview(piece)[max(start, 0) : stop])
            start -= size
            stop -= size
        return views


Encoded = bytes | Pieces
"""Bytes, in one or several pieces."""


def cut(data: Encoded, start: int, stop: int) -> list[memoryview]:
    """A part of them, not copied."""
    return data.cut(start, stop) if isinstance(data, Pieces) else [memoryview(data)[start:stop]]
