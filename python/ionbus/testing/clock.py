"""A clock that stands still until a test moves it.

An asyncio loop asks one function for the time, `loop.time`: by it run `call_later`, `sleep` and `timeout`, and by those
every time-out, heartbeat, back-off and absence of ionbus. The fake clock puts its own function there.

*Settled* is what a test wants between two moments: everything that can run without the time going on has run. The loop
is settled when no callback waits for its turn and its selector has found nothing to read or write. Where descriptors are watched
(sockets, pipes) or there are other threads, more may come from outside without the loop knowing; there all that has to hold
for `grace` real seconds on end, and for `thread_grace` while a thread is at work for the loop (a `def` handler,
`asyncio.to_thread`): it may be about to answer, or itself wait for what needs time to pass. A loop that goes on and on is an error after `patience` real seconds, and no hang.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from ionbus.dispatch.threads import UNFINISHED

T = TypeVar("T")

_INSTALLED: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, FakeClock]] = WeakKeyDictionary()
_ROUNDING: Final = 0.0001
"""Seconds that what falls due at the end of an advance may be behind it: sums of floats are not exact."""
_SPINS: Final = 100
"""How often timers may be due on end while the time stands still."""
_NAP: Final = 0.0005
"""Real seconds between two looks while something may come from outside."""


class FakeClock:
    """The time of the running loop, moved by hand: `with FakeClock() as clock: await clock.advance(30)`.

    It begins at the loop's own time and stands still. Leaving the block lets the time run again: the loop gets its own
    clock back, and timers that still wait keep what was left of their time. The loop must be asyncio's own: uvloop's
    keeps its timers where Python cannot reach them.

    What reads `time.monotonic()` or `time.time()` itself is not driven.

    Args:
        grace: real seconds of quiet by which a loop that watches sockets or pipes, or a process with other threads,
            counts as settled. More where another process has to answer.
        thread_grace: the same while a thread is at work for the loop.
        patience: real seconds after which a loop that does not settle is an error.
    """

    def __init__(self, *, grace: float = 0.003, thread_grace: float = 0.05, patience: float = 10.0) -> None:
        self.grace = grace
        self.thread_grace = thread_grace
        self.patience = patience
        self._now = 0.0
        self._began = 0.0
        self._loop: Any = None  # a BaseEventLoop, with the attributes that `_check` has looked for
        self._time_before: Callable[[], float] | None = None
        self._in_executors: WeakSet[asyncio.Future[Any]] = WeakSet()
        self._settling: _Settling | None = None

    def __repr__(self) -> str:
        state = f"at {self.elapsed:g} s" if self.is_installed else "not installed"
        return f"<FakeClock {state}>"

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop | None = None) -> FakeClock | None:
        """The fake clock that drives a loop (the running one), or None."""
        return _INSTALLED.get(loop or asyncio.get_running_loop())

    @property
    def is_installed(self) -> bool:
        """Whether it drives a loop now."""
        return self._loop is not None

    @property
    def now(self) -> float:
        """What `loop.time()` gives, in seconds."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds that it has been moved by, to the microsecond."""
        return round(self._now - self._began, 6)

    # Where it drives.

    def install(self) -> None:
        """Take the running loop's time over; what `with` does.

        Raises:
            RuntimeError: the loop has a fake clock already, or is one that cannot be driven.
        """
        loop = asyncio.get_running_loop()
        _check(loop)
        if self.is_installed or loop in _INSTALLED:
            raise RuntimeError("this loop has a fake clock already")
        self._loop = loop
        self._now = self._began = loop.time()
        self._time_before = vars(loop).get("time")
        self._loop.time = self._time
        self._loop.run_in_executor = self._run_in_executor
        self._settling = _Settling(loop, self)
        _INSTALLED[loop] = self

    def uninstall(self) -> None:
        """Let the time run again; what leaving the block does. A second time changes nothing."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        del loop.time, loop.run_in_executor, _INSTALLED[loop]
        if self._time_before is not None:
            loop.time = self._time_before
        ahead = self._now - loop.time()
        waiting = [handle for handle in loop._scheduled if not handle.cancelled()]  # noqa: SLF001 - see _check
        if waiting and ahead:  # they were made by this time, and so were the deadlines that their owners keep
            real = loop.time
            loop.time = lambda: real() + ahead

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()

    # What it does.

    async def advance(self, seconds: float) -> None:
        """Let so much time pass. What falls due runs in its order, each thing at its own time, and what follows from it before the next.

        Raises:
            ValueError: the time does not go back.
            RuntimeError: the clock is not installed, or the loop does not settle.
        """
        if not seconds >= 0:
            raise ValueError(f"time goes on, so that seconds is at least 0, not {seconds!r}")
        self._check_installed()
        until = self._now + seconds
        await self.settle()
        while self._step(until):
            await self.settle()

    async def settle(self) -> None:
        """Run everything that needs no time to pass.

        Raises:
            RuntimeError: the clock is not installed, or the loop does not settle.
        """
        self._check_installed()
        assert self._settling is not None
        await self._settling.wait()

    async def drive(self, awaitable: Awaitable[T], limit: float = 3600.0) -> T:
        """Wait for something, and let time pass for as long as that waits: `await clock.drive(asyncio.sleep(60))`.

        Args:
            awaitable: what to wait for.
            limit: seconds by this clock, after which it is cancelled.

        Raises:
            TimeoutError: it is not over within `limit`.
        """
        self._check_installed()
        until = self._now + limit
        task = asyncio.ensure_future(awaitable)
        try:
            await self.settle()
            while not task.done():
                if not self._step(until):
                    raise TimeoutError(f"not over within {limit:g} s by the fake clock")
                await self.settle()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        return task.result()

    def next_due(self) -> float | None:
        """When the next timer falls due, by `now`; None where none waits."""
        self._check_installed()
        waiting = [handle.when() for handle in self._loop._scheduled if not handle.cancelled()]  # noqa: SLF001 - see _check
        return min(waiting, default=None)

    def creep(self) -> None:
        """Go on by a microsecond: for what waits in a loop until a moment that rounding has put just behind its timer."""
        self._now += 1e-6

    def quiet_needed(self) -> float:
        """Real seconds of quiet by which the loop counts as settled."""
        loop = self._loop
        if any(not each.done() for each in self._in_executors) or any(
            not each.done() and each.get_loop() is loop for each in UNFINISHED
        ):
            return max(self.grace, self.thread_grace)
        return self.grace if _may_hear_from_outside(loop) else 0.0

    # Inside.

    def _run_in_executor(
        self, executor: Any, function: Callable[..., T], *arguments: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = type(self._loop).run_in_executor(
            self._loop, executor, function, *arguments
        )
        self._in_executors.add(future)
        return future

    def _time(self) -> float:
        return self._now

    def _step(self, until: float) -> bool:
        """Go on to what falls due next, or to `until`; False when it is that already."""
        due = self.next_due()
        if due is not None and due <= until + _ROUNDING:
            self._now = max(self._now, due)
            return True
        if self._now < until:
            self._now = until
            return True
        return False

    def _check_installed(self) -> None:
        if self._loop is None:
            raise RuntimeError(
                "the fake clock drives no loop: use `with FakeClock() as clock:` inside a coroutine"
            )
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("the fake clock drives another loop than the one that runs")


class _Settling:
    """Looks once a turn whether a loop is quiet, and lets one who waits for that go on, the newest first.

    One at a time: what he does then may set others going, so that the next has to wait for quiet again.
    """

    def __init__(self, loop: Any, clock: FakeClock) -> None:
        self._loop = loop
        self._clock = clock
        self._waiting: list[asyncio.Future[None]] = []
        self._is_looking = False
        self._has_moved = False
        self._spins = 0
        self._gives_up_at = 0.0
        self._naps = 0

    async def wait(self) -> None:
        """Wait for quiet."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        self._has_moved = True
        self._spins = 0
        if not self._is_looking:
            self._is_looking = True
            self._begin()
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _begin(self) -> None:
        self._gives_up_at = time.monotonic() + self._clock.patience
        self._naps = 0
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        """In its turn the selector was asked before; what that found, and what a timer brought, is behind us in the queue."""
        if not self._waiting:
            self._is_looking = False
            return
        if self._has_moved:  # in this very turn, perhaps: what is due by now is seen in the next
            self._has_moved = False
            self._loop.call_soon(self._look)
            return
        ready = list(self._loop._ready)  # noqa: SLF001 - see _check
        if ready:
            self._naps = 0
            self._spins += any(isinstance(handle, asyncio.TimerHandle) for handle in ready)
            if self._spins >= _SPINS:
                self._spins = 0
                self._clock.creep()
            if time.monotonic() > self._gives_up_at:
                self._let_go(_not_settled(ready, self._loop, self._clock.patience))
                return
        elif self._is_quiet():
            self._let_go(None)
            return
        self._loop.call_soon(self._look)

    def _is_quiet(self) -> bool:
        # In naps, not by the clock: on a busy machine they take longer, as does what we wait for.
        if self._naps * _NAP >= self._clock.quiet_needed():
            return True
        self._naps += 1
        time.sleep(_NAP)  # nothing else could run here
        return False

    def _let_go(self, error: RuntimeError | None) -> None:
        future = self._waiting.pop()
        if not future.done():
            future.set_result(None) if error is None else future.set_exception(error)
        self._begin()


