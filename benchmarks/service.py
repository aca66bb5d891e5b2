"""What every server does, whatever carries it."""

import asyncio
import time

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


def usage() -> float:
    """Seconds of CPU that this process has used."""
    return time.process_time()


EVENTS = {
    payload.kind: payload.model.model_validate(payload.make())
    for payload in map(PAYLOADS.__getitem__, ("20B", "150B", "5KB"))
}
"""What servers emit, by kind."""
