"""The listeners that run for one session: started in order, so many at a time, none waits for another.

What they listen to is made from events elsewhere: at a broker by `broker/published`, at a client by `dispatch/handouts`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from inspect import isawaitable
from types import CoroutineType
from typing import Any, Protocol

from ionbus.dispatch.runner import Habit, Made, Runner, Works

log = logging.getLogger("ionbus")


class Source(Protocol):
    """What listeners are started for, which is told of those that fail."""

    def failed(self, payload: bytes, listener: Any, error: BaseException) -> None:
        """A listener has raised this.

        Args:
            payload: what it was given.
            listener: which one.
            error: what it raised.
        """


class Listeners:
    """See the module.

    Args:
        runner: starts them.
        max_running: how many may wait for something at a time; above it none is started.
    """

    def __init__(self, runner: Runner, max_running: int) -> None:
        self._runner = runner
        self._max_running = max_running
        self._queued = 0  # what the runner has of them that has not begun
        self._tasks: dict[
            asyncio.Future[Any], tuple[Source, bytes, Any] | None
        ] = {}  # of those that wait for something
        self._parked: list[tuple[Works, Context]] = []
        self._quiet: asyncio.Future[None] | None = None  # settled when nothing runs any more
        self.waiting_bytes = 0
        """Payload bytes of the events that wait."""
        self.now: tuple[Source, bytes, Any] | None = None
        """What the listener is for that is made, and then started, now."""
        self.on_room: Callable[[], None] | None = None
        """Called when one has ended."""

    @property
    def are_running(self) -> bool:
        """Whether some are under way, or wait for their turn."""
        return self._queued > 0 or bool(self._tasks)

    @property
    def has_room(self) -> bool:
        """Whether one more may be given: those that have not begun count."""
        return self._queued + len(self._tasks) < self._max_running

    def start_each(self, works: Works) -> None:
        """Start coroutines that are made one by one, each when it is its turn and there is room for it.

        Where nothing is before it, the first is made at once: what refuses an event that comes alone is told before all that
        follows on it.
        """
        if not self._queued and not self.is_full():
            first = next(works, None)
            if first is None:
                return
            works = Made(*first, works)
        self._queued += 1
        self._runner.start(works, self)

    def listen(self, result: object, habit: Habit) -> None:
        """Start, or wait for, what a listener has returned; anything but an awaitable is ignored.

        Args:
            result: what it is.
            habit: of the function that gave it.
        """
        if type(result) is CoroutineType:
            self._queued += 1
            self._runner.start_one(result, self, habit)
        elif result is not None and isawaitable(result):
            self.watch(result, self.now)

    def begin(self, works: Works) -> None:
        """Start coroutines that are made when it is their turn."""
        self._queued += 1
        self._runner.start(works, self)

    def watch(self, running: Awaitable[Any], what: tuple[Source, bytes, Any] | None = None) -> None:
        """Count what runs elsewhere, as on a thread."""
        future = asyncio.ensure_future(running)
        self._tasks[future] = what
        future.add_done_callback(self._future_ended)

    # What the runner tells.

    def is_full(self) -> bool:
        """Whether so many wait for something that no other is started."""
        return len(self._tasks) >= self._max_running

    def park(self, works: Works, context: Context) -> None:
        """Keep this until there is room."""
        self._parked.append((works, context))

    def begun(self) -> None:
        """All of one kind have begun."""
        self._queued -= 1
        self._look_again()

    def suspended(self, task: asyncio.Task[Any]) -> None:
        """A listener waits for something."""
        self._tasks[task] = self.now

    def ended(self, task: asyncio.Future[Any] | None, error: BaseException | None) -> None:
        """A listener has ended."""
        what = self.now if task is None else self._tasks.pop(task, None)
        if error is not None and not isinstance(error, asyncio.CancelledError):
            if what is None:
                log.error("a listener failed", exc_info=error)
            else:
                source, payload, listener = what
                source.failed(payload, listener, error)
        if task is None:
            return
        parked, self._parked = self._parked, []
        for works, context in reversed(parked):
            self._runner.resume(works, self, context)
        self._look_again()

    # The end.

    async def finish(self) -> None:
        """The session has ended: run what had arrived before, and wait for all of it. Cancelled, drop what waits and cancel what runs."""
        try:
            await self._all_ended()
        except asyncio.CancelledError:
            await self.cancel()
            raise

    async def cancel(self) -> None:
        """Drop what has not begun, cancel what runs, and wait for its end."""
        self._runner.cancel(self)
        parked, self._parked = self._parked, []
        for works, _ in parked:
            works.close()
            self.begun()
        self.waiting_bytes = 0
        for task in tuple(self._tasks):
            task.cancel()
        await self._all_ended()

    # Inside.

    def _look_again(self) -> None:
        if self.on_room is not None:
            self.on_room()
        if self._quiet is not None and not self.are_running and not self._quiet.done():
            self._quiet.set_result(None)

    async def _all_ended(self) -> None:
        while self.are_running:
            if self._quiet is None or self._quiet.done():
                self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._quiet)

    def _future_ended(self, future: asyncio.Future[Any]) -> None:
        self.ended(future, asyncio.CancelledError() if future.cancelled() else future.exception())
