"""What a bus's listeners have of the emitter's: lifetimes, `once`, `off`, `wait_for`; and one subscription on the wire for all that want the same."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ionbus import Broker, Bus, CallCancelled, ConnectionLost, Contract, Event, NotFound, Received, connect
from ionbus.testing import Pair, pair
from workshop import eventually


class Flow(Contract, name="flow"):
    progress = Event(str, delivery="latest")
    finished = Event(str)


@pytest.fixture
async def here() -> AsyncIterator[Pair[Any]]:
    async with pair(Broker(Flow)) as made:
        yield made


def patterns(here: Pair[Any]) -> list[str]:
    return [each.pattern for each in here.broker.subscriptions()]


async def in_force(bus: Bus, here: Pair[Any]) -> list[str]:
    """The broker's subscriptions, once it has heard of all that the bus has said."""
    await bus.on("flow.*.never", print).confirmed()
    return [pattern for pattern in patterns(here) if pattern != "flow.*.never"]


async def test_listeners_that_want_the_same_share_a_subscription(here: Pair[Any]) -> None:
    bus, heard = here.bus, list[str]()
    first = bus.on(Flow.finished, lambda text: heard.append(f"first {text}"))
    second = bus.on(Flow.finished, lambda text: heard.append(f"second {text}"))
    await second.confirmed()
    third = bus.on(Flow.finished, lambda text: heard.append(f"third {text}"))
    await third.confirmed()
    assert patterns(here) == ["flow.finished"]
    await here.broker.emit(Flow.finished, "1")
    await eventually(lambda: len(heard) == 3)
    assert heard == ["first 1", "second 1", "third 1"]
    first.close()
    third.close()
    assert await in_force(bus, here) == ["flow.finished"]
    second.close()
    await eventually(lambda: "flow.finished" not in patterns(here))


async def test_who_joins_is_given_the_newest_and_nobody_else_is(here: Pair[Any]) -> None:
    bus, broker, heard = here.bus, here.broker, list[str]()
    await broker.emit(Flow.progress, "1")
    first = bus.on(Flow.progress, lambda text: heard.append(f"first {text}"))
    await eventually(lambda: heard == ["first 1"])
    second = bus.on(Flow.progress, lambda text: heard.append(f"second {text}"))
    await eventually(lambda: heard == ["first 1", "second 1"])
    await broker.emit(Flow.progress, "2")
    await eventually(lambda: len(heard) == 4)
    assert heard[2:] == ["first 2", "second 2"]
    assert patterns(here) == ["flow.progress"]
    first.close()
    second.close()


async def test_readers_and_listeners_share_one_too(here: Pair[Any]) -> None:
    bus, heard = here.bus, list[str]()
    async with bus.events(Flow.finished) as events:
        bus.on(Flow.finished, heard.append)
        assert patterns(here) == ["flow.finished"]
        await here.broker.emit(Flow.finished, "1")
        assert await anext(events) == "1"
    await eventually(lambda: heard == ["1"])


async def test_what_asks_for_some_has_its_own(here: Pair[Any]) -> None:
    bus = here.bus
    await bus.on(Flow.finished, print).confirmed()
    await bus.on(Flow.finished, print, distinct=True).confirmed()
    await bus.on(Flow.finished, print, distinct=True).confirmed()
    assert [dict(each.options) for each in here.broker.subscriptions()] == [{}, {"distinct": True}]


async def test_a_refusal_is_told_to_all_that_share_it(here: Pair[Any]) -> None:
    both = [here.bus.on("flow.finishd", print) for _ in range(2)]
    for subscription in both:
        with pytest.raises(NotFound):
            await subscription.confirmed()
        assert not subscription.is_open


async def test_a_new_session_knows_them_again(here: Pair[Any]) -> None:
    bus, heard = here.bus, list[str]()
    await here.broker.emit(Flow.progress, "1")
    bus.on(Flow.progress, lambda text: heard.append(f"first {text}"))
    await eventually(lambda: bool(heard))
    bus.on(Flow.progress, lambda text: heard.append(f"second {text}"))
    await eventually(lambda: len(heard) == 2)
    heard.clear()
    await here.restart()
    await eventually(lambda: patterns(here) == ["flow.progress"])
    await here.broker.emit(Flow.progress, "2")
    await eventually(lambda: len(heard) >= 2)
    assert heard[-2:] == ["first 2", "second 2"]


