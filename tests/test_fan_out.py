"""One event for many sessions is made once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, field_serializer

from ionbus import Broker, Contract, Event, connect
from ionbus.errors import NotAllowed
from ionbus.session.outbox import Entry
from workshop import eventually

SESSIONS = 100


class Counted(BaseModel):
    """Counts how often it is written."""

    written: ClassVar[int] = 0
    text: str

    @field_serializer("text")
    def write(self, text: str) -> str:
        Counted.written += 1
        return text


class Station(Contract, name="station"):
    counted = Event(Counted)
    named = Event(str)
    tuned = Event(Counted, delivery="latest", key="text")
    asked = Event(str, source="client")
    called = Event(str, source="any")


@pytest.mark.parametrize("event", [Station.counted, Station.tuned], ids=["session", "latest"])
async def test_an_event_to_many_is_encoded_once(event: Event[Counted, Literal["broker"]]) -> None:
    broker = Broker(Station)
    heard: list[str] = []
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(connect(broker)) for _ in range(SESSIONS)]
        await asyncio.gather(
            *(bus.on(event, lambda counted: heard.append(counted.text)).confirmed() for bus in buses)
        )
        before = Counted.written
        for number in range(5):
            await broker.emit(event, Counted(text=str(number)))
        assert Counted.written - before == 5
        await eventually(lambda: len(heard) == 5 * SESSIONS)
    assert all(heard.count(str(number)) == SESSIONS for number in range(5))


async def test_a_message_that_waits_for_many_is_in_memory_once() -> None:
    broker = Broker(Station)
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(connect(broker)) for _ in range(3)]
        await asyncio.gather(*(bus.on(Station.named, lambda _: None).confirmed() for bus in buses))
        await broker.emit(Station.named, "x" * 1_000)
        waiting = [entry for session in broker.sessions for entry in _events(session)]
    assert len(waiting) == 3
    assert len(set(map(id, waiting))) == 1


async def test_what_clients_publish_the_broker_does_not_emit_even_after_it_has_relayed_it() -> None:
    broker = Broker(Station)
    heard: list[str] = []
    async with connect(broker) as bus:
        broker.on(Station.asked)(heard.append)
        await bus.emit(Station.asked, "please")
        await eventually(lambda: heard)
        with pytest.raises(NotAllowed, match=r"station\.asked is published by clients"):
            await broker.emit(Station.asked, "please")  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize("thing", ["station.named", ["station.named"], None])
async def test_what_is_no_event_is_refused(thing: Any) -> None:
    broker = Broker(Station)
    async with connect(broker):
        with pytest.raises(TypeError, match=r"emit\(\) takes an event, not"):
            await broker.emit(thing, "x")


async def test_an_event_of_another_contract_is_refused() -> None:
    class Elsewhere(Contract, name="elsewhere"):
        named = Event(str)

    broker = Broker(Station)
    async with connect(broker):
        with pytest.raises(TypeError, match="is not served here; give it to Broker"):
            await broker.emit(Elsewhere.named, "x")


def _events(session: Any) -> list[Entry]:
    return list(session.attended.session._outbox.waiting_events())
