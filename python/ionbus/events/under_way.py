"""The listeners of an emitter that wait for something: who waits for them, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Final

from ionbus.dispatch.waiting import Waiters, wait_with, wake
from ionbus.events.lifetimes import Listener
from ionbus.events.subscription import Subscription

CHAIN: Final[ContextVar[tuple[str, ...]]] = ContextVar("ionbus_emits", default=())
"""The events whose listeners have led to where we are, the outermost first, as far as they were async."""

Failed = Callable[[Subscription, Any, BaseException], object]


class Tally:
    """How many emits of one event are under way."""

    __slots__ = ("under_way",)

    def __init__(self) -> None:
        self.under_way = 0


class Passage:
    """One emit, as long as listeners of it are under way.

    Args:
        tally: counts it meanwhile.
    """

    __slots__ = ("_left", "_tally", "_waiter")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._left = 0
        self._waiter: asyncio.Future[None] | None = None

    def begun(self) -> None:
        """One more listener is waited for."""
        if not self._left:
            self._tally.under_way += 1
        self._left += 1

    def ended(self) -> None:
        """One of them no longer is."""
        self._left -= 1
        if not self._left:
            self._tally.under_way -= 1
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until none is."""
        if self._left:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter


class _Run:
    """One call of one listener."""

    __slots__ = ("passage", "subscription", "timer", "value")

    def __init__(self, subscription: Subscription, value: Any, passage: Passage) -> None:
        self.subscription = subscription
        self.value = value
        self.passage = passage
        self.timer: asyncio.TimerHandle | None = None


class UnderWay:
    """See the module.

    Args:
        failed: told of each that fails.
        timeout: seconds after which one is cancelled, told of, and no longer waited for; None: never.
    """

    def __init__(self, failed: Failed, timeout: float | None) -> None:
        self._failed = failed
        self._timeout = timeout
        self._runs: dict[asyncio.Future[Any], _Run] = {}
        self._given_up: set[asyncio.Future[Any]] = set()  # held until they end: the loop itself does not
        self._waiters: Waiters = set()

    def begin(
        self,
        subscription: Subscription,
        call: Listener,
        value: Any,
        passage: Passage,
        chain: tuple[str, ...],
    ) -> None:
        """Call a listener that is async, in a task of its own."""
        self._start(subscription, value, subscription.run(call, value), passage, chain)

    def watch(
        self,
        subscription: Subscription,
        value: Any,
        result: Awaitable[Any],
        passage: Passage,
        chain: tuple[str, ...],
    ) -> None:
        """Wait for what a listener has returned."""
        self._start(subscription, value, subscription.watch(result), passage, chain)

    async def idle(self) -> None:
        """Wait until there is none."""
        while self._runs:
            await wait_with(self._waiters, asyncio.get_running_loop())

    async def cancel(self) -> None:
        """Cancel all, and wait for their end."""
        for task in tuple(self._runs):
            task.cancel()
        await self.idle()

    def _start(
        self, subscription: Subscription, value: Any, work: Any, passage: Passage, chain: tuple[str, ...]
    ) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            work.close()
            self._failed(subscription, value, error)
            return
        context = copy_context()
        context.run(CHAIN.set, chain)
        task = loop.create_task(work, context=context)
        run = self._runs[task] = _Run(subscription, value, passage)
        passage.begun()
        if self._timeout is not None:
            run.timer = loop.call_later(self._timeout, self._overdue, task)
        task.add_done_callback(partial(self._ended, run))

    def _ended(self, run: _Run, task: asyncio.Future[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if run.subscription.is_async and _was_its_own(task):
            error = asyncio.CancelledError("what the listener waited for was cancelled")
        if self._runs.pop(task, None) is None:
            self._given_up.discard(task)
            return
        if run.timer is not None:
            run.timer.cancel()
        if error is not None:
            self._failed(run.subscription, run.value, error)
        self._let_go(run)

    def _overdue(self, task: asyncio.Future[Any]) -> None:
        run = self._runs.pop(task)
        self._given_up.add(task)
        self._failed(
            run.subscription, run.value, TimeoutError(f"a listener has not ended within {self._timeout:g} s")
        )
        task.cancel()
        self._let_go(run)

    def _let_go(self, run: _Run) -> None:
        run.passage.ended()
        if not self._runs:
            wake(self._waiters)


def _was_its_own(task: asyncio.Future[Any]) -> bool:
    """Whether a task ended by a cancellation that nobody asked it for: of what it waited for."""
    return task.cancelled() and isinstance(task, asyncio.Task) and not task.cancelling()
