"""Events of an emitter one at a time, as many kept as a limit says, and what becomes of those beyond it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar, get_args

from ionbus.dispatch.waiting import Waiters, wait_with, wake
from ionbus.errors import SlowConsumer
from ionbus.events.subscription import Subscription

P = TypeVar("P")

Overflow = Literal["wait", "oldest", "newest", "fail"]
"""What an event meets that finds a reader full: `emit` waits until there is room; the oldest gives way; it is dropped itself; the
reader fails."""

LIMIT: Final = 1_000
"""Events that a reader keeps unless it says otherwise."""


class Full:
    """What a reader answers that has no room and lets the emitter wait: the emitter says whether it does."""

    __slots__ = ("_reader", "_value")

    def __init__(self, reader: Reader[Any], value: Any) -> None:
        self._reader = reader
        self._value = value

    def wait(self, taken: Callable[[], object]) -> None:
        """Keep the event until there is room, and call a function then."""
        self._reader.keep_waiting(self._value, taken)

    def refuse(self) -> None:
        """Nobody waits: the reader fails."""
        self._reader.fail()


class Reader(Generic[P]):
    """`async with emitter.events(...) as events: async for event in events`.

    Args:
        subscribe: makes the subscription, given what is called with each event.
        pattern: what it reads, for errors.
        limit: how many events are kept that were not taken.
        overflow: what becomes of those beyond it.

    Attributes:
        dropped: how many were, by `"oldest"` and `"newest"`.

    Raises:
        TypeError: no such policy, or a limit below 1.
    """

    def __init__(
        self,
        subscribe: Callable[[Callable[[Any], object]], Subscription],
        pattern: str,
        limit: int,
        overflow: Overflow,
    ) -> None:
        if overflow not in get_args(Overflow):
            raise TypeError(f"overflow={overflow!r} is unknown; it is {', '.join(get_args(Overflow))}")
        if limit < 1:
            raise TypeError(f"limit={limit!r}: a reader keeps at least 1 event")
        self._subscribe = subscribe
        self._pattern = pattern
        self._limit = limit
        self._overflow = overflow
        self._subscription: Subscription | None = None
        self._events: deque[P] = deque()
        self._behind: deque[tuple[P, Callable[[], object]]] = deque()  # emitted, and waiting for room
        self._failed = False
        self._waiters: Waiters = set()
        self.dropped = 0

    async def __aenter__(self) -> Self:
        self._subscription = self._subscribe(self._hear)
        self._subscription.on_close(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Read no more; what was not taken is forgotten."""
        if self._subscription is not None:
            self._subscription.close()
        self._events.clear()

    def __aiter__(self) -> AsyncIterator[P]:
        return self

    async def __anext__(self) -> P:
        """The next event.

        Raises:
            RuntimeError: outside `async with`.
            SlowConsumer: more came than the limit allows; what had come before was given.
        """
        subscription = self._subscription
        if subscription is None:
            raise RuntimeError("events are read inside `async with`")
        while not self._events:
            if self._failed:
                raise SlowConsumer(
                    f"{self._pattern}: more than {self._limit} events were waiting to be read (limit=, overflow=)"
                )
            if not subscription.is_open:
                raise StopAsyncIteration
            await wait_with(self._waiters, asyncio.get_running_loop())
        event = self._events.popleft()
        self._fill()
        return event

    # For the emitter.

    def keep_waiting(self, value: P, taken: Callable[[], object]) -> None:
        """Take an event once there is room, and call a function then."""
        self._behind.append((value, taken))

    def fail(self) -> None:
        """Give what has come, then the error."""
        self._failed = True
        if self._subscription is not None:
            self._subscription.close()

    # Inside.

    def _hear(self, value: P) -> Full | None:
        if len(self._events) < self._limit:
            self._events.append(value)
        elif self._overflow == "wait":
            return Full(self, value)
        elif self._overflow == "fail":
            self.fail()
        else:
            self.dropped += 1
            if self._overflow == "oldest":
                self._events.popleft()
                self._events.append(value)
        wake(self._waiters)
        return None

    def _fill(self) -> None:
        """There is room, or nobody reads any more: those behind go on."""
        is_open = self._subscription is not None and self._subscription.is_open
        while self._behind and (len(self._events) < self._limit or not is_open):
            value, taken = self._behind.popleft()
            self._events.append(value)
            taken()

    def _ended(self) -> None:
        self._fill()
        wake(self._waiters)
