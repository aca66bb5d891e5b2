"""What one part of a session holds up does not hold up the others, and no session holds up another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ionbus import Broker, Bus, Call, Contract, Event, Stream
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from workshop import eventually, opened_bus

LARGE = 20_000_000


class Traffic(Contract, name="traffic", version="1.0"):
    """All kinds of it."""

    ping = Call(None, None)
    blob = Call(int, bytes, timeout=None)
    keep = Call(bytes, int, timeout=None)
    numbers = Stream(str, int)
    news = Event(int)
    flood = Call(int, None, timeout=None)


@dataclass
class Scene:
    broker: Broker[Any]
    listener: MemoryListener
    bus: Bus
    sent: dict[str, int] = field(default_factory=dict)


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    broker = Broker(Traffic)
    made: list[Scene] = []

    @broker.handle(Traffic.ping)
    async def ping() -> None: ...

    @broker.handle(Traffic.blob)
    async def blob(size: int) -> bytes:
        return bytes(size)

    @broker.handle(Traffic.keep)
    async def keep(data: bytes) -> int:
        return len(data)

    @broker.handle(Traffic.numbers)
    async def numbers(name: str) -> AsyncIterator[int]:
        for number in range(10_000):
            made[0].sent[name] = number
            yield number

    @broker.handle(Traffic.flood)
    async def flood(count: int) -> None:
        for number in range(count):
            await broker.emit(Traffic.news, number)

    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as bus:
            made.append(Scene(broker, listener, bus))
            yield made[0]


async def test_a_stream_that_nobody_reads_stops_neither_calls_nor_other_streams(at: Scene) -> None:
    async with (
        at.bus.stream(Traffic.numbers, "unread") as unread,
        at.bus.stream(Traffic.numbers, "read") as read,
    ):
        assert await anext(unread) == 0
        assert [number async for number in read] == list(range(10_000))
        await at.bus.call(Traffic.ping, timeout=5)
        assert at.sent["unread"] < 200  # its own credit holds its handler up
        assert [number async for number in unread] == list(range(1, 10_000))


async def test_events_that_nobody_takes_stop_neither_calls_nor_streams(at: Scene) -> None:
    async with (
        opened_bus(at.listener.open, Limits(credit_messages=16)) as slow,
        slow.events(Traffic.news) as news,
    ):
        flood = asyncio.create_task(at.bus.call(Traffic.flood, 500))
        await slow.call(Traffic.ping, timeout=5)
        async with slow.stream(Traffic.numbers, "read") as read:
            assert [number async for number in read] == list(range(10_000))
        assert [await anext(news) for _ in range(500)] == list(range(500))
        await flood


async def turns(work: asyncio.Future[Any], bus: Bus) -> int:
    """How many calls were answered while something else was under way."""
    count = 0
    while not work.done():
        await bus.call(Traffic.ping, timeout=5)
        count += 1
    return count


async def test_calls_are_answered_while_a_large_message_travels_either_way(at: Scene) -> None:
    down = asyncio.create_task(at.bus.call(Traffic.blob, LARGE))
    assert await turns(down, at.bus) > 20  # in its own session
    assert len(await down) == LARGE
    up = asyncio.create_task(at.bus.call(Traffic.keep, bytes(LARGE)))
    async with opened_bus(at.listener.open) as other:
        assert await turns(up, other) > 20  # and in another one
    assert await up == LARGE


@pytest.mark.slow
async def test_large_messages_take_turns(at: Scene) -> None:
    calls = [asyncio.create_task(at.bus.call(Traffic.blob, LARGE)) for _ in range(2)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    small = at.bus.call(Traffic.blob, 300_000)
    large = asyncio.create_task(at.bus.call(Traffic.blob, LARGE))
    assert len(await small) == 300_000
    assert not large.done()
    assert [len(each) for each in await asyncio.gather(*calls, large)] == [LARGE] * 3


@pytest.mark.slow
async def test_a_stalled_client_does_not_hold_up_what_is_emitted_to_the_others(at: Scene) -> None:
    async with opened_bus(at.listener.open) as stalled:
        await stalled.on(Traffic.news, lambda _: None).confirmed()
        assert at.listener.wire is not None
        at.listener.wire.to_client.hold()
        heard: list[int] = []
        await at.bus.on(Traffic.news, heard.append).confirmed()
        await at.bus.call(Traffic.flood, 10_000)
        await eventually(lambda: len(heard) == 10_000)
        assert heard == list(range(10_000))
        at.listener.wire.to_client.release()
