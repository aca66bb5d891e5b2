"""What one turn of the event loop sends, and that whoever emits in a loop does not keep it for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from ionbus import Broker
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.testing import FakeClock
from raw_client import Raw, hello
from workshop import Bench, Pair, Rig, Workshop, eventually, make_broker, rig

WIDE = replace(Limits(), credit_bytes=2**40, credit_messages=2**40)
"""With so much credit nobody waits for any."""

Emit = Callable[[str], Coroutine[Any, Any, None]]


async def to_many(at: Rig) -> Emit:
    return lambda text: at.broker.emit(Workshop.noticed, text)


async def to_one(at: Rig) -> Emit:
    waiting = asyncio.create_task(at.bus.call(Workshop.wait, "gate"))
    await eventually(lambda: at.bench.contexts)
    [ctx] = at.bench.contexts
    at.bench.gate("gate").set()
    await waiting
    return lambda text: ctx.emit(Workshop.noticed, text)


async def from_a_client(at: Rig) -> Emit:
    return lambda text: at.bus.emit(Workshop.said, text)


@pytest.mark.parametrize("who", [to_many, to_one, from_a_client])
@pytest.mark.parametrize("is_heard", [True, False], ids=["heard", "unheard"])
async def test_a_loop_of_emits_lets_a_call_be_answered(
    who: Callable[[Rig], Coroutine[Any, Any, Emit]], is_heard: bool
) -> None:
    async with rig(make_broker(WIDE), WIDE) as at:
        if is_heard:
            await at.bus.on(Workshop.noticed, lambda _: None).confirmed()
        emit = await who(at)
        answers: list[int] = []

        async def flood() -> int:
            emitted = 0
            while not answers and emitted < 300_000:
                await emit("again")
                emitted += 1
            return emitted

        flooding = asyncio.create_task(flood())
        answers.append(await at.bus.call(Workshop.add, Pair(left=1, right=2)))
        assert await flooding < 300_000
        assert answers == [3]


async def test_a_client_that_takes_nothing_costs_the_emits_to_many_no_turn_each() -> None:
    async def emit(broker: Broker[Bench], count: int) -> None:
        for _ in range(count):
            await broker.emit(Workshop.noticed, "unread")

    with FakeClock() as clock:
        async with rig(make_broker()) as at:
            await at.bus.on(Workshop.noticed, lambda _: None).confirmed()
            at.wire.half_open()
            await clock.drive(emit(at.broker, 5_000))  # which waits for it, and then no longer
            emitting = asyncio.create_task(emit(at.broker, 5_000))
            turns = 0
            while not emitting.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns < 100
            at.wire.cut()


async def test_a_frame_of_calls_is_acknowledged_by_the_frame_of_their_results() -> None:
    broker = make_broker()
    count = Limits().ack_elements  # so many are acknowledged at once
    with FakeClock() as clock:  # by which the handlers take no time, and so one turn
        async with broker.opened():
            raw = Raw()
            raw.channel = (await MemoryListener(broker.accept_local()).open(raw)).channel
            raw.send(1, hello())
            await clock.settle()
            payload = msgpack.packb({"left": 1, "right": 2})
            raw.send(0, 1, 0, *([2, number, "workshop.add", payload] for number in range(1, count + 1)))
            await clock.settle()
            data = raw.frames[1]
    assert data[:3] == [0, 1, count]
    assert len(data) == 3 + count
