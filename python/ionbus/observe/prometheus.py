"""For Prometheus: `REGISTRY.register(IonbusCollector(broker))`. Needs `ionbus[prometheus]`.

Nothing is kept here: each scrape asks for the metrics of that moment, from whichever thread it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric as Family,
)
from prometheus_client.registry import Collector

from ionbus.observe.metrics import Metrics
from ionbus.observe.table import METRICS, Metric


class Measured(Protocol):
    """A `Broker` or a `Bus`."""

    def metrics(self) -> Metrics:
        """What was counted until now."""


class IonbusCollector(Collector):
    """See the module.

    Args:
        source: a broker or a bus.
        labels: more of them for each metric, as where there are several brokers in one process.
    """

    def __init__(self, source: Measured, labels: Mapping[str, str] | None = None) -> None:
        self._source = source
        self._labels = dict(labels or {})

    def describe(self) -> Iterable[Family]:
        """The metrics that there may be; asked when it is registered."""
        return [
            self._histogram(metric) if metric.kind == "histogram" else self._of_numbers(metric)
            for metric in METRICS.values()
        ]

    def collect(self) -> Iterable[Family]:
        """What was counted until now."""
        metrics = self._source.metrics()
        numbers: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        histograms: dict[str, HistogramMetricFamily] = {}
        for number in metrics.numbers:
            metric = METRICS[number.name]
            if metric.name not in numbers:
                numbers[metric.name] = self._of_numbers(metric)
            numbers[metric.name].add_metric(self._values(metric, number.labels), number.value)
        for each in metrics.distributions:
            metric = METRICS[each.name]
            if metric.name not in histograms:
                histograms[metric.name] = self._histogram(metric)
            buckets = [(repr(float(bound)), float(count)) for bound, count in each.buckets]
            values = self._values(metric, each.labels)
            histograms[metric.name].add_metric(values, [*buckets, ("+Inf", float(each.count))], each.sum)
        return [*numbers.values(), *histograms.values()]

    def _of_numbers(self, metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
        family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        return family(metric.name, _plain(metric.when), labels=[*metric.labels, *self._labels])

    def _histogram(self, metric: Metric) -> HistogramMetricFamily:
        return HistogramMetricFamily(metric.name, _plain(metric.when), labels=[*metric.labels, *self._labels])

    def _values(self, metric: Metric, labels: dict[str, str]) -> list[str]:
        return [*(labels[name] for name in metric.labels), *self._labels.values()]


def _plain(text: str) -> str:
    return text.replace("`", "")
