"""Failing at once where everything fails anyway, so that what has broken down can recover."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from math import isfinite
from typing import Any, Final

from ionbus.middleware.failures import CircuitOpen, is_transient
from ionbus.middleware.message import AnyMiddleware, Dropped, Message, drop
from ionbus.middleware.passing import Passing, now

_MOST_MEMBERS: Final = 10_000


class Breaker:
    """One circuit: closed, open for a while after failures on end, then closed or opened again by one trial.

    Args:
        failures: on end that open it.
        reset: seconds that it is open.
    """

    __slots__ = ("_failed", "_failures", "_is_tried", "_opened_at", "_reset")

    def __init__(self, failures: int, reset: float) -> None:
        self._failures = failures
        self._reset = reset
        self._failed = 0
        self._opened_at: float | None = None
        self._is_tried = False

    def wait(self, at: float) -> float:
        """Seconds for which nothing passes; 0: something may."""
        if self._opened_at is None:
            return 0.0
        left = self._opened_at + self._reset - at
        return max(left, self._reset) if self._is_tried else max(left, 0.0)

    def begin(self) -> None:
        """Something passes: the trial, if it is open."""
        self._is_tried = self._opened_at is not None

    def begun(self) -> None:
        """It gives something, so that others may pass; how it ends is not known yet."""
        self._opened_at = None
        self._is_tried = False

    def succeeded(self) -> None:
        """It went well."""
        self._failed = 0
        self._opened_at = None
        self._is_tried = False

    def failed(self, at: float) -> None:
        """It failed in a way that counts."""
        self._failed += 1
        if self._is_tried or self._failed >= self._failures:
            self._opened_at = at
        self._is_tried = False

    def given_up(self) -> None:
        """Nobody knows how it went: another one is the trial."""
        self._is_tried = False


def circuit_breaker(
    failures: int = 5,
    *,
    reset: float = 30.0,
    counts: Callable[[BaseException], bool] = is_transient,
) -> AnyMiddleware:
    """Let nothing of a member pass for a while once it has failed so often on end; each member has a circuit of its own.

    While it is open requests fail with `CircuitOpen` (code `circuit_open`, `retry_after`), and events are dropped by the reason
    `circuit_open`. After `reset` seconds one message passes: it closes the circuit, or opens it anew. A stream goes well when it ends, or is
    left after an item; with its first one it lets others pass.

    Args:
        failures: on end that open it.
        reset: seconds that it is open.
        counts: which errors are failures; else those that may pass (docs/middleware.md).

    Raises:
        ValueError: a number is not more than 0.
    """
    if failures < 1 or not (isfinite(reset) and reset > 0):
        raise ValueError(
            f"circuit_breaker({failures!r}, reset={reset!r}): give one failure or more, and seconds, more than 0"
        )
    breakers: dict[str, Breaker] = {}

    async def guarded(message: Message[Any], next: Any) -> Any:
        breaker = breakers.get(message.name)
        if breaker is None:
            if len(breakers) >= _MOST_MEMBERS:
                breakers.clear()
            breaker = breakers[message.name] = Breaker(failures, reset)
        wait = breaker.wait(now())
        if wait:
            if message.kind == "event":
                return drop(CircuitOpen.code)
            raise CircuitOpen(
                f"{message.name}: it has failed too often, and is not tried for {wait:.3g} s",
                retry_after=wait,
            )
        breaker.begin()

        def failed(error: BaseException) -> None:
            if counts(error):
                breaker.failed(now())
            elif isinstance(error, Exception):  # it answers, if only by an error
                breaker.succeeded()
            else:
                breaker.given_up()

        try:
            result = await next(message)
        except BaseException as error:
            failed(error)
            raise
        if message.kind == "stream":
            return _watched(result, breaker, failed)
        if isinstance(result, Dropped):
            breaker.given_up()
        else:
            breaker.succeeded()
        return result

    guarded.__qualname__ = "circuit_breaker"
    return guarded


def _watched(
    items: AsyncIterable[Any], breaker: Breaker, failed: Callable[[BaseException], object]
) -> AsyncIterable[Any]:
    """A stream's items, as they tell how it goes: most that fail do so at their first."""
    has_begun = False

    async def step(coming: Awaitable[Any]) -> Any:
        nonlocal has_begun
        item = await coming
        if not has_begun:
            has_begun = True
            breaker.begun()
        return item

    def over(count: int, error: BaseException | None) -> None:
        if error is None or (count > 0 and isinstance(error, GeneratorExit)):
            breaker.succeeded()
        else:
            failed(error)

    return Passing(items, over, step)
