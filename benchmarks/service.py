"""What every server does, whatever carries it."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import cache

from benchmarks.models import Progress, Result, Tick
from benchmarks.payloads import PAYLOADS


class Service:
    """Handles the events, and knows when all have come."""

    def __init__(self) -> None:
        self._events = 0
        self._awaited = 0
        self._all_here = asyncio.Event()

    async def handle(self, event: Tick | Progress | Result) -> None:
        """One event, valid."""
        self._events += 1
        if self._events == self._awaited:
            self._all_here.set()

    async def received(self, count: int) -> int:
        """Wait until `count` events have been handled since the last time that this was asked; say how many."""
        if self._events < count:
            self._awaited = count
            await self._all_here.wait()
        events, self._events, self._awaited = self._events, 0, 0
        self._all_here.clear()
        return events


async def updates(count: int) -> AsyncIterator[Progress]:
    """So many, of ten nodes in turn: when each was made, in `progress`, and its number, in `meta.attempt`."""
    first = EVENTS["progress"]
    assert isinstance(first, Progress)
    for number in range(count):
        meta = first.meta.model_copy(update={"attempt": number})
        yield first.model_copy(update={"nodeId": f"node-{number % 10}", "progress": now_ms(), "meta": meta})
        if number % 100 == 99:
            await asyncio.sleep(0)  # whatever carries them has its turn


def now_ms() -> float:
    """Milliseconds since 1970, as JavaScript has them."""
    return time.time() * 1000


@cache
def content_of(size: int) -> bytes:
    """So many bytes."""
    return bytes([7]) * size


def usage() -> float:
    """Seconds of CPU that this process has used."""
    return time.process_time()


EVENTS = {
    payload.kind: payload.model.model_validate(payload.make())
    for payload in map(PAYLOADS.__getitem__, ("20B", "150B", "5KB"))
}
"""What servers emit, by kind."""
