"""A bounded pool of daemon threads for `def` handlers.

Unlike those of `concurrent.futures` they never keep the process from exiting: a handler that hangs is left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final
from weakref import WeakSet

UNFINISHED: Final[WeakSet[asyncio.Future[Any]]] = WeakSet()
"""What threads have to do or do now, and perhaps what is done: for whoever wants to know whether a loop may hear of one."""


class _Job:
    __slots__ = ("context", "function", "future", "loop")

    def __init__(self, function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.function = function
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.context = contextvars.copy_context()


class Threads:
    """Runs functions on threads, which are started as they are needed and kept.

    Args:
        max_threads: how many run at a time; what exceeds it waits, in order.
        name: the threads' names begin with it.
    """

    def __init__(self, max_threads: int = 32, name: str = "ionbus-handler") -> None:
        self._max_threads = max_threads
        self._name = name
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._busy = 0
        self._quiet: _Job | None = None  # its future is settled when nothing runs any more

    @property
    def busy(self) -> int:
        """How many functions run now."""
        return self._busy

    def run(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run a function; cancelling the future leaves a running one alone, and keeps a waiting one from starting."""
        job = _Job(function, asyncio.get_running_loop())
        UNFINISHED.add(job.future)
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._started < self._max_threads:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._queue.put(job)
        return job.future

    async def stop(self, grace: float) -> bool:
        """Let the threads end after what they do now; False where one is still busy after `grace` seconds."""
        for _ in range(self._started):
            self._queue.put(None)
        with self._lock:
            if not self._busy:
                return True
            self._quiet = _Job(int, asyncio.get_running_loop())
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._quiet.future
        return not self._busy

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                self._busy += 1
            if not job.future.cancelled():
                _run(job)
            with self._lock:
                self._busy -= 1
                self._idle += 1
                if not self._busy and self._quiet is not None:
                    _tell(self._quiet, None, None)


def _run(job: _Job) -> None:
    try:
        result = job.context.run(job.function)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting task is told
        _tell(job, None, error)
    else:
        _tell(job, result, None)


def _tell(job: _Job, result: object, error: BaseException | None) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        job.loop.call_soon_threadsafe(_settle, job.future, result, error)


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # a future cannot hold one
        future.set_exception(RuntimeError("the handler raised StopIteration"))
    else:
        future.set_exception(error)
