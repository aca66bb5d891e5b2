"""What middleware that ships has in common: the loop's clock, who a message is from, items as they pass, and keys that are forgotten."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Hashable
from typing import Any, Generic, Self, TypeVar

from ionbus.dispatch.latest import hashable
from ionbus.middleware.message import Message

T = TypeVar("T")

Step = Callable[[Awaitable[Any]], Awaitable[Any]]
"""Waits for one item."""


def now() -> float:
    """The running loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


def principal_of(message: Message[Any]) -> Hashable:
    """Who a message is from, or for, as a key."""
    return hashable(message.context.principal)


class Passing(AsyncIterator[Any]):
    """A stream's items as they pass, and a word when they are over.

    Args:
        items: what `next` gave.
        over: told how many have passed, and what ended them: None, an error, or `GeneratorExit` where they were left early.
        step: waits for each.
    """

    def __init__(
        self,
        items: AsyncIterable[Any],
        over: Callable[[int, BaseException | None], object],
        step: Step | None = None,
    ) -> None:
        self._items = aiter(items)
        self._over: Callable[[int, BaseException | None], object] | None = over
        self._step = step
        self._count = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            coming = anext(self._items)
            item = await (coming if self._step is None else self._step(coming))
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        self._count += 1
        return item

    async def aclose(self) -> None:
        """They were left."""
        try:
            close = getattr(self._items, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end(GeneratorExit())

    def _end(self, error: BaseException | None) -> None:
        over, self._over = self._over, None
        if over is not None:
            over(self._count, error)


class Fading(Generic[T]):
    """Values under keys, forgotten after a time, or when there are too many: then those that came first.

    Args:
        lifetime: seconds.
        limit: the most that are kept.
    """

    def __init__(self, lifetime: float, limit: int) -> None:
        self._lifetime = lifetime
        self._limit = limit
        self._values: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, at: float) -> T | None:
        """The value, if it is young enough. `at`: seconds."""
        self._forget(at)
        found = self._values.get(key)
        return None if found is None else found[1]

    def put(self, key: Hashable, value: T, at: float) -> None:
        """Keep a value from now on."""
        self._values.pop(key, None)
        self._values[key] = (at, value)
        self._forget(at)

    def remove(self, key: Hashable) -> None:
        """Forget it."""
        self._values.pop(key, None)

    def _forget(self, at: float) -> None:
        while self._values:
            began, _ = next(iter(self._values.values()))
            if len(self._values) <= self._limit and at - began < self._lifetime:
                return
            self._values.popitem(last=False)
