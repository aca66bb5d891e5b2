"""Waiting for one event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ionbus.events.subscription import Subscription


async def next_event(
    subscribe: Callable[[Callable[[Any], object]], Subscription],
    pattern: str,
    where: Callable[[Any], object] | None,
    timeout: float | None,
    why_closed: Callable[[Subscription], Exception],
) -> Any:
    """Wait for the next event, or for the next for which `where` is true.

    Args:
        subscribe: makes the subscription, given what is called with each event.
        pattern: what is waited for, for errors.
        where: given the payload; what it raises is raised here.
        timeout: seconds; None: for ever.
        why_closed: what to raise where the subscription is closed by somebody else.

    Raises:
        TimeoutError: none came in time.
    """
    came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def hear(value: Any) -> None:
        if came.done():
            return
        try:
            is_it = where is None or where(value)
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            if not came.done():
                came.set_exception(error)
        else:
            if not is_it or came.done():  # `where` may have emitted another
                return
            came.set_result(value)
        subscription.close()

    def ended() -> None:
        if not came.done():
            came.set_exception(why_closed(subscription))

    with subscribe(hear) as subscription:
        subscription.on_close(ended)
        try:
            done, _ = await asyncio.wait([came], timeout=timeout)
            if not done:
                raise TimeoutError(f"{pattern}: no such event within {timeout:g} s")
            return came.result()
        finally:
            came.cancel()  # nobody is there to be told of an error any more
