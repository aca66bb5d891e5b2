"""Metrics as plain data: what `broker.metrics()` and `bus.metrics()` give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ionbus.observe.histogram import coarse, quantile
from ionbus.observe.table import METRICS

_SECONDS: Final = tuple(2**power - 1 for power in range(10, 36))
"""Bounds that times are shown by, in nanoseconds: 1 microsecond to 34 seconds."""

_COUNTS: Final = tuple(2**power - 1 for power in range(1, 17))


@dataclass(frozen=True, slots=True)
class Number:
    """The value of a counter or gauge.

    Attributes:
        name: of the metric (docs/observability.md).
        labels: what tells it from others of that name.
        value: in the metric's unit.
    """

    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values that a histogram has counted.

    Attributes:
        name: of the metric (docs/observability.md).
        labels: what tells it from others of that name.
        count: how many values.
        sum: of all of them, in the metric's unit.
        p50: the median: an estimate, at most an eighth off, as are the other two.
        p90: what nine of ten do not exceed.
        p99: what 99 of 100 do not exceed.
        buckets: bounds, rising, each with how many values are at most as large; larger ones are in `count` alone.
    """

    name: str
    labels: dict[str, str]
    count: int
    sum: float
    p50: float
    p90: float
    p99: float
    buckets: list[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was counted until now.

    Attributes:
        numbers: counters and gauges.
        distributions: histograms.
    """

    numbers: list[Number] = field(default_factory=list)
    distributions: list[Distribution] = field(default_factory=list)

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's values with these labels, whatever their others: `metrics.value("ionbus_sessions")`.

        Raises:
            KeyError: no metric has this name.
        """
        _ = METRICS[name]
        return sum(each.value for each in self.numbers if each.name == name and _has(each.labels, labels))

    def distribution(self, name: str, **labels: str) -> Distribution | None:
        """The first of a metric's distributions with these labels; None where nothing was counted yet.

        Raises:
            KeyError: no metric has this name.
        """
        _ = METRICS[name]
        found = (each for each in self.distributions if each.name == name and _has(each.labels, labels))
        return next(found, None)

    def add(self, name: str, value: float, **labels: str) -> None:
        """Put in a number."""
        self.numbers.append(Number(name, labels, value))

    def spread(self, name: str, counts: Sequence[int], total: int, **labels: str) -> None:
        """Put in what a histogram has counted, if it has counted anything.

        Args:
            name: of the metric.
            counts: of the histogram.
            total: the sum of its values; times in nanoseconds.
            labels: what tells it from others.
        """
        count = sum(counts)
        if not count:
            return
        scale, bounds = (1e-9, _SECONDS) if METRICS[name].unit == "seconds" else (1, _COUNTS)
        p50, p90, p99 = (quantile(counts, share) * scale for share in (0.5, 0.9, 0.99))
        upper = [bound * scale for bound in bounds]
        buckets = list(zip(upper, coarse(counts, bounds), strict=True))
        self.distributions.append(Distribution(name, labels, count, total * scale, p50, p90, p99, buckets))


def _has(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    return wanted.items() <= labels.items()
