"""Decisions read from bytes: whatever makes, mutates, minimises or keeps bytes does so with decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

EDGES: Final = (
    *(0, 1, 2, 3, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 257, 1_000, 1_001, 4_096, 65_535, 65_536, 65_537),
    *(262_144, 262_145, 1_048_576, 16_777_216, 268_435_456, 268_435_457, 2**31 - 1, 2**31, 2**32 - 1, 2**32),
    *(2**53 - 2, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -1, -2, -32, -33, -(2**31), -(2**53), -(2**63)),
)  # fmt: skip
"""Integers at which something changes: a form of msgpack's, a limit of ours, what a language can hold."""


class Choices:
    """Reads one decision after the other. Behind the last byte every decision is the first option, so that everything ends."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to decide."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """0 to 255."""
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, count: int) -> int:
        """0 to `count` - 1."""
        if count <= 256:
            return self.byte() % count
        return (self.byte() << 16 | self.byte() << 8 | self.byte()) % count

    def one_in(self, count: int) -> bool:
        """True about once in `count` times; never behind the last byte."""
        return self.byte() % count == count - 1

    def pick(self, options: Sequence[T]) -> T:
        """One of several."""
        return options[self.below(len(options))]

    def blob(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end."""
        at = self._at
        self._at = at + count
        return self._data[at : at + count]

    def number(self, *near: int) -> int:
        """An integer: one of `near` or beside it, small, or one of `EDGES`."""
        kind = self.byte()
        if near and kind < 160:
            return self.pick(near) + (0, 0, 0, 0, 0, 1, -1, 2)[kind & 7]
        if kind < 200:
            return self.below(8)
        return self.pick(EDGES)

    def text(self) -> str:
        """A short text, or a long one, or an odd one."""
        match self.below(8):
            case 0:
                return ""
            case 1:
                return "x" * self.pick((1, 31, 32, 255, 256, 5_000))
            case 2:
                return "é" * self.pick((1, 127, 128, 200))
            case 3:
                return "\x00\U0010ffff\n\u2028"
            case _:
                return self.blob(self.below(12)).decode("latin-1")

    def anything(self, depth: int = 0) -> Any:
        """Any value that fits where nothing like it belongs."""
        match self.below(12 if depth < 12 else 9):
            case 0:
                return None
            case 1:
                return self.one_in(2)
            case 2 | 3 | 4:
                return self.number()
            case 5:
                return (0.0, -0.0, 1.5, float("inf"), float("nan"), 1e300)[self.below(6)]
            case 6 | 7:
                return self.text()
            case 8:
                return self.blob(self.below(20))
            case 9 | 10:
                return [self.anything(depth + 1) for _ in range(self.below(5))]
            case _:
                return {self.text(): self.anything(depth + 1) for _ in range(self.below(4))}
