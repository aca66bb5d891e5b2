"""Random numbers from a text: the same in Python and in TypeScript, in every version of either, today and in ten years."""

from __future__ import annotations

from typing import Final

_MASK: Final = 0xFFFFFFFF
_FNV_OFFSET: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193
_GOLDEN: Final = 0x9E3779B9


class Dice:
    """SplitMix with 32 bits (the finaliser is that of lowbias32), which begins at the FNV-1a hash of a text.

    Good enough to spread faults over frames; no secret depends on it.

    Args:
        text: what it begins with: other texts, other numbers.
    """

    def __init__(self, text: str) -> None:
        state = _FNV_OFFSET
        for byte in text.encode():
            state = (state ^ byte) * _FNV_PRIME & _MASK
        self._state = state

    def random(self) -> float:
        """The next number, from 0 to below 1."""
        self._state = (self._state + _GOLDEN) & _MASK
        mixed = self._state
        mixed = (mixed ^ mixed >> 16) * 0x21F0AAAD & _MASK
        mixed = (mixed ^ mixed >> 15) * 0x735A2D97 & _MASK
        return (mixed ^ mixed >> 15) / 0x1_0000_0000
