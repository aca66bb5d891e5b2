"""A contract with a bit of everything, a broker that serves it, and ways to take hold of what is between the two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from ionbus import Broker, Bus, Call, Context, Contract, ContractError, Event, Stream, ThreadContext
from ionbus.channels.base import Opener
from ionbus.channels.memory import MemoryListener, MemoryWire
from ionbus.client.client_session import ClientSession
from ionbus.errors import SessionLost
from ionbus.generated.protocol import Limits
from ionbus.testing import pair


def end_sessions(broker: Broker[Any], code: str = "slow_consumer") -> None:
    """The broker ends each session, as it does with the one of a client that does not read."""
    serving = broker._serving
    assert serving is not None
    for session in broker.sessions:
        session.close_channel(code, "in a test", over=True)
        serving.end(session, code, SessionLost("in a test"))


class Pair(BaseModel):
    left: int
    right: int


class Progress(BaseModel):
    job: str
    percent: float


class TooBig(ContractError):
    """The numbers are too big."""

    code = "too_big"
    limit: int


class Workshop(Contract, name="workshop", version="1.0"):
    """Everything that a contract can hold."""

    add = Call(Pair, int, raises=[TooBig])
    echo = Call(bytes, bytes)
    wait = Call(str, str)
    block = Call(str, str)
    fail = Call(str, None)
    report = Call(int, str)
    ask_back = Call(str, str)
    hurried = Call(None, str, timeout=0.05)
    count = Stream(int, int, raises=[TooBig])
    count_on_thread = Stream(int, int)
    total = Call(None, int)

    progress = Event(Progress, delivery="latest", key="job")
    noticed = Event(str)
    glimpsed = Event(str, delivery="volatile")
    said = Event(str, source="client")
    shouted = Event(str, source="any")
    pinged = Event(None)
    sized = Event(list[int], source="client")

    question = Call(str, str, served_by="client", raises=[TooBig])
    numbers = Stream(int, int, served_by="client")


@dataclass
class Bench:
    """What the broker's handlers saw, and what holds them up."""

    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    thread_gates: dict[str, threading.Event] = field(default_factory=dict)
    contexts: list[Context[Any]] = field(default_factory=list)

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    def thread_gate(self, name: str) -> threading.Event:
        return self.thread_gates.setdefault(name, threading.Event())


@asynccontextmanager
async def bench(_: Broker[Bench]) -> AsyncIterator[Bench]:
    yield Bench()


def make_broker(limits: Limits | None = None) -> Broker[Bench]:
    """A broker that handles all of `Workshop`."""
    broker = Broker(Workshop, lifespan=bench, limits=limits)

    @broker.handle(Workshop.add)
    async def add(pair: Pair) -> int:
        if pair.left > 1000:
            raise TooBig(limit=1000)
        return pair.left + pair.right

    @broker.handle(Workshop.echo)
    async def echo(data: bytes) -> bytes:
        return data

    @broker.handle(Workshop.wait)
    async def wait(name: str, ctx: Context[Bench]) -> str:
        state = ctx.state
        state.started.append(name)
        state.contexts.append(ctx)
        try:
            await state.gate(name).wait()
        finally:
            state.ended.append(name)
        return name

    @broker.handle(Workshop.block)
    def block(name: str, ctx: ThreadContext[Bench]) -> str:
        ctx.state.started.append(name)
        ctx.state.thread_gate(name).wait(10)
        ctx.state.ended.append(f"{name} {ctx.cancelled}")
        return name

    @broker.handle(Workshop.fail)
    async def fail(kind: str) -> None:
        if kind == "exit":
            raise SystemExit(3)
        if kind == "undeclared":
            raise TooBig(limit=1)
        raise RuntimeError("the secret is 42")

    @broker.handle(Workshop.report)
    async def report(steps: int, ctx: Context[Bench]) -> str:
        for step in range(steps):
            await ctx.emit(Workshop.noticed, f"step {step}")
        return "done"

    @broker.handle(Workshop.ask_back)
    async def ask_back(text: str, ctx: Context[Bench]) -> str:
        return await ctx.call(Workshop.question, text)

    @broker.handle(Workshop.hurried)
    async def hurried(ctx: Context[Bench]) -> str:
        try:
            await asyncio.sleep(30)
        finally:
            ctx.state.ended.append("hurried")
        return ""

    @broker.handle(Workshop.count)
    async def count(upto: int, ctx: Context[Bench]) -> AsyncIterator[int]:
        try:
            for number in range(upto):
                if number == 5000:
                    raise TooBig(limit=5000)
                ctx.state.started.append(str(number))
                yield number
        finally:
            ctx.state.ended.append("count")

    @broker.handle(Workshop.count_on_thread)
    def count_on_thread(upto: int, ctx: ThreadContext[Bench]) -> Iterator[int]:
        try:
            for number in range(upto):
                ctx.state.started.append(str(number))
                yield number
        finally:
            ctx.state.ended.append("count_on_thread")

    @broker.handle(Workshop.total)
    async def total(ctx: Context[Bench]) -> int:
        result = 0
        async with ctx.stream(Workshop.numbers, 100) as numbers:
            async for number in numbers:
                result += number
        return result

    @broker.on(Workshop.said)
    async def said(text: str, ctx: Context[Bench]) -> None:
        ctx.state.heard.append(text)

    return broker


async def eventually(is_true: Callable[[], object], what: str = "it") -> None:
    """Wait for a condition, five seconds at most."""
    try:
        async with asyncio.timeout(5):
            while not is_true():  # noqa: ASYNC110 - any condition will do
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"{what} has not come true") from None


@asynccontextmanager
async def opened_bus(opener: Opener, limits: Limits | None = None) -> AsyncIterator[Bus]:
    """A bus over any opener."""
    session = ClientSession(
        opener, contracts=(), limits=limits or Limits(), agent="tests", may_renew_token=True
    )
    try:
        await session.start(wait=True)
        yield Bus(session)
    finally:
        await session.close()


@dataclass
class Rig:
    """A broker with one client on a memory wire that can be cut."""

    broker: Broker[Bench]
    listener: MemoryListener
    bus: Bus

    @property
    def wire(self) -> MemoryWire:
        """What the client is connected by now."""
        assert self.listener.wire is not None
        return self.listener.wire

    @property
    def bench(self) -> Bench:
        return self.broker.state


@asynccontextmanager
async def rig(broker: Broker[Bench] | None = None, limits: Limits | None = None) -> AsyncIterator[Rig]:
    """Set up a rig."""
    async with pair(broker or make_broker(), limits=limits) as at:
        yield Rig(at.broker, at.listener, at.bus)
