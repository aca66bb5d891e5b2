"""Runs handlers and listeners, without a task for each: started in order, none waits for another.

Theory of operation. Most handlers never wait for anything, and a task for each costs more than all else that a message costs.
So they queue, and one task, a *worker*, steps through them one after the other, each in a copy of the context in which it was
given. The first step of most is their only one. Where one suspends, the worker is that one's own from there on: to its handler it is
what `asyncio.current_task()` gives from the first line to the last, so that `asyncio.timeout`, task groups and cancellation
know no difference; and another worker goes on with the queue. What has suspended lately is given a task of its own from the
start, as `asyncio.create_task` would: many that wait start in one turn of the loop, not in one each.

A worker goes on to the next only if nothing of the last can reach it: none that has suspended, and none that was cancelled.
It lets others have the loop after `LONGEST`.

A turn of the event loop between a request and its handler, to wake the worker, costs more than the handler. So a broker's worker does not end
with the queue: it *parks*, waiting for a future. Whoever takes a frame in a callback of the loop holds the runner meanwhile, and
makes first steps in the parked worker's name afterwards, in the same turn, within `_enter_task` and `_leave_task`, which asyncio has for
those who run tasks themselves. Handlers then end before the frame's answers are written, and the worker has not moved. Where one
suspends, the future is resolved: asyncio wakes the worker, which goes on from there as a task like any other.

What is queued is an iterator that makes coroutines: a frame may bring hundreds of events, and each is decoded when its turn has
come, so that few of them are in memory at a time.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import (  # documented for whoever runs tasks: "Extending", Task lifetime support
    _enter_task,
    _leave_task,
)
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import Context, copy_context
from enum import Enum, auto
from functools import partial
from types import coroutine
from typing import Any, Final, NamedTuple, Protocol, Self

from ionbus.dispatch.turn import LONGEST

Work = Coroutine[Any, Any, Any]

PATIENCE: Final = 32
"""How often what has suspended is given a task of its own before it is tried in the queue again."""


LOOP_ENDS: Final = (KeyboardInterrupt, SystemExit)
"""What a task raises through the loop."""


class Habit:
    """Whether what one function gives is likely to wait for something: a runner's memory of it."""

    __slots__ = ("waits",)

    def __init__(self) -> None:
        self.waits = 0


class Works(Protocol):
    """Makes coroutines, each when it is about to start; a generator is one."""

    def __iter__(self) -> Iterator[tuple[Work, Habit]]:
        """Itself."""

    def __next__(self) -> tuple[Work, Habit]:
        """The next one, and the habit of the function that gave it."""

    def close(self) -> None:
        """No more of them are wanted."""


class Keeper(Protocol):
    """Who keeps account of what it gave a runner."""

    def is_full(self) -> bool:
        """Whether no more may start for now: what is queued is parked."""

    def park(self, works: Works, context: Context) -> None:
        """Keep this, and `resume` it when more may start."""

    def begun(self) -> None:
        """All coroutines of one `start` have begun, or were dropped."""

    def suspended(self, task: asyncio.Task[Any]) -> None:
        """One waits, or may do so: this task is its own until it ends."""

    def ended(self, task: asyncio.Task[Any] | None, error: BaseException | None) -> None:
        """One that `suspended` told of is over, or one without a task has failed. `error`: what it raised."""


class _Suspended(NamedTuple):
    """A coroutine whose first step has ended with a wait: its worker's own from there on."""

    work: Work
    context: Context
    waits_for: object
    keeper: Keeper
    thrown: BaseException | None = None
    """What its task was told before it could go on."""


class _Outcome(Enum):
    """Why a worker stops at something else than an empty queue, or a suspended coroutine."""

    LETS_GO = auto()
    """Others have the loop; then it goes on."""
    ENDS = auto()
    """It has been cancelled, or there is another one."""


_Left = _Suspended | _Outcome | None


class _Parked:
    """A worker without work.

    Attributes:
        future: what it waits for.
        left: what it goes on with, where it was stepped by hand meanwhile.
    """

    __slots__ = ("future", "left", "worker")

    def __init__(self, worker: asyncio.Task[None], future: asyncio.Future[None]) -> None:
        self.worker = worker
        self.future = future
        self.left: _Left = None


