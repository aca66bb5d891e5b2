"""What a client counts."""

from __future__ import annotations

from ionbus import Broker, Call, Contract, Event
from ionbus.observe.table import METRICS
from ionbus.testing import pair
from workshop import end_sessions, eventually


class Press(Contract, name="press"):
    ordered = Event(int, source="client")
    glimpsed = Event(int, source="client", delivery="volatile")
    sheet = Call(str, str)


async def test_a_bus_tells_how_it_stands() -> None:
    broker: Broker[None] = Broker(Press)

    @broker.handle(Press.sheet)
    async def sheet(text: str) -> str:
        return text

    async with pair(broker) as pressed:
        bus = pressed.bus
        await bus.call(Press.sheet, "a")
        assert bus.metrics().value("ionbus_bus_connected") == 1
        assert bus.metrics().value("ionbus_bus_requests_pending") == 0
        assert bus.metrics().value("ionbus_bus_elements_total", direction="received") >= 1
        pressed.cut()
        await eventually(lambda: bus.metrics().value("ionbus_bus_connected") == 0)
        await bus.emit(Press.ordered, 1)
        await bus.emit(Press.glimpsed, 1)
        told = bus.metrics()
        assert told.value("ionbus_bus_queued_events") == 1
        assert told.value("ionbus_bus_queued_bytes") == 1
        assert told.value("ionbus_bus_events_dropped_total", event="press.glimpsed", reason="absent") == 1
        assert {number.name: tuple(number.labels) for number in told.numbers} == {
            name: metric.labels for name, metric in METRICS.items() if name.startswith("ionbus_bus_")
        }
        await pressed.reconnected()
        await bus.call(Press.sheet, "a")
        assert bus.metrics().value("ionbus_bus_resumes_total") == 1
        end_sessions(broker)
        await eventually(lambda: bus.metrics().value("ionbus_bus_connected") == 0)
        await pressed.reconnected()
        assert bus.metrics().value("ionbus_bus_reconnects_total") == 2
        assert bus.metrics().value("ionbus_bus_resumes_total") == 1
