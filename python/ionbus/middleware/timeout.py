"""A bound on how long the rest of the way may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from math import isfinite
from typing import Any

from ionbus.errors import CallTimeout
from ionbus.middleware.message import AnyMiddleware, Message
from ionbus.middleware.passing import Passing, now


def timeout(seconds: float) -> AnyMiddleware:
    """Give up what takes longer: a call, an event, the opening of a stream and each of its items.

    What is given up is cancelled. A call that leaves tells the other side of this deadline, where it had none that is earlier.

    Args:
        seconds: more than 0.

    Raises:
        ValueError: it is no such time.
    """
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"timeout({seconds!r}) is not a time; give seconds, more than 0")

    async def bounded(message: Message[Any], next: Any) -> Any:
        if message.kind == "call":
            ends, given = now() + seconds, message.context.deadline
            if given is None or given > ends:
                message = message.replace(deadline=ends)
        result = await within(next(message), f"{message.name}: not answered within {seconds:g} s")
        if message.kind != "stream":
            return result
        late = f"{message.name}: no item came within {seconds:g} s"
        return Passing(result, lambda *_: None, lambda coming: within(coming, late))

    async def within(coming: Awaitable[Any], late: str) -> Any:
        bound = asyncio.timeout(seconds)
        try:
            async with bound:
                return await coming
        except TimeoutError:
            if bound.expired():
                raise CallTimeout(late) from None
            raise

    bounded.__qualname__ = "timeout"
    return bounded
