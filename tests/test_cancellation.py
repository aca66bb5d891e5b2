"""A call that nobody waits for any more stops its handler, and a stream whose reader left closes its generator: in both
directions, on the loop and on threads, and across a channel that is lost before, or with, the news of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from ionbus import (
    Broker,
    Bus,
    Call,
    CallTimeout,
    ConnectionState,
    Context,
    Contract,
    Session,
    Stream,
    ThreadContext,
)
from ionbus.channels.memory import MemoryListener, MemoryWire
from ionbus.dispatch.reader import StreamReader
from ionbus.generated.protocol import Limits
from workshop import end_sessions, eventually, opened_bus

Cut = Literal["no cut", "cut before", "cut with the news"]
Where = Literal["at the broker", "on a thread", "at the client"]
BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)


class Work(Contract, name="work", version="1.0"):
    """Things that take for ever."""

    hold = Call(int, None, timeout=None)
    hold_on_thread = Call(int, None, timeout=None)
    hold_at_client = Call(int, None, timeout=None, served_by="client")
    ticks = Stream(int, int)
    ticks_on_thread = Stream(int, int)
    ticks_at_client = Stream(int, int, served_by="client")
    ping = Call(None, None)


@dataclass
class Scene:
    broker: Broker[Any]
    listener: MemoryListener
    bus: Bus
    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    @property
    def wire(self) -> MemoryWire:
        assert self.listener.wire is not None
        return self.listener.wire

    @property
    def session(self) -> Session:
        [session] = self.broker.sessions
        return session

    async def call(self, where: Where, timeout: float | None = None) -> None:
        match where:
            case "at the broker":
                await self.bus.call(Work.hold, 1, timeout=timeout)
            case "on a thread":
                await self.bus.call(Work.hold_on_thread, 1, timeout=timeout)
            case "at the client":
                await self.broker.call(self.session, Work.hold_at_client, 1, timeout=timeout)

    async def started_call(self, where: Where, timeout: float) -> asyncio.Task[None]:
        """A call whose handler has started: a busy machine may take longer than a caller who is in a hurry."""
        call = asyncio.create_task(self.call(where, timeout))
        await eventually(lambda: self.started or call.done())
        return call if self.started else await self.started_call(where, timeout * 2)

    def stream(self, where: Where) -> StreamReader[int]:
        match where:
            case "at the broker":
                return self.bus.stream(Work.ticks, 1)
            case "on a thread":
                return self.bus.stream(Work.ticks_on_thread, 1)
            case "at the client":
                return self.broker.stream(self.session, Work.ticks_at_client, 1)

    async def read_three(self, where: Where) -> None:
        async with self.stream(where) as ticks:
            assert [await anext(ticks) for _ in range(3)] == [0, 1, 2]
            await self.cut_before()

    cut: Cut = "no cut"

    async def cut_before(self) -> None:
        """What happens to the channel before it is given up."""
        match self.cut:
            case "cut before":
                self.listener.is_refusing = True
                self.wire.cut()
            case "cut with the news":
                self.wire.to_broker.stop()
                self.wire.to_client.stop()

    async def cut_after(self) -> None:
        """And after: the channel comes back."""
        await asyncio.sleep(0)
        if self.cut == "cut with the news":
            self.wire.cut()
        self.listener.is_refusing = False
        await eventually(lambda: self.bus.state == ConnectionState.OPEN)

    async def check(self, ends: int = 1) -> None:
        """The handler has ended, once, and the session goes on."""
        await eventually(lambda: len(self.ended) == ends, "the handler's end")
        assert self.started == [1] * ends
        await self.bus.call(Work.ping, timeout=5)
        assert self.ended == [1] * ends


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    broker = Broker(Work)
    made: list[Scene] = []
    stop = threading.Event()

    async def wait_for_ever(number: int) -> None:
        made[0].started.append(number)
        try:
            await asyncio.Event().wait()
        finally:
            made[0].ended.append(number)

    async def tick_for_ever(number: int) -> AsyncIterator[int]:
        made[0].started.append(number)
        try:
            count = 0
            while True:
                yield count
                count += 1
        finally:
            made[0].ended.append(number)

    @broker.handle(Work.hold)
    async def hold(number: int, ctx: Context[Any]) -> None:
        await wait_for_ever(number)

    @broker.handle(Work.hold_on_thread)
    def hold_on_thread(number: int, ctx: ThreadContext[Any]) -> None:
        made[0].started.append(number)
        while not ctx.cancelled and not stop.wait(0.005):
            pass
        made[0].ended.append(number)
        ctx.raise_if_cancelled()

    @broker.handle(Work.ticks)
    def ticks(number: int) -> AsyncIterator[int]:
        return tick_for_ever(number)

    @broker.handle(Work.ticks_on_thread)
    def ticks_on_thread(number: int) -> Iterator[int]:
        made[0].started.append(number)
        try:
            yield from range(1_000_000)
        finally:
            made[0].ended.append(number)

    @broker.handle(Work.ping)
    async def ping() -> None: ...

    async with broker.opened(grace=2.0):
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open, BRISK) as bus:
            bus.handle(Work.hold_at_client)(wait_for_ever)
            bus.handle(Work.ticks_at_client)(tick_for_ever)
            made.append(Scene(broker, listener, bus))
            try:
                yield made[0]
            finally:
                stop.set()


wheres = pytest.mark.parametrize("where", ["at the broker", "on a thread", "at the client"])
cuts = pytest.mark.parametrize("cut", ["no cut", "cut before", "cut with the news"])


async def given_up(at: Scene, call: Awaitable[None]) -> None:
    task = asyncio.ensure_future(call)
    await eventually(lambda: at.started)
    await at.cut_before()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


@wheres
@cuts
async def test_cancelling_a_call_stops_its_handler(where: Where, cut: Cut) -> None:
    async with scene() as at:
        at.cut = cut
        await given_up(at, at.call(where))
        await at.cut_after()
        await at.check()


@wheres
@cuts
async def test_a_call_that_times_out_stops_its_handler(where: Where, cut: Cut) -> None:
    async with scene() as at:
        at.cut = cut
        call = await at.started_call(where, timeout=0.1)
        await at.cut_before()
        with pytest.raises(CallTimeout):
            await call
        await at.cut_after()
        await at.check()


@wheres
@cuts
async def test_leaving_a_stream_closes_its_generator(where: Where, cut: Cut) -> None:
    async with scene() as at:
        at.cut = cut
        await at.read_three(where)
        await at.cut_after()
        await at.check()


@wheres
async def test_a_session_that_is_lost_stops_its_handlers(where: Where) -> None:
    async with scene() as at:
        call = asyncio.create_task(at.call(where))
        await eventually(lambda: at.started)
        end_sessions(at.broker)
        await eventually(lambda: at.ended == [1])
        await asyncio.gather(call, return_exceptions=True)


async def test_a_deadline_is_kept_where_the_handler_runs_also_without_its_caller() -> None:
    """CANCEL does not arrive, and the handler is stopped all the same."""
    async with scene() as at:
        call = asyncio.create_task(at.call("at the broker", timeout=0.1))
        await eventually(lambda: at.started)
        at.listener.is_refusing = True
        at.wire.cut()
        await eventually(lambda: at.ended == [1])
        with pytest.raises(CallTimeout):
            await call
        at.listener.is_refusing = False
        await eventually(lambda: at.bus.state == ConnectionState.OPEN)
        await at.check()


async def test_a_call_that_ends_as_it_is_cancelled_disturbs_nothing() -> None:
    async with scene() as at:
        for attempt in range(50):
            task = asyncio.create_task(at.bus.call(Work.ping))
            for _ in range(attempt % 7):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await at.bus.call(Work.ping)
