"""The contract, the broker's process and the clients of the trials under load: stalled, capacity, fairness.

`python -m trials.loading LIMITS` is the broker: a JSON object of what differs from the default limits. It says its URL on standard
output and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Self

from pydantic import BaseModel

from ionbus import Broker, Bus, Call, Context, Contract, Event
from ionbus.generated.protocol import Limits
from trials.report import environment_of_trials, resident_bytes

HELPING = 20
"""Events that a flood emits at once."""


class Flood(BaseModel):
    """Events to emit: so many a second, each of so many bytes, and news for everybody in between."""

    events: int
    per_second: int
    size: int
    news_every: int


class Facts(BaseModel):
    """How it stands with the broker."""

    sessions: int
    held_bytes: int
    most_held_bytes: int
    resident_bytes: int
    dropped: dict[str, dict[str, int]]


class Load(Contract, name="load", version="1.0"):
    """What the trials under load need."""

    ping = Call(int, int)
    hold = Call(str, int, timeout=None, doc="Answered once `release` is called: how many waited then.")
    waiting = Call(str, int, doc="How many calls of `hold` wait.")
    release = Call(str, int)
    facts = Call(None, Facts)
    flood = Call(Flood, float, timeout=None, doc="Answered at its end, with the seconds that it took.")
    fetch = Call(int, bytes, timeout=None, doc="So many bytes.")
    store = Call(bytes, int, timeout=None, doc="How many bytes that were.")
    shout = Event(bytes, source="client")
    tick = Event(bytes)
    news = Event(int)


@dataclass
class State:
    """What the broker remembers."""

    gates: dict[str, asyncio.Event]
    waiting: dict[str, int]
    most_held_bytes: int = 0


@asynccontextmanager
async def state(broker: Broker[State]) -> AsyncIterator[State]:
    """Watches what is held for clients."""
    kept = State({}, {})

    async def watch() -> None:
        while True:
            kept.most_held_bytes = max(kept.most_held_bytes, broker.held_bytes)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    yield kept
    watching.cancel()


def make_broker(limits: Limits) -> Broker[State]:
    """A broker that serves `Load`."""
    broker = Broker(Load, lifespan=state, limits=limits)

    @broker.handle(Load.ping)
    async def ping(number: int) -> int:
        return number

    @broker.handle(Load.hold)
    async def hold(gate: str, ctx: Context[State]) -> int:
        kept = ctx.state
        kept.waiting[gate] = kept.waiting.get(gate, 0) + 1
        await kept.gates.setdefault(gate, asyncio.Event()).wait()
        return kept.waiting[gate]

    @broker.handle(Load.waiting)
    async def waiting(gate: str, ctx: Context[State]) -> int:
        return ctx.state.waiting.get(gate, 0)

    @broker.handle(Load.release)
    async def release(gate: str, ctx: Context[State]) -> int:
        ctx.state.gates.setdefault(gate, asyncio.Event()).set()
        return ctx.state.waiting.get(gate, 0)

    @broker.handle(Load.facts)
    async def facts(ctx: Context[State]) -> Facts:
        return Facts(
            sessions=len(broker.sessions),
            held_bytes=broker.held_bytes,
            most_held_bytes=max(ctx.state.most_held_bytes, broker.held_bytes),
            resident_bytes=resident_bytes(),
            dropped=broker.dropped,
        )

    @broker.handle(Load.flood)
    async def flood(plan: Flood) -> float:
        began = due = time.perf_counter()
        for number in range(plan.events):
            await broker.emit(Load.tick, number.to_bytes(8, "big") + bytes(plan.size - 8))
            if plan.news_every and number % plan.news_every == 0:
                await broker.emit(Load.news, number // plan.news_every)
            if number % HELPING == HELPING - 1:
                now = time.perf_counter()
                due = max(
                    due + HELPING / plan.per_second, now
                )  # what is late is not made up for: the load stays even
                await asyncio.sleep(due - now)
        return time.perf_counter() - began

    @broker.handle(Load.fetch)
    async def fetch(size: int) -> bytes:
        return bytes(size)

    @broker.handle(Load.store)
    async def store(data: bytes) -> int:
        return len(data)

    @broker.on(Load.shout)
    async def shouted(data: bytes) -> None:
        pass

    return broker


@dataclass
class Served:
    """A broker in a process of its own."""

    url: str
    token: str
    pid: int

    @property
    def resident_bytes(self) -> int:
        """Its memory."""
        return resident_bytes(self.pid)


@asynccontextmanager
async def broker_process(**limits: int) -> AsyncIterator[Served]:
    """A broker that runs as long as the block does. `limits`: what differs from the default ones."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trials.loading",
        json.dumps(limits),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment_of_trials(),
    )
    try:
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline())
        yield Served(said["url"], said["token"], process.pid)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class MostResident:
    """The most memory that a process has had while the block runs, looked at every 50 ms."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._task: asyncio.Task[None] | None = None
        self.most = self.first = served.resident_bytes

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        self.most = max(self.most, self._served.resident_bytes)

    @property
    def growth(self) -> int:
        """Bytes more than at first, at most."""
        return self.most - self.first

    async def _watch(self) -> None:
        while True:
            self.most = max(self.most, self._served.resident_bytes)
            await asyncio.sleep(0.05)


async def timed_ping(bus: Bus, number: int = 0) -> float:
    """How many seconds a call takes."""
    began = time.perf_counter()
    answer = await bus.call(Load.ping, number)
    took = time.perf_counter() - began
    assert answer == number
    return took


def raise_open_files() -> int:
    """As many sockets as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def serve(limits: Limits) -> None:
    """Serve until standard input ends."""
    raise_open_files()
    async with make_broker(limits).serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,):
        print(json.dumps({"url": endpoint.url, "token": endpoint.token, "pid": os.getpid()}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(replace(Limits(), **json.loads(sys.argv[1]))))
