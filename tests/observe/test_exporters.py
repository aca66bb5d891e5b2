"""What Prometheus scrapes and OpenTelemetry reads is what the broker counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ionbus import Broker, Call, Contract, Event
from ionbus.observe.otel import observe
from ionbus.observe.prometheus import IonbusCollector
from ionbus.observe.table import METRICS
from ionbus.testing import Pair, pair
from workshop import eventually


class Press(Contract, name="press"):
    printed = Event(str)
    sheet = Call(str, str)


@pytest.fixture
async def pressed() -> AsyncIterator[Pair[None]]:
    broker: Broker[None] = Broker(Press, metrics=True)

    @broker.handle(Press.sheet)
    async def sheet(text: str) -> str:
        return text

    async with pair(broker) as pressed:
        heard: list[str] = []
        await pressed.bus.on(Press.printed, heard.append).confirmed()
        for number in range(3):
            await broker.emit(Press.printed, str(number))
            await pressed.bus.call(Press.sheet, "a")
        await eventually(lambda: len(heard) == 3)
        yield pressed


async def test_prometheus_reads_what_it_is_given(pressed: Pair[None]) -> None:
    registry = CollectorRegistry()
    registry.register(IonbusCollector(pressed.broker, {"broker": "main"}))
    text = generate_latest(registry).decode()
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    request = [("broker", "main"), ("kind", "call"), ("request", "press.sheet")]
    published = [("broker", "main"), ("event", "press.printed"), ("source", "broker")]
    assert samples["ionbus_events_published_total", *published] == 3
    assert samples["ionbus_request_seconds_count", *request] == 3
    assert samples["ionbus_request_seconds_bucket", *sorted([*request, ("le", "+Inf")])] == 3
    assert 0 < samples["ionbus_request_seconds_sum", *request] < 30
    assert samples["ionbus_sessions", ("broker", "main"), ("state", "connected")] == 1
    assert "# HELP ionbus_events_published_total An event was published: source=" in text


async def test_prometheus_refuses_to_count_one_broker_twice(pressed: Pair[None]) -> None:
    registry = CollectorRegistry()
    registry.register(IonbusCollector(pressed.broker))
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(IonbusCollector(pressed.broker))


async def test_opentelemetry_reads_what_it_is_given(pressed: Pair[None]) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    observe(pressed.broker, provider.get_meter("test"), {"broker": "main"})
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    points = {
        (metric.name, *sorted((point.attributes or {}).items())): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if hasattr(point, "value")
    }
    request = [("broker", "main"), ("kind", "call"), ("request", "press.sheet")]
    published = [("broker", "main"), ("event", "press.printed"), ("source", "broker")]
    assert points["ionbus.events_published", *published] == 3
    assert points["ionbus.request_seconds.count", *request] == 3
    assert 0 < points["ionbus.request_seconds.sum", *request] < 30
    assert points["ionbus.request_seconds.quantile", *sorted([*request, ("quantile", "0.99")])] > 0
    assert points["ionbus.sessions", ("broker", "main"), ("state", "connected")] == 1
    assert points["ionbus.held_bytes", ("broker", "main")] >= 0


def test_names_are_those_of_prometheus() -> None:
    for metric in METRICS.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        if metric.unit:
            assert metric.name.removesuffix("_total").endswith(f"_{metric.unit}")
