"""New inputs from old ones, from a seed: the same seed gives the same inputs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

TOKENS: Final = tuple(
    bytes.fromhex(token)
    for token in (
        "00", "7f", "80", "81", "8f", "90", "91", "9f", "a0", "a1", "bf", "c0", "c1", "c2", "c3", "e0", "ff",
        "c400", "c4ff", "c5ffff", "c6ffffffff", "c70001", "c7ff05", "c8ffff08", "c9ffffffff09", "ca7fc00000",
        "cb7ff8000000000000", "ccff", "cdffff", "ceffffffff", "cfffffffffffffffff", "cf0020000000000000",
        "d080", "d18000", "d280000000", "d38000000000000000", "d40400", "d50501", "d608", "d6ff00000001", "d709",
        "d807", "d90161", "da0000", "dbffffffff", "dc0000", "dc0010", "ddffffffff", "de0001", "dfffffffff",
        "a95f5f70726f746f5f5f", "edbfbf", "0000000502", "00100005", "ffffffff", "7fffffff",
    )
)  # fmt: skip
"""Heads of msgpack and of records, lying lengths, numbers at an edge."""

POOL: Final = 2_000
"""Inputs that are kept because their outcome was new; beyond it new ones take the place of old ones."""


class Mutator:
    """Makes inputs.

    Args:
        source: where its decisions come from.
        seeds: inputs to begin with; none: inputs are decisions, and begin as random bytes.
        longest: about how long an input may become.
    """

    def __init__(self, source: random.Random, seeds: Sequence[bytes], longest: int) -> None:
        self._random = source
        self._pool = list(seeds)
        self._is_free = not seeds
        self._longest = longest

    def keep(self, data: bytes) -> None:
        """Something new came of this input: go on from it, too."""
        if len(self._pool) < POOL:
            self._pool.append(data)
        else:
            self._pool[self._random.randrange(len(self._pool))] = data

    def next(self) -> bytes:
        """One more input."""
        source = self._random
        if not self._pool or (self._is_free and source.random() < 0.5):
            length = int(source.random() ** 2 * self._longest) + 1
            return source.randbytes(length)
        data = bytearray(source.choice(self._pool))
        for _ in range(1 + int(-2.0 * _log2(source.random()))):
            self._change(data)
        return bytes(data[: self._longest])

    def _change(self, data: bytearray) -> None:
        source = self._random
        at = int(source.random() * (len(data) + 1))
        match int(source.random() * 10):
            case 0 | 1 if at < len(data):
                data[at] ^= 1 << int(source.random() * 8)
            case 2 if at < len(data):
                data[at] = int(source.random() * 256)
            case 3:
                del data[at : at + self._span(data)]
            case 4:
                data[at:at] = source.choice(TOKENS)
            case 5:
                token = source.choice(TOKENS)
                data[at : at + len(token)] = token
            case 6:
                data[at:at] = data[at : at + self._span(data)]
            case 7:
                other = source.choice(self._pool)
                begin = int(source.random() * (len(other) + 1))
                data[at:] = other[begin:]
            case 8:
                other = source.choice(self._pool)
                begin = int(source.random() * (len(other) + 1))
                data[at:at] = other[begin : begin + 32]
            case _:
                data[at:at] = source.randbytes(1 + int(source.random() * 4))

    def _span(self, data: bytearray) -> int:
        return 1 + int(self._random.random() ** 3 * len(data))


def _log2(number: float) -> float:
    """A rough logarithm, of (0, 1]: quick, and the same everywhere."""
    steps = 0
    while number < 0.5 and steps < 8:
        number *= 2
        steps += 1
    return -steps / 2.0
