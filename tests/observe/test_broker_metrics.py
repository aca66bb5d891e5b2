"""What a broker counts: each number is that of what happened, and adds up with the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from pydantic import BaseModel, TypeAdapter

from ionbus import Broker, Bus, Call, Context, Contract, ContractError, Event, InternalError, Stream, connect
from ionbus.errors import NotFound
from ionbus.generated.protocol import Limits
from ionbus.middleware import Dropped, Message, Next, drop
from ionbus.observe import Metrics
from ionbus.observe.table import METRICS
from ionbus.testing import pair
from workshop import eventually


class Full(ContractError):
    """There is no room."""

    code = "full"


class Page(BaseModel):
    number: int


class Press(Contract, name="press"):
    printed = Event(str)
    proofed = Event(Page, delivery="latest", key="number")
    glimpsed = Event(str, delivery="volatile")
    ordered = Event(int, source="client")
    shouted = Event(str, source="any")
    sheet = Call(str, str, raises=[Full])
    sheets = Stream(int, bytes)
    ink = Call(str, str, served_by="client")


def press(limits: Limits | None = None, *, metrics: bool = True) -> Broker[None]:
    broker: Broker[None] = Broker(Press, limits=limits, metrics=metrics)

    @broker.handle(Press.sheet)
    async def sheet(text: str, ctx: Context) -> str:
        match text:
            case "full":
                raise Full
            case "broken":
                raise ZeroDivisionError
            case "ink":
                return await ctx.call(Press.ink, text)
            case "told":
                await ctx.emit(Press.printed, text)
        return text

    @broker.handle(Press.sheets)
    async def sheets(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"sheet"

    @broker.on(Press.ordered)
    async def ordered(number: int) -> None:
        if number < 0:
            raise ZeroDivisionError

    return broker


async def test_calls_are_counted_by_outcome_and_timed() -> None:
    async with pair(press()) as pressed:
        await pressed.bus.call(Press.sheet, "a")
        await pressed.bus.call(Press.sheet, "bcd")
        with pytest.raises(Full):
            await pressed.bus.call(Press.sheet, "full")
        with pytest.raises(InternalError):
            await pressed.bus.call(Press.sheet, "broken")
        for _ in range(16):
            await pressed.bus.call(Press.sheet, "")
        metrics = pressed.broker.metrics()
    name = "ionbus_requests_total"
    assert metrics.value(name) == 20
    for outcome, count in {"ok": 18, "full": 1, "internal_error": 1}.items():
        assert metrics.value(name, request="press.sheet", kind="call", outcome=outcome) == count
    took = metrics.distribution("ionbus_request_seconds", request="press.sheet")
    waited = metrics.distribution("ionbus_request_wait_seconds", request="press.sheet")
    assert took is not None
    assert waited is not None
    assert (took.count, waited.count) == (20, 20)
    assert 0 < took.p50 <= took.p99 < 5
    assert metrics.value("ionbus_request_bytes_total") == 2 + 4 + 5 + 7 + 16
    assert metrics.value("ionbus_response_bytes_total") == 2 + 4 + 16


async def test_of_calls_that_are_under_way_together_every_eighth_is_timed() -> None:
    async with pair(press()) as pressed:
        await asyncio.gather(*(pressed.bus.call(Press.sheet, "a") for _ in range(64)))
        metrics = pressed.broker.metrics()
    assert metrics.value("ionbus_requests_total") == 64
    took = metrics.distribution("ionbus_request_seconds", request="press.sheet")
    assert took is not None
    assert 8 <= took.count < 64


async def test_streams_are_counted_with_their_items() -> None:
    async with pair(press()) as pressed:
        async with pressed.bus.stream(Press.sheets, 7) as sheets:
            assert len([sheet async for sheet in sheets]) == 7
        metrics = pressed.broker.metrics()
    assert metrics.value("ionbus_requests_total", request="press.sheets", kind="stream", outcome="ok") == 1
    assert metrics.value("ionbus_stream_items_total", request="press.sheets") == 7
    assert metrics.value("ionbus_response_bytes_total", request="press.sheets") == 7 * 7


async def test_what_is_not_begun_is_counted_by_code_alone() -> None:
    class Other(Contract, name="other"):
        made_up = Call(None, None)

    async with pair(press()) as pressed:
        with pytest.raises(NotFound):
            await pressed.bus.call(Other.made_up)
        metrics = pressed.broker.metrics()
    assert metrics.value("ionbus_requests_refused_total", code="not_found") == 1
    assert metrics.value("ionbus_requests_total") == 0


async def test_calls_to_clients_are_counted() -> None:
    async with pair(press()) as pressed:
        with pytest.raises(InternalError):
            await pressed.bus.call(Press.sheet, "ink")

        @pressed.bus.handle(Press.ink)
        async def ink(color: str) -> str:
            return color

        assert await pressed.bus.call(Press.sheet, "ink") == "ink"
        metrics = pressed.broker.metrics()
    for outcome in ("ok", "not_found"):
        assert metrics.value("ionbus_client_requests_total", request="press.ink", outcome=outcome) == 1
    took = metrics.distribution("ionbus_client_request_seconds", request="press.ink")
    assert took is not None
    assert took.count == 2


async def test_what_is_delivered_dropped_and_on_its_way_adds_up() -> None:
    broker = press()
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(connect(broker)) for _ in range(3)]
        heard: list[object] = []
        for event in (Press.printed, Press.proofed, Press.glimpsed, Press.shouted):
            for bus in buses:
                await bus.on(event, heard.append).confirmed()
        for number in range(10):
            await broker.emit(Press.printed, str(number))
            await broker.emit(Press.proofed, Page(number=1))
            await broker.emit(Press.glimpsed, str(number))
        await buses[0].emit(Press.shouted, "hello")
        await buses[0].call(Press.sheet, "told")
        await buses[1].on(Press.proofed, heard.append).confirmed()  # is given the newest
        await eventually(lambda: all(session.attended.session.is_at_rest for session in broker.sessions))
        await asyncio.gather(*(bus.call(Press.sheet, "") for bus in buses))
        metrics = broker.metrics()
    counted = {
        event: [
            metrics.value(f"ionbus_events_{what}_total", event=f"press.{event}")
            for what in ("published", "queued", "dropped", "delivered")
        ]
        for event in ("printed", "glimpsed", "shouted")
    }
    assert counted == {"printed": [10, 31, 0, 31], "glimpsed": [10, 30, 0, 30], "shouted": [1, 2, 0, 2]}
    queued, dropped, delivered = (
        metrics.value(f"ionbus_events_{what}_total", event="press.proofed")
        for what in ("queued", "dropped", "delivered")
    )
    assert queued == 31
    assert dropped + delivered == 31
    assert metrics.value("ionbus_events_delivered_total") == len(heard)
    assert metrics.value("ionbus_event_bytes_total", event="press.printed", source="broker") == 20
    assert metrics.value("ionbus_events_published_total", event="press.shouted", source="client") == 1


async def test_what_a_subscription_asks_for_is_counted_as_it_is_queued() -> None:
    async with pair(press()) as pressed:
        batches: list[object] = []
        await pressed.bus.on(Press.printed, batches.append, batch=(10, 60.0)).confirmed()
        for number in range(30):
            await pressed.broker.emit(Press.printed, str(number))
        await eventually(lambda: len(batches) == 3)
        await pressed.bus.call(Press.sheet, "")
        metrics = pressed.broker.metrics()
    assert metrics.value("ionbus_events_published_total", source="broker") == 30
    assert metrics.value("ionbus_events_queued_total") == 3
    assert metrics.value("ionbus_events_delivered_total") == 3


async def test_what_middleware_drops_was_never_queued() -> None:
    broker = press()

    async def half(
        message: Message[str],
        next: Next[str, Dropped | None],
    ) -> Dropped | None:
        return drop("odd") if int(message.payload) % 2 else await next(message)

    broker.use(half, Press.printed)
    async with pair(broker) as pressed:
        heard: list[str] = []
        await pressed.bus.on(Press.printed, heard.append).confirmed()
        for number in range(10):
            await broker.emit(Press.printed, str(number))
        await eventually(lambda: len(heard) == 5)
        await pressed.bus.call(Press.sheet, "")
        metrics = broker.metrics()
    assert metrics.value("ionbus_events_dropped_total", event="press.printed", reason="odd") == 5
    assert metrics.value("ionbus_events_queued_total") == 5
    assert metrics.value("ionbus_events_delivered_total") == 5


async def test_what_was_never_acknowledged_is_not_delivered() -> None:
    async with pair(press()) as pressed:
        heard: list[str] = []
        await pressed.bus.on(Press.printed, heard.append).confirmed()
        await pressed.broker.emit(Press.printed, "before")
        await eventually(lambda: heard)
        pressed.cut()
        await pressed.broker.emit(Press.printed, "meanwhile")
        metrics = pressed.broker.metrics()
        assert metrics.value("ionbus_events_queued_total") == 2
        assert metrics.value("ionbus_events_delivered_total") <= 1
        assert metrics.value("ionbus_sessions", state="absent") == 1
        await pressed.reconnected()
        await eventually(lambda: pressed.broker.metrics().value("ionbus_events_delivered_total") == 2)
        assert pressed.broker.metrics().value("ionbus_sessions_resumed_total") == 1


async def test_events_of_clients_are_counted_timed_and_refused() -> None:
    async with pair(press()) as pressed:
        for number in range(100):
            await pressed.bus.emit(Press.ordered, number)
        await pressed.bus.call(Press.sheet, "")
        metrics = pressed.broker.metrics()
        assert metrics.value("ionbus_events_published_total", event="press.ordered", source="client") == 100
        took = metrics.distribution("ionbus_listener_seconds", event="press.ordered")
        waited = metrics.distribution("ionbus_event_wait_seconds", event="press.ordered")
        assert took is not None
        assert waited is not None
        assert 1 <= took.count <= 100
        frames = metrics.distribution("ionbus_frame_elements", direction="received")
        assert frames is not None
        assert frames.sum == metrics.value("ionbus_elements_total", direction="received")


async def test_failing_listeners_are_counted_and_named() -> None:
    async with pair(press()) as pressed:
        for number in range(-3, 60):
            await pressed.bus.emit(Press.ordered, number)
        await eventually(lambda: pressed.broker.metrics().value("ionbus_listener_failures_total") == 3)
        assert pressed.broker.health().summary == "A listener of press.ordered failed 3 times."


async def test_what_a_client_makes_up_is_no_label() -> None:
    class Other(Contract, name="other"):
        made_up = Event(str, source="client")

    async with pair(press()) as pressed:
        refused: list[object] = []
        pressed.bus.on_error(refused.append)
        await pressed.bus.emit(Other.made_up, "x")
        await eventually(lambda: refused)
        metrics = pressed.broker.metrics()
        with pytest.raises(NotFound):
            raise refused[0]  # type: ignore[misc] # it is an error
    labels = [number.labels for number in metrics.numbers]
    assert not any("made_up" in str(each) for each in labels)
    assert metrics.value("ionbus_events_refused_total", event="(unknown)", code="not_found") == 1


async def test_without_being_asked_it_counts_what_is_known_anyway() -> None:
    async with pair(press(metrics=False)) as pressed:
        await pressed.bus.call(Press.sheet, "a")
        metrics = pressed.broker.metrics()
    assert {number.name for number in metrics.numbers} == {
        name
        for name, metric in METRICS.items()
        if metric.is_always
        and not name.startswith("ionbus_bus")
        and not name.endswith(("dropped_total", "ended_total"))
    }
    assert metrics.distributions == []
    assert metrics.value("ionbus_sessions", state="connected") == 1
    assert metrics.value("ionbus_elements_total", direction="sent") >= 1


async def test_while_it_is_not_served_there_is_nothing() -> None:
    broker = press()
    assert broker.metrics() == Metrics()
    assert broker.health().summary == "The broker is not served."


async def test_sessions_are_counted_as_they_come_and_go() -> None:
    broker = press()
    async with broker.opened():
        for _ in range(3):
            async with connect(broker) as bus:
                await bus.call(Press.sheet, "a")
        await eventually(lambda: not broker.sessions)
        metrics = broker.metrics()
    assert metrics.value("ionbus_sessions_opened_total") == 3
    assert metrics.value("ionbus_sessions_ended_total", code="closed") == 3
    assert metrics.value("ionbus_sessions") == 0
    assert metrics.value("ionbus_elements_total", direction="received") >= 3


async def test_any_thread_may_ask_while_it_works() -> None:
    broker = press()
    failures: list[Exception] = []
    looks = 0
    is_over = threading.Event()

    def look() -> None:
        nonlocal looks
        while not is_over.is_set():
            try:
                broker.metrics()
                broker.health()
                looks += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told below
                failures.append(error)
                return

    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(connect(broker)) for _ in range(5)]
        for bus in buses:
            await bus.on(Press.printed, lambda _: None).confirmed()
        looking = threading.Thread(target=look)
        looking.start()
        while looks < 50 and not failures:
            for number in range(100):
                await broker.emit(Press.printed, str(number))
            await asyncio.sleep(0)
        is_over.set()
        looking.join()
    assert failures == []


async def test_metrics_are_plain_data() -> None:
    async with pair(press()) as pressed:
        await pressed.bus.call(Press.sheet, "a")
        metrics = pressed.broker.metrics()
        health = pressed.broker.health()
    adapter = TypeAdapter(Metrics)
    assert adapter.validate_json(adapter.dump_json(metrics)) == metrics
    plain = TypeAdapter(type(health))
    assert plain.validate_json(plain.dump_json(health)) == health


async def test_everything_in_the_table_is_counted_with_its_labels() -> None:
    limits = replace(Limits(), credit_messages=64)
    broker = press(limits)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(connect(broker, limits=limits))
        await use_all(broker, bus)
        metrics = broker.metrics()
    told = {each.name: tuple(sorted(each.labels)) for each in metrics.numbers}
    told |= {each.name: tuple(sorted(each.labels)) for each in metrics.distributions}
    assert told == {
        name: tuple(sorted(metric.labels))
        for name, metric in METRICS.items()
        if not name.startswith("ionbus_bus")
    }


async def use_all(broker: Broker[None], bus: Bus) -> None:
    """Let everything happen that is counted."""

    class Other(Contract, name="other"):
        unknown = Event(str, source="client")
        missing = Call(None, None)

    await bus.on(Press.printed, lambda _: None).confirmed()
    await bus.on(Press.proofed, lambda _: None).confirmed()
    session, *_ = broker.sessions
    await asyncio.gather(*(session.emit(Press.printed, "x" * 100) for _ in range(200)))
    for _ in range(5):
        await broker.emit(Press.proofed, Page(number=1))
    await bus.emit(Press.ordered, 1)
    await bus.emit(Other.unknown, "x")
    with pytest.raises(NotFound):
        await bus.call(Other.missing)
    async with bus.stream(Press.sheets, 1) as sheets:
        assert [sheet async for sheet in sheets]
    with pytest.raises(InternalError):
        await bus.call(Press.sheet, "ink")
    async with connect(broker) as other:
        await other.call(Press.sheet, "a")
    lag = "ionbus_loop_lag_seconds"
    await eventually(lambda: len(broker.sessions) == 1 and broker.metrics().distribution(lag))
