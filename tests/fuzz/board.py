"""The input that is being run, in a file that outlives the process that runs it."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

LONGEST: Final = 1 << 20
_HEAD: Final = struct.Struct("<QI")


class Board:
    """A file of a count and an input.

    Args:
        path: made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_HEAD.size + LONGEST))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._count = 0

    def put(self, data: bytes) -> None:
        """An input is about to be run."""
        self._count += 1
        size = min(len(data), LONGEST)
        self._map[: _HEAD.size + size] = _HEAD.pack(self._count, size) + data[:size]

    def read(self) -> tuple[int, bytes]:
        """How many were put, and the newest."""
        count, size = _HEAD.unpack_from(self._map)
        return count, self._map[_HEAD.size : _HEAD.size + size]

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
