# mypy: ignore-errors
"""Right and wrong uses of a client. Each line that a type checker must flag ends in `# error`; no other may be."""

import asyncio
from collections.abc import AsyncIterator
from typing import assert_type

from pydantic import BaseModel

from ionbus.client.client import connect
from ionbus.contract.contract import Call, Contract, Event, Received, Stream
from ionbus.dispatch.context import Context
from ionbus.events.recorded import not_, one_of


class Request(BaseModel):
    x: int


class Result(BaseModel):
    y: int


class Conductor(Contract, name="conductor"):
    progress = Event(Result)
    tick = Event(None)
    cancelled = Event(Request, source="client")
    stopped = Event(None, source="client")
    noted = Event(str, source="any")
    execute = Call(Request, Result)
    ping = Call(None, None)
    pick = Call(Request, Result, served_by="client")
    logs = Stream(Request, Result)
    ticks = Stream(None, int)
    upload = Stream(Request, bytes, served_by="client")


async def pick(request: Request) -> Result:
    return Result(y=request.x)


async def pick_with_context(request: Request, ctx: Context) -> Result:
    assert ctx.deadline is None
    return Result(y=request.x)


async def upload(request: Request) -> AsyncIterator[bytes]:
    yield bytes(request.x)


async def pick_otherwise(request: Request) -> Request:
    return request


async def upload_otherwise(request: Request) -> AsyncIterator[str]:
    yield str(request.x)


def show(result: Result) -> int:
    return result.y


async def show_soon(result: Result) -> None: ...


def show_otherwise(request: Request) -> None: ...


def show_each(results: list[Result]) -> None: ...


def show_all_of_them(received: list[Received[object]]) -> None: ...


def show_all(received: Received[object]) -> None:
    if Conductor.progress.matches(received):
        assert_type(received.payload, Result)


async def main(request: Request) -> None:
    async with connect("ws://127.0.0.1:1", token="t") as bus:
        assert_type(await bus.call(Conductor.execute, request, timeout=5.0), Result)
        await bus.call(Conductor.ping)
        await bus.call(Conductor.execute, Result(y=1))  # error
        await bus.call(Conductor.execute)  # error
        await bus.call(Conductor.pick, request)  # error
        await bus.call(Conductor.ticks)  # error

        async with bus.stream(Conductor.logs, request) as lines:
            async for line in lines:
                assert_type(line, Result)
        async with bus.stream(Conductor.ticks) as ticks:
            async for tick in ticks:
                assert_type(tick, int)
        bus.stream(Conductor.logs, "x")  # error
        bus.stream(Conductor.logs, Result(y=1))  # error
        bus.stream(Conductor.logs)  # error
        bus.stream(Conductor.upload, request)  # error
        bus.stream(Conductor.execute, request)  # error

        await bus.emit(Conductor.cancelled, request)
        await bus.emit(Conductor.stopped)
        await bus.emit(Conductor.noted, "x")
        await bus.emit(Conductor.cancelled, Result(y=1))  # error
        await bus.emit(Conductor.cancelled)  # error
        await bus.emit(Conductor.progress, Result(y=1))  # error

        bus.on(Conductor.progress, show)
        bus.on(Conductor.progress, show_soon)
        bus.on(Conductor.tick, lambda _: None)
        bus.on(Conductor, show_all)
        bus.on("conductor.*", show_all)
        bus.on(Conductor.progress, show_otherwise)  # error
        bus.on(Conductor.execute, show)  # error
        bus.on(Conductor.progress, show, weak=True, until=asyncio.current_task())
        bus.on(Conductor.progress, show, until=5)  # error
        bus.once(Conductor.progress, show)
        bus.once("conductor.*", show_all)
        bus.once(Conductor.progress, show_otherwise)  # error
        assert_type(bus.off(Conductor.progress, show), int)
        assert_type(await bus.wait_for(Conductor.progress, lambda result: result.y > 1, timeout=5), Result)
        assert_type(await bus.wait_for(Conductor), Received[object])
        await bus.wait_for(Conductor.progress, lambda result: result.z)  # error
        with bus.on(Conductor.progress, show) as subscription:
            subscription()
        async with bus.events(Conductor.progress) as events:
            async for event in events:
                assert_type(event, Result)
        bus.events(Conductor.execute)  # error

        bus.on(Conductor.progress, show, every=0.1, latest_by="y", distinct=True)
        bus.on(Conductor.progress, show_each, batch=(100, 0.05))
        bus.on(Conductor, show_all_of_them, batch=(100, 0.05), where="y > 3")
        bus.on(Conductor.progress, show, where=lambda p: (p.y >= 3) & not_(p.y == 4) | one_of(p.y, [5, 6]))
        bus.on(Conductor.progress, show, where={"any": [["y", ">", 3], ["y", "==", 1]]})
        async with bus.events(Conductor.progress, batch=(10, 0.1), where=lambda p: p.y > 3) as batches:
            async for batch in batches:
                assert_type(batch, list[Result])
        async with bus.events("conductor.*", batch=(10, 0.1)) as received:
            async for some in received:
                assert_type(some, list[Received[object]])
        bus.on(Conductor.progress, show, batch=(100, 0.05))  # error
        bus.on(Conductor.progress, show_each)  # error
        bus.on(Conductor.progress, show, where=lambda p: p.z > 3)  # error
        bus.on(Conductor.progress, show, where=lambda p: p.y > "a")  # error
        bus.on(Conductor.progress, show, where=lambda p: "yes")  # error
        bus.on(Conductor.progress, show, every="often")  # error
        bus.events(Conductor.progress, where=lambda p: p.z > 3)  # error

        bus.handle(Conductor.pick)(pick)
        bus.handle(Conductor.pick)(pick_with_context)
        bus.handle(Conductor.upload)(upload)
        bus.handle(Conductor.pick)(pick_otherwise)  # error
        bus.handle(Conductor.pick)(show_otherwise)  # error
        bus.handle(Conductor.upload)(upload_otherwise)  # error
        bus.handle(Conductor.execute)  # error
        bus.handle(Conductor.logs)  # error
        bus.handle(Conductor.cancelled)  # error
