"""For OpenTelemetry: `observe(broker)` makes an observable instrument of each metric. Needs `ionbus[otel]`, and a provider with a reader.

A counter `ionbus_events_published_total` is `ionbus.events_published` here. OpenTelemetry has no histogram that can be observed: of each of
ours there are `….count` and `….sum`, and `….quantile` with the attribute `quantile` of 0.5, 0.9 and 0.99.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Final, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter

from ionbus.observe.metrics import Metrics
from ionbus.observe.table import METRICS, Metric
from ionbus.version import VERSION

UNITS: Final = {"": "1", "bytes": "By", "seconds": "s", "elements": "{element}"}

TOGETHER: Final = 0.1
"""Seconds: what is asked for within them is of one collection, for which the metrics are gathered once."""

Read = Callable[[Metrics], Iterable[Observation]]


class Measured(Protocol):
    """A `Broker` or a `Bus`."""

    def metrics(self) -> Metrics:
        """What was counted until now."""


def observe(
    source: Measured, meter: Meter | None = None, attributes: Mapping[str, str] | None = None
) -> None:
    """Let OpenTelemetry observe a broker or a bus.

    Args:
        source: which.
        meter: makes the instruments; the global provider's, if left out.
        attributes: more of them for each value, as where there are several brokers in one process.
    """
    instruments = _Instruments(source, meter or get_meter("ionbus", VERSION), dict(attributes or {}))
    for metric in METRICS.values():
        instruments.make(metric)


class _Instruments:
    def __init__(self, source: Measured, meter: Meter, attributes: dict[str, str]) -> None:
        self._source = source
        self._meter = meter
        self._attributes = attributes
        self._gathered = (float("-inf"), Metrics())

    def make(self, metric: Metric) -> None:
        """Make those for one metric."""
        name, unit, text = _dotted(metric), UNITS[metric.unit], metric.when.replace("`", "")
        of_number = self._callback(lambda metrics: self._numbers(metrics, metric))
        match metric.kind:
            case "counter":
                self._meter.create_observable_counter(name, [of_number], unit, text)
            case "gauge":
                self._meter.create_observable_gauge(name, [of_number], unit, text)
            case "histogram":
                count = self._callback(lambda metrics: self._counts(metrics, metric))
                total = self._callback(lambda metrics: self._sums(metrics, metric))
                quantile = self._callback(lambda metrics: self._quantiles(metrics, metric))
                self._meter.create_observable_counter(f"{name}.count", [count], "1", text)
                self._meter.create_observable_counter(f"{name}.sum", [total], unit, text)
                self._meter.create_observable_gauge(f"{name}.quantile", [quantile], unit, text)

    def _callback(self, read: Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: read(self._gather())

    def _gather(self) -> Metrics:
        at, metrics = self._gathered
        if monotonic() - at > TOGETHER:
            metrics = self._source.metrics()
            self._gathered = (monotonic(), metrics)
        return metrics

    def _numbers(self, metrics: Metrics, metric: Metric) -> Iterable[Observation]:
        for each in metrics.numbers:
            if each.name == metric.name:
                yield Observation(each.value, {**each.labels, **self._attributes})

    def _counts(self, metrics: Metrics, metric: Metric) -> Iterable[Observation]:
        for each in metrics.distributions:
            if each.name == metric.name:
                yield Observation(each.count, {**each.labels, **self._attributes})

    def _sums(self, metrics: Metrics, metric: Metric) -> Iterable[Observation]:
        for each in metrics.distributions:
            if each.name == metric.name:
                yield Observation(each.sum, {**each.labels, **self._attributes})

    def _quantiles(self, metrics: Metrics, metric: Metric) -> Iterable[Observation]:
        for each in metrics.distributions:
            if each.name == metric.name:
                for share, value in ((0.5, each.p50), (0.9, each.p90), (0.99, each.p99)):
                    yield Observation(value, {**each.labels, **self._attributes, "quantile": str(share)})


def _dotted(metric: Metric) -> str:
    """OpenTelemetry's name, which does not say that it is a counter."""
    return f"ionbus.{metric.name.removeprefix('ionbus_').removesuffix('_total')}"