class Runner:
    """See the module; one for all sessions of a loop that have something in common.

    Args:
        loop: where it all runs.
        parks: keep a worker while there is nothing to do, until `stop`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, parks: bool = False) -> None:
        self._loop = loop
        self._parks = parks
        self._parked: _Parked | None = None
        self.is_held = False
        """Set, nothing starts until `release`: a frame is read first, whatever it brings."""
        self._queue: deque[tuple[Works, Keeper, Context]] = deque()
        self._has_worker = False
        self._current: tuple[Works, Keeper, asyncio.Task[None]] | None = None
        """What a worker is at, and not in the queue: a first step is under way, or it is made."""

    def start(self, works: Works, keeper: Keeper) -> None:
        """Start coroutines in a later turn of the loop, after all that were given before.

        Args:
            works: makes them.
            keeper: told when one waits, and when it ends.
        """
        self._queue.append((works, keeper, copy_context()))
        if not self._has_worker and not self.is_held:
            self._begin()

    def release(self) -> None:
        """Start what was given while it was held: at once in a callback of the loop, if there is a worker for it."""
        self.is_held = False
        if self._queue and not self._has_worker:
            parked = self._parked
            if parked is None or parked.future.done() or asyncio.current_task(self._loop) is not None:
                self._begin()
            else:
                self._step_by_hand(parked)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be started."""
        return not self._queue and not self._has_worker

    async def stop(self) -> None:
        """Keep no worker any more."""
        self._parks = False
        if self._parked is not None:
            worker = self._parked.worker
            self._parked = None
            worker.cancel()
            await asyncio.wait([worker])

    def start_one(self, work: Work, keeper: Keeper, habit: Habit) -> None:
        """The same for one coroutine; `habit` is that of the function that gave it."""
        if habit.waits and not self._has_worker and not self.is_held:
            self._start_alone(work, keeper, habit, copy_context())
            keeper.begun()
        else:
            self.start(Made(work, habit), keeper)

    def resume(self, works: Works, keeper: Keeper, context: Context) -> None:
        """Go on with what was parked, before all else: of several, give the last first."""
        self._queue.appendleft((works, keeper, context))
        if not self._has_worker:
            self._begin()

    def cancel(self, keeper: Keeper) -> None:
        """Drop what a keeper has given and what has not begun, and cancel what is in its first step."""
        queue = self._queue
        dropped = [entry for entry in queue if entry[1] is keeper]
        if dropped:
            kept = [entry for entry in queue if entry[1] is not keeper]
            queue.clear()
            queue.extend(kept)
        for works, _, _ in dropped:
            works.close()
            keeper.begun()
        if self._current is not None and self._current[1] is keeper:
            works, _, worker = self._current
            works.close()
            worker.cancel()

    # Inside.

    def _start_alone(self, work: Work, keeper: Keeper, habit: Habit, context: Context) -> None:
        habit.waits -= 1
        task = self._loop.create_task(work, context=context)
        keeper.suspended(task)
        task.add_done_callback(partial(_ended_alone, keeper), context=context)

    def _begin(self) -> None:
        self._has_worker = True
        parked, self._parked = self._parked, None
        if parked is not None and not parked.future.done():
            parked.future.set_result(None)
        else:
            self._loop.create_task(self._work())  # held by the loop, and by a keeper once it has suspended

    def _step_by_hand(self, parked: _Parked) -> None:
        """Go through the queue in the name of a parked worker, which only goes on by itself where something is left for it."""
        worker, future = parked.worker, parked.future
        self._parked = None
        self._has_worker = True
        _enter_task(self._loop, worker)
        try:
            left = self._go_through(worker, future)
        finally:
            _leave_task(self._loop, worker)
        if left is None:
            if self._parks and self._parked is None:
                self._parked = parked
                return
            left = _Outcome.ENDS
        parked.left = left
        if not future.done():  # else it was cancelled, and asyncio tells the worker
            future.set_result(None)

    def _leave(self) -> None:
        """A worker leaves the queue: another one takes it, if there is something in it."""
        self._current = None
        self._has_worker = False
        if self._queue:
            self._begin()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None
        await self._steps(worker)

    @coroutine
    def _steps(self, worker: asyncio.Task[None]) -> Generator[Any, Any, None]:
        left = self._go_through(worker, None)
        while not isinstance(left, _Suspended):
            if left is _Outcome.LETS_GO:
                try:
                    yield
                except BaseException:
                    self._leave()
                    raise
            elif left is _Outcome.ENDS or not self._parks or self._parked is not None:
                return
            else:
                left = yield from self._park(worker)
                if left is not None:
                    continue
            left = self._go_through(worker, None)
        yield from _rest(left, worker)

    def _park(self, worker: asyncio.Task[None]) -> Generator[Any, Any, _Left]:
        """Wait for work; gives what is left of what was begun by hand meanwhile."""
        future: Any = self._loop.create_future()
        parked = self._parked = _Parked(worker, future)
        future._asyncio_future_blocking = True  # noqa: SLF001 - as awaiting it does, which only the loop may end
        try:
            yield future
        except BaseException as thrown:
            if isinstance(parked.left, _Suspended):  # it is for the coroutine, as is a cancellation
                return parked.left._replace(thrown=thrown)
            if parked.left is _Outcome.LETS_GO:
                self._leave()
            raise
        return None if parked.left is _Outcome.LETS_GO else parked.left  # it has let go by now

    def _go_through(self, worker: asyncio.Task[None], by_hand: asyncio.Future[None] | None) -> _Left:
        """Start what is queued, in the name of a worker; gives what is left for it.

        Args:
            worker: what handlers take for their task.
            by_hand: what asyncio has it wait for while it is stepped by hand.
        """
        queue, clock = self._queue, self._loop.time
        ends = clock() + LONGEST
        are_before = False  # some with tasks of their own, which have yet to start
        try:
            while queue:
                entry = works, keeper, context = queue.popleft()
                if keeper.is_full():
                    keeper.park(works, context)
                    continue
                self._current = (works, keeper, worker)
                for work, habit in works:
                    if habit.waits:
                        self._start_alone(work, keeper, habit, context.copy())
                        are_before = True
                        if keeper.is_full():
                            queue.appendleft(entry)
                            break
                        continue
                    if are_before:
                        queue.appendleft((Made(work, habit, works), keeper, context))
                        self._current = None
                        return _Outcome.LETS_GO
                    own = context.copy()
                    try:
                        waits_for = own.run(work.send, None)
                    except StopIteration:
                        pass
                    except BaseException as error:
                        keeper.ended(None, error)
                        if isinstance(error, LOOP_ENDS):
                            queue.appendleft(entry)
                            raise
                    else:
                        habit.waits = PATIENCE
                        keeper.suspended(worker)
                        queue.appendleft(entry)
                        self._leave()
                        return _Suspended(work, own, waits_for, keeper)
                    if by_hand.done() if by_hand is not None else _is_cancelled(worker):
                        queue.appendleft(entry)
                        self._leave()
                        return _Outcome.ENDS
                    if clock() >= ends:
                        queue.appendleft(entry)
                        self._current = None
                        return _Outcome.LETS_GO
                else:
                    keeper.begun()
        except BaseException:
            self._leave()
            raise
        self._leave()
        return None