async def test_once_and_off(here: Pair[Any]) -> None:
    bus, heard = here.bus, list[object]()

    async def later(text: str) -> None:
        heard.append(("later", text))

    bus.once(Flow.finished, heard.append)
    bus.once(Flow.finished, later)
    await bus.once("flow.*", heard.append).confirmed()
    await here.broker.emit(Flow.finished, "1")
    await here.broker.emit(Flow.finished, "2")
    await eventually(lambda: len(heard) == 3)
    assert set(map(str, heard)) == {"1", str(Received("flow.finished", "1")), "('later', '1')"}
    bus.on(Flow.finished, heard.append)
    bus.on(Flow.finished, print)
    assert bus.off(Flow.finished, print) == 1
    assert bus.off(Flow.finished) == 1
    assert bus.subscriptions() == []
    await eventually(lambda: patterns(here) == [])


async def test_lifetimes(here: Pair[Any]) -> None:
    bus, heard = here.bus, list[str]()
    ends = asyncio.get_running_loop().create_future()

    class Panel:
        def show(self, text: str) -> None:
            heard.append(text)

    panel = Panel()
    bus.on(Flow.finished, heard.append, until=ends)
    await bus.on(Flow.finished, panel.show, weak=True).confirmed()
    await here.broker.emit(Flow.finished, "1")
    await eventually(lambda: heard == ["1", "1"])
    del panel
    gc.collect()
    ends.set_result(None)
    await eventually(lambda: patterns(here) == [])
    assert not bus.on(Flow.finished, print, until=ends).is_open


async def test_leaving_async_with_waits_for_what_runs(here: Pair[Any]) -> None:
    bus, gate, log = here.bus, asyncio.Event(), list[str]()

    async def slow(text: str) -> None:
        log.append(f"begins {text}")
        await gate.wait()
        log.append(f"ends {text}")

    async def leave() -> None:
        async with bus.on(Flow.finished, slow) as subscription:
            await subscription.confirmed()
            await here.broker.emit(Flow.finished, "1")
            await eventually(lambda: bool(log))
        log.append("left")

    leaving = asyncio.create_task(leave())
    await eventually(lambda: log == ["begins 1"])
    for _ in range(5):
        await asyncio.sleep(0)
    assert not leaving.done()
    gate.set()
    await leaving
    assert log == ["begins 1", "ends 1", "left"]


async def test_an_async_listener_that_is_closed_before_its_turn_does_not_begin(here: Pair[Any]) -> None:
    bus, heard = here.bus, list[str]()

    async def hear(text: str) -> None:
        heard.append(text)

    def close(_: str) -> None:
        subscription.close()

    subscription = bus.on(Flow.finished, hear)
    await bus.on(Flow.finished, close).confirmed()
    await here.broker.emit(Flow.finished, "1")
    await eventually(lambda: not subscription.is_open)
    await bus.on(Flow.finished, heard.append).confirmed()
    await here.broker.emit(Flow.finished, "2")
    await eventually(lambda: heard == ["2"])


async def test_wait_for(here: Pair[Any]) -> None:
    bus = here.bus
    waiting = asyncio.create_task(bus.wait_for(Flow.finished, lambda text: text == "2", timeout=30))
    await eventually(lambda: patterns(here) == ["flow.finished"])
    await here.broker.emit(Flow.finished, "1")
    await here.broker.emit(Flow.finished, "2")
    assert await waiting == "2"
    await eventually(lambda: patterns(here) == [])
    with pytest.raises(TimeoutError, match=r"flow\.finished: no such event within 0.01 s"):
        await bus.wait_for(Flow.finished, timeout=0.01)
    with pytest.raises(NotFound):
        await bus.wait_for("flow.finishd")


async def test_who_waits_is_told_of_the_end() -> None:
    async with connect(Broker(Flow)) as bus:
        waiting = asyncio.create_task(bus.wait_for(Flow.finished))
        await asyncio.sleep(0)
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises((ConnectionLost, CallCancelled)):
        await bus.on(Flow.finished, print).confirmed()


async def test_100_000_subscriptions_that_were_closed_leave_nothing(here: Pair[Any]) -> None:
    bus = here.bus

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    async def open_and_close(count: int) -> None:
        whats: list[str] = ["flow.finished", "flow.progress", "flow.*", "flow.**"]
        opened = [bus.on(whats[number % 4], print) for number in range(count)]
        await opened[-1].confirmed()
        for each in opened:
            each.close()
        await in_force(bus, here)
        bus.off("flow.*.never")
        await eventually(lambda: patterns(here) == [])

    for _ in range(3):
        await open_and_close(1_000)
    before = objects()
    for _ in range(10):
        await open_and_close(10_000)
    assert objects() - before < 1_000
