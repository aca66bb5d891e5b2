# mypy: ignore-errors
"""Right and wrong uses of a broker, for type checkers. Each wrong line ends in `# error`; no other may be flagged."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from pydantic import BaseModel

from ionbus.broker.broker import Broker
from ionbus.broker.served_session import Session
from ionbus.contract.contract import Call, Contract, Event, Received, Stream
from ionbus.dispatch.context import Context, ThreadContext
from ionbus.dispatch.handlers import Handlers


class Request(BaseModel):
    x: int


class Result(BaseModel):
    y: int


class Conductor(Contract, name="conductor"):
    progress = Event(Result)
    tick = Event(None)
    cancelled = Event(Request, source="client")
    noted = Event(str, source="any")
    execute = Call(Request, Result)
    ping = Call(None, None)
    pick = Call(Request, Result, served_by="client")
    focus = Call(None, int, served_by="client")
    logs = Stream(Request, Result)
    ticks = Stream(None, int)
    upload = Stream(Request, bytes, served_by="client")


broker = Broker(Conductor)
handlers = Handlers(Conductor)


# --- Handlers -----------------------------------------------------------------------------------------


@broker.handle(Conductor.execute)
async def execute(request: Request, ctx: Context) -> Result:
    await ctx.emit(Conductor.progress, Result(y=1))
    await ctx.emit(Conductor.tick)
    assert_type(await ctx.call(Conductor.pick, request), Result)
    assert_type(await ctx.call(Conductor.focus, timeout=1.0), int)
    async with ctx.stream(Conductor.upload, request) as chunks:
        async for chunk in chunks:
            assert_type(chunk, bytes)
    await ctx.emit(Conductor.progress, request)  # error
    await ctx.emit(Conductor.progress)  # error
    await ctx.emit(Conductor.cancelled, request)  # error
    await ctx.call(Conductor.execute, request)  # error
    await ctx.call(Conductor.pick, Result(y=1))  # error
    await ctx.call(Conductor.pick)  # error
    ctx.stream(Conductor.logs, request)  # error
    ctx.stream(Conductor.upload, Result(y=1))  # error
    ctx.stream(Conductor.upload)  # error
    return Result(y=request.x)


@handlers.handle(Conductor.execute)
async def execute_plainly(request: Request) -> Result:
    return Result(y=request.x)


@handlers.handle(Conductor.execute)
def execute_on_a_thread(request: Request, ctx: ThreadContext) -> Result:
    ctx.emit(Conductor.progress, Result(y=1))
    assert_type(ctx.call(Conductor.pick, request), Result)
    ctx.emit(Conductor.noted, 3)  # error
    return Result(y=request.x)


@handlers.handle(Conductor.ping)
async def ping() -> None: ...


@handlers.handle(Conductor.ping)
async def ping_with_context(ctx: Context) -> None: ...


@handlers.handle(Conductor.logs)
async def logs(request: Request) -> AsyncIterator[Result]:
    yield Result(y=request.x)


@handlers.handle(Conductor.logs)
def logs_on_a_thread(request: Request, ctx: ThreadContext) -> Iterator[Result]:
    yield Result(y=request.x)


@handlers.handle(Conductor.ticks)
async def ticks() -> AsyncIterator[int]:
    yield 1


async def answers_otherwise(request: Request) -> Request:
    return request


async def asks_otherwise(request: Result) -> Result:
    return request


async def has_the_wrong_context(request: Request, ctx: ThreadContext) -> Result:
    return Result(y=1)


def has_the_wrong_context_too(request: Request, ctx: Context) -> Result:
    return Result(y=1)


async def takes_nothing() -> Result:
    return Result(y=1)


async def yields_otherwise(request: Request) -> AsyncIterator[str]:
    yield "x"


broker.handle(Conductor.execute)(answers_otherwise)  # error
broker.handle(Conductor.execute)(asks_otherwise)  # error
broker.handle(Conductor.execute)(takes_nothing)  # error
broker.handle(Conductor.execute)(has_the_wrong_context)  # error
broker.handle(Conductor.execute)(has_the_wrong_context_too)  # error
broker.handle(Conductor.logs)(yields_otherwise)  # error
broker.handle(Conductor.logs)(answers_otherwise)  # error
broker.handle(Conductor.pick)  # error
broker.handle(Conductor.upload)  # error
broker.handle(Conductor.progress)  # error


# --- Listeners ----------------------------------------------------------------------------------------


@broker.on(Conductor.cancelled)
async def cancelled(event: Request, ctx: Context) -> None: ...


@broker.on(Conductor.cancelled)
def cancelled_on_a_thread(event: Request) -> int:
    return event.x


async def listens_otherwise(event: Result) -> None: ...


broker.on(Conductor.cancelled)(listens_otherwise)  # error
broker.on(Conductor.progress)  # error
broker.on(Conductor.execute)  # error


@broker.on("conductor.*")
async def hears_all(received: Received[object], ctx: Context) -> None: ...


@broker.once(Conductor)
def hears_one(received: Received[object]) -> None: ...


broker.once(Conductor.cancelled)(cancelled_on_a_thread)
broker.on(Conductor)(listens_otherwise)  # error
broker.once(Conductor.cancelled)(listens_otherwise)  # error
broker.events(Conductor.progress)  # error


# --- Out of the blue ----------------------------------------------------------------------------------


async def main(session: Session) -> None:
    assert_type(broker.off(Conductor.cancelled, cancelled), int)
    assert_type(await broker.wait_for(Conductor.noted, lambda text: text > "", timeout=1), str)
    await broker.wait_for(Conductor.noted, lambda text: text.x)  # error
    async with broker.events(Conductor.cancelled, overflow="oldest") as events:
        async for event in events:
            assert_type(event, Request)
    broker.emitter.on(Conductor.cancelled, listens_otherwise)  # error
    await broker.emit(Conductor.progress, Result(y=1))
    await broker.emit(Conductor.noted, "x")
    await broker.emit(Conductor.tick)
    assert_type(await broker.call(session, Conductor.pick, Request(x=1)), Result)
    await broker.emit(Conductor.progress, Request(x=1))  # error
    await broker.emit(Conductor.progress)  # error
    await broker.emit(Conductor.tick, 3)  # error
    await broker.emit(Conductor.cancelled, Request(x=1))  # error
    await broker.emit(Conductor.execute, Request(x=1))  # error
    await broker.call(session, Conductor.execute, Request(x=1))  # error
    await broker.call(session, Conductor.pick, Result(y=1))  # error
