"""So many messages a second, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from math import isfinite
from typing import Any, Final, Literal

from ionbus.middleware.failures import RateLimited
from ionbus.middleware.message import AnyMiddleware, Message, drop
from ionbus.middleware.passing import Fading, now, principal_of

_MOST_BUCKETS: Final = 10_000


class TokenBucket:
    """`rate` tokens a second flow into it, and it holds `burst` of them.

    Args:
        rate: tokens a second.
        burst: the most that it holds, and what it begins with.
        at: now, in seconds.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, at: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = at

    def wait(self, at: float) -> float:
        """Seconds until there is a token to take; 0: there is one."""
        self._tokens = min(self._burst, self._tokens + (at - self._at) * self._rate)
        self._at = at
        return max(0.0, (1 - self._tokens) / self._rate)

    def take(self) -> None:
        """Take one, or owe it to those that come later."""
        self._tokens -= 1


def rate_limit(
    rate: float,
    burst: int | None = None,
    *,
    per: Literal["session", "principal", "all"] | Callable[[Message[Any]], Hashable] = "session",
    excess: Literal["refuse", "wait"] = "refuse",
) -> AnyMiddleware:
    """Let so many messages pass a second, counted together for all that this stands around.

    What is too much fails with `RateLimited` (code `rate_limited`, `retry_after`); an event is dropped by the reason `rate_limited`.

    Args:
        rate: messages a second.
        burst: how many may come at once; as many as in a second where it is left out, at least one.
        per: who has a rate of their own: each session, each principal, nobody, or whoever a function tells by a key.
        excess: "wait" delays what is too much instead, unless its deadline would pass.

    Raises:
        ValueError: the rate is none, or a choice is not one of these.
    """
    if not (isfinite(rate) and rate > 0) or (burst is not None and burst < 1):
        raise ValueError(
            f"rate_limit({rate!r}, {burst!r}): give messages a second, more than 0, and a burst of 1 or more"
        )
    if excess not in ("refuse", "wait"):
        raise ValueError(f"excess={excess!r} is none of refuse, wait")
    if not callable(per) and per not in _KEYS:
        raise ValueError(f"per={per!r} is none of {', '.join(_KEYS)}, and no function")
    key_of = per if callable(per) else _KEYS[per]
    size = float(burst) if burst is not None else max(1.0, rate)
    buckets: Fading[TokenBucket] = Fading(size / rate, _MOST_BUCKETS)  # after that time one is full again

    async def limited(message: Message[Any], next: Any) -> Any:
        at, key = now(), key_of(message)
        bucket = buckets.get(key, at) or TokenBucket(rate, size, at)
        wait = bucket.wait(at)
        if wait:
            deadline = message.context.deadline
            if excess == "refuse" or (deadline is not None and at + wait >= deadline):
                if message.kind == "event":
                    return drop(RateLimited.code)
                raise RateLimited(
                    f"{message.name}: more than {rate:g} a second; the next would pass in {wait:.3g} s",
                    retry_after=wait,
                )
        bucket.take()
        buckets.put(key, bucket, at + wait)
        if wait:
            await asyncio.sleep(wait)
        return await next(message)

    limited.__qualname__ = "rate_limit"
    return limited


_KEYS: Final[dict[str, Callable[[Message[Any]], Hashable]]] = {
    "session": lambda message: None if message.context.session is None else message.context.session.id,
    "principal": principal_of,
    "all": lambda _: None,
}
