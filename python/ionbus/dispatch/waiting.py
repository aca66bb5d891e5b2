"""Waiting for something that several tasks may wait for: each is woken, and looks again."""

from __future__ import annotations

import asyncio

Waiters = set[asyncio.Future[None]]


async def wait_with(waiters: Waiters, loop: asyncio.AbstractEventLoop) -> None:
    """Wait until `wake` is called."""
    waiter = loop.create_future()
    waiters.add(waiter)
    try:
        await waiter
    finally:
        waiters.discard(waiter)


def wake(waiters: Waiters) -> None:
    """All that wait look again."""
    for waiter in tuple(waiters):
        if not waiter.done():
            waiter.set_result(None)
