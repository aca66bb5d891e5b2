"""Starts a broker as a child process, and starts it again when it dies (docs/supervision.md).

The pipe is the lifeline: whatever becomes of this process, the end of the pipe ends the broker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from ionbus.channels.base import Opened, Receiver
from ionbus.channels.child_process import BrokerExit, ChildProcess, Command
from ionbus.channels.file_watch import changes, check_paths
from ionbus.channels.health import (
    BrokerExited,
    BrokerHealth,
    BrokerState,
    BrokerStateChange,
    RestartPolicy,
)
from ionbus.watchers import Watchers

log = logging.getLogger("ionbus")

STABLE: Final = 5.0
"""Seconds that a broker has to have been ready to count as well again."""


class LaunchedBroker:
    """A broker that runs as a child process for as long as the block does, or until `stop`.

        async with LaunchedBroker(["python", "-m", "myapp"]) as broker, connect(broker) as bus: ...

    Closing its standard input is what tells a broker to end, so it also ends when this process dies, however that happens.

    Args:
        command: program and arguments.
        cwd: where it runs; None: here.
        env: its whole environment; None: ours. `IONBUS_LAUNCH` and `IONBUS_TOKEN` are added.
        restart: whether, or when, to start it again after it has died.
        start_timeout: seconds that a broker may take from its start to its first answer, before it is ended and counts as dead.
        grace: seconds that a broker that is told to stop may take, before it is made to.
        watch: for development: files, and folders with Python files in them, relative to `cwd`. When one has changed the broker
            is started anew; one that has died too often waits for that instead of being given up.
        role: what OPEN says of us.

    Raises:
        TypeError, ValueError: an argument is none of these.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        restart: bool | RestartPolicy = True,
        start_timeout: float = 120.0,
        grace: float = 5.0,
        watch: Sequence[str | os.PathLike[str]] = (),
        role: str = "main",
    ) -> None:
        if isinstance(command, str) or not command:
            raise ValueError(
                "command is a list: the program, then its arguments, as ['python', '-m', 'myapp']"
            )
        if isinstance(watch, (str, os.PathLike)):
            raise TypeError(f"watch is a list: watch=[{os.fspath(watch)!r}]")
        self._command = Command([os.fspath(part) for part in command], cwd, env)
        policy = restart if isinstance(restart, RestartPolicy) else RestartPolicy()
        self._limit = 0 if restart is False else policy.limit
        self._delay = policy.delay
        self._start_timeout = start_timeout
        self._grace = grace
        self._watched = check_paths(watch, cwd)
        self._role = role
        self._state: BrokerState = "starting"
        self._run: ChildProcess | None = None
        self._started_at = 0.0
        self._starts = 0
        self._deaths = 0
        self._last_exit: BrokerExit | None = None
        self._last_lines: tuple[str, ...] = ()
        self._failure: BrokerExited | None = None
        self._wanted_anew = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        """Until it has to have answered; then until it counts as well."""
        self._news: asyncio.Future[None] | None = None
        """For those who wait for a channel: settled with the next start, or why there was none."""
        self._tasks: list[asyncio.Task[None]] = []
        self._state_watchers: Watchers[BrokerStateChange] = Watchers("the broker's process")
        self._log_watchers: Watchers[str] = Watchers("the broker's process")
        self._start_watchers: Watchers[None] = Watchers("the broker's process")

    def __repr__(self) -> str:
        return f"<LaunchedBroker {self._command.text!r} {self._state}>"

    # What is known of it.

    @property
    def state(self) -> BrokerState:
        """How it stands with the process."""
        return self._state

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return self._run.pid if self._run is not None else None

    @property
    def start_timeout(self) -> float:
        """Seconds from its start to its first answer."""
        return self._start_timeout

    @property
    def health(self) -> BrokerHealth:
        """How it stands with it, as it is now."""
        run = self._run
        return BrokerHealth(
            state=self._state,
            pid=self.pid,
            restarts=max(0, self._starts - 1),
            deaths=self._deaths,
            uptime=None if run is None else time.monotonic() - self._started_at,
            last_exit=self._last_exit,
            last_lines=self._last_lines if run is None else tuple(run.last_lines),
        )

    def on_state(self, watch: Callable[[BrokerStateChange], object]) -> Callable[[], None]:
        """Call a function with each change of state; gives a function that ends this."""
        return self._state_watchers.add(watch)

    def on_log(self, watch: Callable[[str], object]) -> Callable[[], None]:
        """Call a function with each line that the broker writes to its standard error, instead of writing it to ours; gives a
        function that ends this."""
        return self._log_watchers.add(watch)

    def on_start(self, watch: Callable[[None], object]) -> Callable[[], None]:
        """Call a function, with None, whenever a process has been started: a client's back-off is for brokers that are not there."""
        return self._start_watchers.add(watch)

    # What can be done with it.

    def start(self) -> None:
        """Start it; once is enough. Entering the block and opening a channel do so too."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            supervision = loop.create_task(self._supervise(), name=f"supervise {self._command.text}")
            supervision.add_done_callback(self._supervision_ended)
            self._tasks.append(supervision)
            if self._watched:
                self._tasks.append(loop.create_task(self._watch_files(), name="watch files"))

    async def open(self, receiver: Receiver) -> Opened:
        """Open a channel as soon as there is a broker. This is an opener (channels/base.py).

        Raises:
            BrokerExited: the start that this waited for has failed; or there will be no other, and `is_final` says so.
        """
        self.start()
        while True:
            if self._failure is not None:
                raise self._failure
            if self._state in ("stopping", "stopped"):
                raise _final(BrokerExited(f"{self._command.text} was stopped"))
            run = self._run
            if run is not None and not run.is_over:
                if not run.has_answered and self._timer is None:
                    self._after(self._start_timeout, self._is_late, run)
                return Opened(run.open(receiver, self._role), run.token)
            if self._news is None:
                self._news = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._news)

    def restart(self, reason: str = "it was asked for") -> None:
        """Start the broker anew, also one that was given up. It does not count as a death."""
        if self._state in ("stopping", "stopped"):
            return
        self.start()
        self._failure = None
        self._deaths = 0
        self._cancel_timer()
        self._become("restarting", reason)
        self._wanted_anew.set()
        if self._run is not None:
            self._run.end(f"the broker is started anew: {reason}")

    async def stop(self) -> None:
        """End the broker: close its input, wait `grace`, terminate it, kill it. Cancelled, it kills at once."""
        self._cancel_timer()
        if self._state != "stopped":
            self._become("stopping")
        self._tell_news()
        self._wanted_anew.set()
        try:
            if self._run is not None:
                self._run.end(f"{self._command.text} was stopped")
            if self._tasks:
                await asyncio.wait(self._tasks[:1])
        except asyncio.CancelledError:
            if self._run is not None:
                self._run.kill()
            raise
        finally:
            for task in self._tasks[1:]:
                task.cancel()
            await asyncio.gather(*self._tasks[1:], return_exceptions=True)
        self._become("stopped")

    async def __aenter__(self) -> Self:
        """Start."""
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    # The life of one process after the other.

    async def _supervise(self) -> None:
        while self._state not in ("stopping", "stopped"):
            self._wanted_anew.clear()
            how = await self._live()
            if self._state in ("stopping", "stopped") or self._wanted_anew.is_set():
                continue
            self._deaths += 1
            if self._deaths <= self._limit:
                self._become("restarting", how.reason)
                await self._wait_for_wish(self._delay(self._deaths))
            elif self._watched:
                self._become("restarting", how.reason)
                self._log("ionbus: the broker has died too often; it is started again when a file changes")
                await self._wait_for_wish(None)
            else:
                self._give_up(how)
                await self._wait_for_wish(None)

    def _give_up(self, how: BrokerExit) -> None:
        self._failure = _final(BrokerExited.of(how))
        self._tell_news()
        self._become("failed", how.reason)

    def _supervision_ended(self, task: asyncio.Task[None]) -> None:
        """Where a mistake has ended it, of the policy's `delay` as well, nobody shall wait for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the supervision of %s has failed", self._command.text, exc_info=error)
            self._give_up(BrokerExit(None, None, f"the supervision of the broker has failed: {error!r}", ()))

    async def _live(self) -> BrokerExit:
        """Start a process, and wait until it has gone."""
        token = secrets.token_urlsafe(32)
        run = ChildProcess(self._command, token, self._grace, self._log, self._has_answered, self._is_over)
        self._starts += 1
        try:
            await run.start()
        except (OSError, ValueError) as error:
            failure = BrokerExited.of(run.exit)
            failure.__cause__ = error
            self._is_over(run.exit)
            self._tell_news(failure)
            return run.exit
        self._run = run
        self._started_at = time.monotonic()
        if self._wanted_anew.is_set() or self._state == "stopping":  # meanwhile
            run.end(f"{self._command.text} was stopped")
        self._tell_news()
        self._start_watchers.tell(None)
        try:
            return await run.gone()
        except asyncio.CancelledError:
            run.kill()
            raise

    def _has_answered(self) -> None:
        self._cancel_timer()
        if self._state == "stopping" or self._wanted_anew.is_set():
            return
        self._become("running")
        self._after(STABLE, self._is_well)

    def _is_over(self, how: BrokerExit) -> None:
        self._cancel_timer()
        self._last_exit, self._last_lines, self._run = how, how.last_lines, None

    def _is_well(self) -> None:
        self._deaths = 0

    def _is_late(self, run: ChildProcess) -> None:
        run.terminate(f"has not answered within {self._start_timeout:g} s of its start, and was ended")

    async def _watch_files(self) -> None:
        async for names in changes(self._watched):
            self._log(f"ionbus: {names} changed; the broker is started anew")
            self.restart(f"{names} changed")

    # Inside.

    async def _wait_for_wish(self, seconds: float | None) -> None:
        """Wait until it is to be started anew, or stopped, or until the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted_anew.wait()

    def _after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, act, *arguments)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_news(self, error: BrokerExited | None = None) -> None:
        news, self._news = self._news, None
        if news is None or news.done():
            return
        if error is None:
            news.set_result(None)
        else:
            news.set_exception(error)
            news.exception()  # who has waited may have gone

    def _become(self, after: BrokerState, reason: str = "") -> None:
        if self._state != after:
            change = BrokerStateChange(self._state, after, reason)
            self._state = after
            self._state_watchers.tell(change)

    def _log(self, line: str) -> None:
        if self._log_watchers:
            self._log_watchers.tell(line)
        else:
            _print_to_stderr(line)


def _final(error: BrokerExited) -> BrokerExited:
    error.is_final = True
    return error


def _print_to_stderr(line: str) -> None:
    if sys.stderr is not None:
        with suppress(
            OSError, ValueError
        ):  # nobody reads it any more, or it is closed: nobody is left to be told
            sys.stderr.write(f"{line}\n")
