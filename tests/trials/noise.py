"""Clients that ask for much, a process of its own: `python -m trials.noise URL TOKEN MEGABYTES`.

One fetches so many megabytes in one answer, one sends as many in one request, one is flooded with events, and one floods the broker.
When both transfers are over it prints what became of its sessions.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from ionbus import Bus, ConnectionState, connect
from trials.loading import Flood, Load

FLOOD = Flood(events=10**9, per_second=10**9, size=300, news_every=0)
"""Without an end, as fast as it can be taken."""


async def fetch(bus: Bus, size: int) -> float:
    """A large answer; how many seconds it took."""
    began = time.perf_counter()
    data = await bus.call(Load.fetch, size)
    assert len(data) == size
    return time.perf_counter() - began


async def store(bus: Bus, size: int) -> float:
    """A large request."""
    data = bytes(size)
    began = time.perf_counter()
    assert await bus.call(Load.store, data) == size
    return time.perf_counter() - began


async def shout(bus: Bus) -> None:
    """Events without an end."""
    while True:
        await bus.emit(Load.shout, bytes(300))


async def main() -> None:
    """Make noise."""
    url, token, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    interruptions: list[str] = []
    heard: list[int] = [0]
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(connect(url, token=token)) for _ in range(4)]
        for bus in buses:
            bus.on_state(
                lambda change: (
                    interruptions.append(f"{change.code}: {change.reason}")
                    if change.after not in (ConnectionState.OPEN, ConnectionState.CLOSED)
                    else None
                )
            )

        def hear(_: Any) -> None:
            heard[0] += 1

        await buses[2].on(Load.tick, hear).confirmed()
        flooding = [
            asyncio.create_task(buses[2].call(Load.flood, FLOOD)),
            asyncio.create_task(shout(buses[3])),
        ]
        while heard[0] < 100:  # noqa: ASYNC110 - events come by themselves
            await asyncio.sleep(0.01)
        print("noisy", flush=True)
        size = megabytes * 1_000_000
        fetched, stored = await asyncio.gather(fetch(buses[0], size), store(buses[1], size))
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
        outcome = {
            "fetched_mb_a_second": round(megabytes / fetched, 1),
            "stored_mb_a_second": round(megabytes / stored, 1),
            "events_heard": heard[0],
            "interruptions": list(interruptions),
        }
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
