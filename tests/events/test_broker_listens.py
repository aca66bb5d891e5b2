"""What a broker hears of its clients: by contract and pattern, once, until it is taken back, one at a time, and on its emitter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ionbus import Broker, Context, Contract, Event, Handlers, NotFound, Received, ThreadContext, connect
from workshop import eventually


class Flow(Contract, name="flow"):
    finished = Event(str)
    cancelled = Event(str, source="client")
    noted = Event(int, source="any")

    class nodes(Contract):  # noqa: N801 - an attribute, as contracts inside others are
        picked = Event(str, source="client")


def heard_as(heard: list[Any], what: str) -> Any:
    return lambda value: heard.append((what, value))


async def test_a_contract_and_a_pattern_hear_what_clients_publish() -> None:
    broker, heard = Broker(Flow), list[Any]()

    @broker.on("flow.*")
    async def by_pattern(received: Received[object], ctx: Context) -> None:
        heard.append(("pattern", received, ctx.session is not None))

    @broker.on(Flow.nodes)
    def by_contract(received: Received[object], ctx: ThreadContext) -> None:
        heard.append(("contract", received))

    @broker.on(Flow)
    async def by_outermost(received: Received[object]) -> None:
        heard.append("outermost")

    async with connect(broker) as bus:
        await bus.emit(Flow.cancelled, "1")
        await eventually(lambda: len(heard) == 2)
        assert heard == [("pattern", Received("flow.cancelled", "1"), True), "outermost"]
        await bus.emit(Flow.nodes.picked, "n")
        await eventually(lambda: len(heard) == 4)
        assert ("contract", Received("flow.nodes.picked", "n")) in heard


async def test_a_pattern_that_matches_no_event_of_clients_is_refused() -> None:
    broker = Broker(Flow)
    with pytest.raises(NotFound, match=r"flow\.cancled matches no event .*; did you mean flow\.cancelled\?"):
        broker.on("flow.cancled")
    with pytest.raises(NotFound, match=r"flow\.finished matches no event that clients publish"):
        broker.on("flow.finished")
    with pytest.raises(ValueError, match="comes last"):
        broker.on("flow.**.picked")
    with pytest.raises(TypeError, match="published by the broker itself"):
        broker.events(Flow.finished)  # type: ignore[arg-type] # that is what is tested


async def test_once_and_off() -> None:
    broker, heard = Broker(Flow), list[Any]()
    first, every = heard_as(heard, "first"), heard_as(heard, "every")
    broker.once(Flow.cancelled)(first)
    broker.once("flow.**")(heard_as(heard, "first of all"))
    broker.on(Flow.cancelled)(every)
    handlers = Handlers(Flow)
    handlers.once(Flow.noted)(heard_as(heard, "elsewhere"))
    broker.include(handlers)
    async with connect(broker) as bus:
        for text in ("1", "2"):
            await bus.emit(Flow.cancelled, text)
        await bus.emit(Flow.noted, 5)
        await bus.emit(Flow.noted, 6)
        await eventually(lambda: len(heard) == 5)
        assert set(heard) == {
            ("first", "1"),
            ("first of all", Received("flow.cancelled", "1")),
            ("every", "1"),
            ("every", "2"),
            ("elsewhere", 5),
        }
        assert broker.off(Flow.cancelled, first) == 0
        assert broker.off(Flow.cancelled, every) == 1
        broker.on("flow.**")(every)
        assert broker.off("flow.**") == 1
        await bus.emit(Flow.cancelled, "3")
        await bus.emit(Flow.nodes.picked, "4")
        broker.on(Flow.noted)(every)
        await bus.emit(Flow.noted, 7)
        await eventually(lambda: heard[-1] == ("every", 7))
        assert len(heard) == 6
    assert [each.member.name for each in broker.listeners] == ["flow.noted"]


async def test_a_listener_that_is_taken_back_by_one_before_it_hears_no_more() -> None:
    broker, heard = Broker(Flow), list[str]()

    @broker.on(Flow.cancelled)
    async def first(text: str) -> None:
        heard.append(f"first {text}")
        broker.off(Flow.cancelled, second)

    @broker.on(Flow.cancelled)
    async def second(text: str) -> None:
        heard.append(f"second {text}")

    async with connect(broker) as bus:
        for text in ("1", "2", "3"):
            await bus.emit(Flow.cancelled, text)
        await eventually(lambda: "first 3" in heard)
    assert heard == ["first 1", "first 2", "first 3"]


async def test_events_one_at_a_time_and_waiting_for_one() -> None:
    broker = Broker(Flow)
    async with connect(broker) as bus, broker.events(Flow.cancelled, limit=2) as events:
        waiting = asyncio.create_task(
            broker.wait_for("flow.*", lambda received: received.payload == 5, timeout=30)
        )
        await asyncio.sleep(0)
        for text in ("1", "2", "3"):
            await bus.emit(Flow.cancelled, text)
        await bus.emit(Flow.noted, 5)
        assert [await anext(events) for _ in range(3)] == ["1", "2", "3"]
        assert await waiting == Received("flow.noted", 5)
        with pytest.raises(TimeoutError):
            await broker.wait_for(Flow.noted, timeout=0.01)


async def test_its_emitter_hears_clients_and_what_is_emitted_there() -> None:
    broker, heard = Broker(Flow), list[str]()
    with broker.emitter.on(Flow.cancelled, heard.append):
        async with connect(broker) as bus:
            await bus.emit(Flow.cancelled, "1")
            await eventually(lambda: heard == ["1"])
            await broker.emitter.emit(Flow.cancelled, "2")
    assert heard == ["1", "2"]
