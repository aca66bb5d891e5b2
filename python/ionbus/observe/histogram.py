"""Histograms with fixed, log-spaced buckets: how long things take, or how large they are, in a few kilobytes, whatever comes.

Values are whole numbers: nanoseconds, bytes, a count. A value's bucket is its first three binary digits and how many follow, so that four
buckets are as wide as what is below them: an estimate of a quantile is at most an eighth off. No bound has to be chosen beforehand.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

BUCKETS: Final = 248
"""Enough for 63 binary digits: as nanoseconds, 292 years."""


class Histogram:
    """See the module.

    Attributes:
        counts: how many values each bucket has.
        sum: of all values.
    """

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum = 0

    def add(self, value: int) -> None:
        """Count one value; one below 0, of a clock that was set back, counts as 0."""
        if value < 4:
            if value < 0:
                value = 0
            self.counts[value] += 1
        else:
            digits = value.bit_length() - 3
            self.counts[(digits << 2) + (value >> digits)] += 1
        self.sum += value


def upper_bound(bucket: int) -> int:
    """The largest value that a bucket counts."""
    if bucket < 4:
        return bucket
    digits = (bucket >> 2) - 1
    return (((bucket & 3) + 5) << digits) - 1


_BOUNDS: Final = [upper_bound(bucket) for bucket in range(BUCKETS)]


def quantile(counts: Sequence[int], share: float) -> float:
    """Estimate the value that this share of all values does not exceed: 0.99 for p99. 0 where there are none.

    Args:
        counts: of a histogram, or the difference of two.
        share: from 0 to 1.
    """
    running = list(accumulate(counts))
    wanted = share * running[-1]
    if running[-1] == 0:
        return 0.0
    bucket = bisect_left(running, max(wanted, 1))
    before = running[bucket] - counts[bucket]
    low = 0 if bucket == 0 else _BOUNDS[bucket - 1] + 1
    within = min(1.0, max(0.0, (wanted - before) / counts[bucket]))
    return low + (_BOUNDS[bucket] - low) * within


def coarse(counts: Sequence[int], bounds: Sequence[int]) -> list[int]:
    """How many values are at most as large as each of `bounds`, which are those of buckets (`upper_bound`), rising."""
    running = list(accumulate(counts))
    return [running[bisect_left(_BOUNDS, bound)] for bound in bounds]
