"""Runs handlers and listeners, without a task for each: started in order, none waits for another.

Theory of operation. Most handlers never wait for anything, and a task for each costs more than all else that a message costs.
So they queue, and one task, a *worker*, steps through them one after the other, each in a copy of the context in which it was
given. The first step of most is their only one. Where one suspends, the worker is that one's own from there on: to its handler it is
what `asyncio.current_task()` gives from the first line to the last, so that `asyncio.timeout`, task groups and cancellation
know no difference; and another worker goes on with the queue. What has suspended lately is given a task of its own from the
start, as `asyncio.create_task` would: many that wait start in one turn of the loop, not in one each.

A worker goes on to the next only if nothing of the last can reach it: none that has suspended, and none that was cancelled.
It lets others have the loop after `LONGEST`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from types import coroutine
from typing import Any, Final, Protocol

from ionbus.dispatch.turn import LONGEST

Work = Coroutine[Any, Any, Any]

PATIENCE: Final = 32
"""How often what has suspended is given a task of its own before it is tried in the queue again."""


class Habit:
    """Whether what one function gives is likely to wait for something: a runner's memory of it."""

    __slots__ = ("waits",)

    def __init__(self) -> None:
        self.waits = 0


class Keeper(Protocol):
    """Who keeps account of what it gave a runner."""

    def suspended(self, task: asyncio.Task[Any]) -> None:
        """It waits, or may do so: this task is its own until it ends."""

    def ended(self, task: asyncio.Task[Any] | None, error: BaseException | None) -> None:
        """It is over. `task`: what `suspended` told of; None: it never waited. `error`: what it raised."""


class Runner:
    """See the module; one for all sessions of a loop that have something in common.

    Args:
        loop: where it all runs.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[tuple[Work, Keeper, Habit, Context]] = deque()
        self._has_worker = False
        self._current: tuple[Keeper, asyncio.Task[None]] | None = (
            None  # whose first step is under way, and in which task
        )

    def start(self, work: Work, keeper: Keeper, habit: Habit) -> None:
        """Start a coroutine in a later turn of the loop, after all that were given before.

        Args:
            work: the coroutine.
            keeper: told when it waits, and when it ends.
            habit: of the function that gave it.
        """
        if habit.waits and not self._has_worker:
            self._start_alone(work, keeper, habit, copy_context())
            return
        self._queue.append((work, keeper, habit, copy_context()))
        if not self._has_worker:
            self._begin()

    def cancel(self, keeper: Keeper) -> None:
        """Cancel what a keeper has given and what has no task of its own yet."""
        queue = self._queue
        dropped = [item for item in queue if item[1] is keeper]
        if dropped:
            kept = [item for item in queue if item[1] is not keeper]
            queue.clear()
            queue.extend(kept)
        for work, _, _, _ in dropped:
            work.close()
            keeper.ended(None, asyncio.CancelledError())
        if self._current is not None and self._current[0] is keeper:
            self._current[1].cancel()

    # Inside.

    def _begin(self) -> None:
        self._has_worker = True
        self._loop.create_task(self._work())  # held by the loop, and by a keeper once it has suspended

    def _leave(self) -> None:
        """A worker leaves the queue: another one takes it, if there is something in it."""
        self._current = None
        self._has_worker = False
        if self._queue:
            self._begin()

    def _start_alone(self, work: Work, keeper: Keeper, habit: Habit, context: Context) -> None:
        habit.waits -= 1
        task = self._loop.create_task(work, context=context)
        keeper.suspended(task)
        task.add_done_callback(partial(_ended_alone, keeper), context=context)

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        await self._steps(worker)

    @coroutine
    def _steps(self, worker: asyncio.Task[None]) -> Generator[Any, Any, None]:
        queue, clock = self._queue, self._loop.time
        ends = clock() + LONGEST
        is_in_charge = True
        try:
            while queue:
                work, keeper, habit, context = queue.popleft()
                if habit.waits:
                    self._start_alone(work, keeper, habit, context)
                    if queue and not queue[0][2].waits:
                        self._current = None
                        yield  # it starts before what follows
                    continue
                self._current = (keeper, worker)
                error: BaseException | None = None
                try:
                    waits_for = context.run(work.send, None)
                except StopIteration:
                    pass
                except BaseException as raised:  # noqa: BLE001 - its keeper is told
                    error = raised
                else:
                    habit.waits = PATIENCE
                    keeper.suspended(worker)
                    is_in_charge = False
                    self._leave()
                    error = yield from _rest(work, context, waits_for)
                    keeper.ended(worker, error)
                    _raise_what_ends_loops(error)
                    return
                keeper.ended(None, error)
                if error is not None:
                    _raise_what_ends_loops(error)
                if _is_cancelled(worker):
                    return
                if clock() >= ends:
                    self._current = None
                    yield
                    ends = clock() + LONGEST
        finally:
            if is_in_charge:
                self._leave()


def _rest(work: Work, context: Context, waits_for: object) -> Generator[Any, Any, BaseException | None]:
    """All steps after the first, in the task that runs this; gives what the coroutine raised."""
    while True:
        step: Callable[[], object]
        try:
            sent = yield waits_for
        except BaseException as thrown:  # noqa: BLE001 - it is for the coroutine, as is a cancellation
            step = partial(work.throw, thrown)
        else:
            step = partial(work.send, sent)
        try:
            waits_for = context.run(step)
        except StopIteration:
            return None
        except BaseException as raised:  # noqa: BLE001 - its keeper is told
            return raised


def _is_cancelled(worker: asyncio.Task[None]) -> bool:
    """Whether a handler has cancelled the task that it took for its own, be it that it changed its mind.

    Before Python 3.13, `uncancel` alone does not take back the CancelledError that is to come.
    """
    return worker.cancelling() > 0 or getattr(worker, "_must_cancel", False)


def _ended_alone(keeper: Keeper, task: asyncio.Task[Any]) -> None:
    keeper.ended(task, asyncio.CancelledError() if task.cancelled() else task.exception())


def _raise_what_ends_loops(error: BaseException | None) -> None:
    """As asyncio's own tasks do."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise error