def _check(loop: asyncio.AbstractEventLoop) -> None:
    """Refuse a loop whose timers are not where asyncio's own keeps them (`_scheduled` and `_ready`, since Python 3.4)."""
    named = f"{type(loop).__module__}.{type(loop).__qualname__}"
    if not isinstance(loop, asyncio.BaseEventLoop) or not all(
        hasattr(loop, name) for name in ("_scheduled", "_ready")
    ):
        raise RuntimeError(
            f"{named} cannot be driven by a fake clock: it does not keep its timers as asyncio's own loops do; "
            "run this test on asyncio.new_event_loop()"
        )


def _may_hear_from_outside(loop: Any) -> bool:
    """Whether something that the loop does not see may wake it: a descriptor that it watches, or another thread."""
    if threading.active_count() > 1:
        return True
    selector = getattr(loop, "_selector", None)
    registered = getattr(selector, "get_map", lambda: None)()
    return registered is None or len(registered) > 1  # one is the loop's own


def _not_settled(ready: list[Any], loop: asyncio.AbstractEventLoop, patience: float) -> RuntimeError:
    tasks = [repr(task) for task in asyncio.all_tasks(loop)]
    running = [task for task in tasks if "wait_for=" not in task] or [repr(handle) for handle in ready]
    return RuntimeError(
        f"the loop has not settled within {patience:g} real seconds: something runs again and again without waiting, "
        f"as a loop around `await asyncio.sleep(0)` does; perhaps {', '.join(running[:5]):.1000}"
    )
