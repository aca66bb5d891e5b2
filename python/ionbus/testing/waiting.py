"""Waiting with an end: by the loop's time, which a fake clock lets pass while we wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ionbus.testing.clock import FakeClock

T = TypeVar("T")


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """Wait for something, so many seconds by the loop's time. Where a fake clock drives the loop, it goes on as needed.

    Raises:
        TimeoutError: it is not over in time.
    """
    clock = FakeClock.of()
    if clock is not None:
        return await clock.drive(awaitable, seconds)
    async with asyncio.timeout(seconds):
        return await awaitable


class Watched:
    """Something that changes, and those who wait until it has a certain form."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        """Let everybody look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, found: Callable[[], T | None]) -> T:
        """Wait until a function gives something; it is asked now and after each change."""
        while (value := found()) is None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
        return value
