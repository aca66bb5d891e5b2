"""A short conversation with a little of everything, and whether all of it came about exactly once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from ionbus import Broker, Bus, Call, Context, Contract, Event, Stream
from ionbus.generated.protocol import Limits

LIMITS = replace(
    Limits(),
    transfer_threshold_bytes=120,
    transfer_part_bytes=60,
    ack_elements=4,
    retry_base_ms=0,
    heartbeat_ms=1_000,
    silence_ms=3_000,
)
"""With these a large payload has some hundred bytes, and a client comes back at once."""

LARGE = bytes(range(200))


class Talk(Contract, name="t", version="1"):
    """Short names: each byte costs a run."""

    do = Call(str, str)
    echo = Call(bytes, bytes)
    back = Call(int, int)
    count = Stream(int, int)
    told = Event(str)
    said = Event(str, source="client")
    ask = Call(int, int, served_by="client")
    give = Stream(int, int, served_by="client")


@dataclass
class Seen:
    """What the broker has seen of one session."""

    executed: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)


talk_broker = Broker(Talk, limits=LIMITS)
seen: defaultdict[str, Seen] = defaultdict(Seen)
"""By the session's id."""


@talk_broker.handle(Talk.do)
async def do(name: str, ctx: Context) -> str:
    seen[ctx.session.id].executed[name] += 1
    await ctx.emit(Talk.told, f"{name} begins")
    await ctx.emit(Talk.told, f"{name} ends")
    return name


@talk_broker.handle(Talk.echo)
async def echo(data: bytes, ctx: Context) -> bytes:
    seen[ctx.session.id].executed["echo"] += 1
    return data


@talk_broker.handle(Talk.back)
async def back(number: int, ctx: Context) -> int:
    seen[ctx.session.id].executed["back"] += 1
    total = await ctx.call(Talk.ask, number)
    async with ctx.stream(Talk.give, 3) as numbers:
        async for given in numbers:
            total += given
    return total


@talk_broker.handle(Talk.count)
async def count(upto: int, ctx: Context) -> AsyncIterator[int]:
    seen[ctx.session.id].executed["count"] += 1
    for number in range(upto):
        yield number


@talk_broker.on(Talk.said)
async def said(text: str, ctx: Context) -> None:
    seen[ctx.session.id].said.append(text)


async def converse(bus: Bus) -> None:
    """Say everything, and check it."""
    heard: list[str] = []
    asked: list[int] = []
    outcomes: list[str] = []
    bus.on_state(lambda change: outcomes.append(change.outcome) if change.outcome is not None else None)
    subscription = bus.on(Talk.told, heard.append)

    @bus.handle(Talk.ask)
    async def ask(number: int) -> int:
        asked.append(number)
        return number + 1

    @bus.handle(Talk.give)
    async def give(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    await subscription.confirmed()
    assert await bus.call(Talk.do, "a") == "a"
    await bus.emit(Talk.said, "1")
    await bus.emit(Talk.said, "2")
    async with bus.stream(Talk.count, 3) as numbers:
        assert [number async for number in numbers] == [0, 1, 2]
    assert await bus.call(Talk.echo, LARGE) == LARGE
    await bus.emit(Talk.said, "3")
    assert await bus.call(Talk.back, 10) == 14
    assert await bus.call(Talk.do, "b") == "b"
    assert heard == ["a begins", "a ends", "b begins", "b ends"]
    assert asked == [10]
    assert outcomes == ["fresh", *["resumed"] * (len(outcomes) - 1)]


def check_broker(session: str) -> None:
    """Everything arrived at the broker, once."""
    at_broker = seen.pop(session)
    assert at_broker.executed == {"a": 1, "b": 1, "echo": 1, "back": 1, "count": 1}
    assert at_broker.said == ["1", "2", "3"]