def _is_cancelled(worker: Any) -> bool:
    """Whether a handler has cancelled what it took for its task alone, and ended: the CancelledError that is to come is not for another.

    Before Python 3.13 it comes although `uncancel` was called, so that `cancelling` does not tell.
    """
    if hasattr(worker, "_must_cancel"):
        return bool(worker._must_cancel)  # noqa: SLF001
    return bool(worker.cancelling() > 0)


class Made:
    """A coroutine that was made already, and those that may follow."""

    __slots__ = ("_first", "_others")

    def __init__(self, work: Work, habit: Habit, others: Works | None = None) -> None:
        self._first: tuple[Work, Habit] | None = (work, habit)
        self._others = others

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Work, Habit]:
        first, self._first = self._first, None
        if first is not None:
            return first
        if self._others is None:
            raise StopIteration
        return next(self._others)

    def close(self) -> None:
        """Let go of all of them."""
        if self._first is not None:
            self._first[0].close()
            self._first = None
        if self._others is not None:
            self._others.close()


def _rest(suspended: _Suspended, worker: asyncio.Task[None]) -> Generator[Any, Any, None]:
    """All steps after the first, in the task that runs this."""
    work, context, waits_for, keeper, thrown = suspended
    error: BaseException | None = None
    step: Callable[[], object] | None = None if thrown is None else partial(work.throw, thrown)
    while True:
        if step is None:
            try:
                sent = yield waits_for
            except BaseException as told:  # noqa: BLE001 - it is for the coroutine, as is a cancellation
                step = partial(work.throw, told)
            else:
                step = partial(work.send, sent)
        try:
            waits_for = context.run(step)
        except StopIteration:
            break
        except BaseException as raised:  # noqa: BLE001 - its keeper is told
            error = raised
            break
        step = None
    keeper.ended(worker, error)
    if isinstance(error, LOOP_ENDS):
        raise error


def _ended_alone(keeper: Keeper, task: asyncio.Task[Any]) -> None:
    keeper.ended(task, asyncio.CancelledError() if task.cancelled() else task.exception())
