"""Trying again what may be carried out twice, after a pause. By tenacity, which `ionbus[retry]` installs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from ionbus.contract.members import Call, Stream
from ionbus.middleware.failures import is_transient, retry_after
from ionbus.middleware.message import AnyMiddleware, Message
from ionbus.middleware.passing import now


def retry(
    attempts: int = 3,
    *,
    first: float = 0.1,
    longest: float = 5.0,
    on: Callable[[BaseException], bool] | None = None,
) -> AnyMiddleware:
    """Try idempotent calls, and the opening of idempotent streams, again when they fail; all else passes once.

    There is a pause between two attempts, twice as long each time, with some jitter, and as long as the error says where it has
    `retry_after`. No attempt begins that the caller's deadline would end. All attempts of a call that leaves carry one idempotency
    key, so that a broker that answered one does not run the next (docs/delivery.md).

    Args:
        attempts: at most, the first included.
        first: seconds of the first pause.
        longest: seconds of a pause, at most.
        on: tells which errors are worth another attempt; else those that may pass (docs/middleware.md).

    Raises:
        ValueError: there would be no attempt, or a pause is no time.
    """
    if attempts < 1 or not 0 <= first <= longest:
        raise ValueError(
            f"retry(attempts={attempts!r}, first={first!r}, longest={longest!r}): "
            "give at least one attempt, and 0 <= first <= longest seconds"
        )
    is_worth_it = on or is_transient
    usual = wait_exponential(multiplier=first, max=longest) + wait_random(0, first)

    def pause(state: RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        return max(usual(state), retry_after(error))

    async def retried(message: Message[Any], next: Any) -> Any:
        member, deadline = message.member, message.context.deadline
        if not (isinstance(member, (Call, Stream)) and member.idempotent):
            return await next(message)
        enough = stop_after_attempt(attempts)

        def stops(state: RetryCallState) -> bool:
            return enough(state) or (deadline is not None and now() + state.upcoming_sleep >= deadline)

        trying = AsyncRetrying(
            stop=stops,
            wait=pause,
            retry=retry_if_exception(lambda error: isinstance(error, Exception) and is_worth_it(error)),
            reraise=True,
        )

        async def attempt() -> Any:
            return await next(message)

        return await trying(attempt)

    retried.__qualname__ = "retry"
    return retried
