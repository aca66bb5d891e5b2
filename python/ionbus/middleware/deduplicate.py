"""Carrying out once what comes more than once, told by a key in the payload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

from ionbus.middleware.message import AnyMiddleware, Dropped, Message, drop
from ionbus.middleware.passing import Fading, now, principal_of

Once = asyncio.Future[Any]
"""One run of a call, or passage of an event; cancelled where it failed."""


def deduplicate(
    key: Callable[[Any], Hashable], *, window: float = 300.0, limit: int = 10_000
) -> AnyMiddleware:
    """Let events and calls pass once for each key of one member and principal; streams pass as they are.

    An event that comes again is dropped by the reason `duplicate`; a call gets the answer of the first, and waits for it where it is
    under way. What failed, or was dropped further in, may come again.

    Args:
        key: gives a payload's id, as `lambda order: order.id`.
        window: seconds that keys and answers are kept.
        limit: how many are kept.

    Raises:
        ValueError: a number is not more than 0.
    """
    if window <= 0 or limit < 1:
        raise ValueError(f"deduplicate(window={window!r}, limit={limit!r}): both are more than 0")
    seen: Fading[Once] = Fading(window, limit)

    async def once_only(message: Message[Any], next: Any) -> Any:
        if message.kind == "stream":
            return await next(message)
        scope = (message.direction, message.name, principal_of(message), key(message.payload))
        while (before := seen.get(scope, now())) is not None:
            if message.kind == "event":
                return drop("duplicate")
            await asyncio.wait([before])
            if not before.cancelled():
                return before.result()
        once: Once = asyncio.get_running_loop().create_future()
        seen.put(scope, once, now())
        try:
            result = await next(message)
        except BaseException:
            seen.remove(scope)
            once.cancel()
            raise
        if isinstance(result, Dropped):
            seen.remove(scope)
        once.set_result(result)
        return result

    once_only.__qualname__ = "deduplicate"
    return once_only
