"""One listener and its lifetime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ionbus.events.call_sites import CallSite, call_site
from ionbus.events.failures import name_of
from ionbus.events.lifetimes import Listener, Until, as_tasks, bind, weakly
from ionbus.events.names import Wanted

if TYPE_CHECKING:
    from ionbus.events.registry import Registry


@dataclass(frozen=True, slots=True)
class SubscriptionInfo:
    """What is known of a subscription.

    Args:
        pattern: what it is for.
        listener: the function's name.
        added_at: file, line and function that added it; None: not known.
        calls: how often it was called.
    """

    pattern: str
    listener: str
    added_at: str | None
    calls: int


class Subscription:
    """One listener. Calling it, `close()` and leaving its `with` or `async with` block all end it.

    After `close` has returned the listener is not called. Leaving `async with` also waits for the calls that are under way.
    """

    __slots__ = (
        "__weakref__",
        "_added_at",
        "_listener",
        "_on_close",
        "_quiet",
        "_registry",
        "_under_way",
        "call",
        "calls",
        "is_async",
        "is_once",
        "is_open",
        "is_tracked",
        "name",
        "pattern",
        "takes_received",
    )

    call: Callable[[Any], object]
    """Calls the listener. Whose it is closes a `once` before it calls."""

    def __init__(
        self,
        registry: Registry[Any],
        wanted: Wanted,
        listener: Listener,
        *,
        once: bool = False,
        weak: bool = False,
        until: Until | None = None,
    ) -> None:
        self.pattern = wanted.pattern
        self.takes_received = wanted.takes_received
        self.calls = 0
        self.is_open = True
        self.is_once = once
        self.is_async = is_async(listener, wanted.pattern)
        self.is_tracked = False
        self.name = name_of(listener)
        self._registry = registry
        self._added_at: CallSite | None = call_site()
        self._under_way = 0
        self._quiet: asyncio.Future[None] | None = None
        self._on_close: Callable[[], object] | None = None
        self._listener: Callable[[], Listener | None] = partial(_itself, listener)
        self.call = listener
        if weak:
            self.call, self._listener = weakly(listener, partial(registry.vanished, self))
        if isinstance(until, asyncio.TaskGroup):
            self.is_async = False
            self.call = as_tasks(
                until, self.call, self._is_wanted, self.close, partial(registry.failed, self)
            )
        if until is not None and not isinstance(until, asyncio.TaskGroup):
            self.on_close(bind(until, self.close))
        if self.is_open:  # else `until` has ended already
            registry.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pattern}{'' if self.is_open else ' closed'}>"

    def close(self) -> None:
        """Listen no more; a second time changes nothing."""
        if self.is_open:
            self.is_open = False
            self.let_go()

    def __call__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self.is_tracked = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        while self._under_way:
            if self._quiet is None or self._quiet.done():
                self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._quiet)

    async def confirmed(self) -> None:
        """Wait until it is in force: at once, unless another process has to agree (`bus.on`).

        Raises:
            IonbusError: the broker refuses it, or it is closed or the session ends first.
        """

    @property
    def info(self) -> SubscriptionInfo:
        """What is known of it."""
        added_at = None if self._added_at is None else str(self._added_at)
        return SubscriptionInfo(self.pattern, self.name, added_at, self.calls)

    @property
    def added_at(self) -> CallSite | None:
        """Which line of the application's has added it."""
        return self._added_at

    # For the emitter, bus or broker whose it is.

    def on_close(self, after: Callable[[], object]) -> None:
        """Call a function when it is closed; now, if it is."""
        if self.is_open:
            self._on_close = after
        else:
            after()

    def let_go(self) -> None:
        """Keep nothing of what was listening; it is closed."""
        self._registry.remove(self)
        self.call = _nothing
        self._listener = _nobody
        after, self._on_close = self._on_close, None
        if after is not None:
            after()

    def is_of(self, listener: object) -> bool:
        """Whether this function is the listener."""
        return self._listener() == listener

    async def run(self, call: Listener, value: Any) -> None:
        """Call a listener that is async, when it is its turn; not if it was closed meanwhile.

        Args:
            call: `call` as it was when the event came.
            value: the event's.
        """
        if self._is_wanted():
            result = call(value)
            if result is not None:
                await self.watch(result)

    def _is_wanted(self) -> bool:
        """Whether a call whose turn has come is to be made: not if it was closed meanwhile; `once` is closed before."""
        return self.is_open or self.is_once

    async def watch(self, result: Any) -> None:
        """Wait for what a listener has returned; `async with` waits for this."""
        self._under_way += 1
        try:
            await result
        finally:
            self._under_way -= 1
            if not self._under_way and self._quiet is not None and not self._quiet.done():
                self._quiet.set_result(None)


def is_async(listener: object, pattern: str) -> bool:
    """Whether a listener is an `async def`.

    Raises:
        TypeError: it is no function, or one that yields.
    """
    if not callable(listener):
        raise TypeError(f"{pattern}: a listener is a function, not {listener!r}")
    for function in (listener, getattr(listener, "__call__", None)):  # noqa: B004 - an object with an async __call__
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise TypeError(
                f"{pattern}: {name_of(listener)}() is a generator function, which nobody would run; a listener does not yield"
            )
        if iscoroutinefunction(function):
            return True
    return False


def _itself(listener: Listener) -> Listener:
    return listener


def _nobody() -> None:
    """The listener of a subscription that is closed."""


def _nothing(_: object) -> None:
    """Call nobody."""
