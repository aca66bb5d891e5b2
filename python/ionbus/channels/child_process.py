"""One run of a broker's process: its pipes, its last words and its end (channels/supervisor.py decides when there is another)."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from ionbus.channels.base import Receiver
from ionbus.channels.forks import keep_from_forks, release
from ionbus.channels.multiplex import Multiplex, PipeChannel
from ionbus.wire.records import MalformedRecord

LAST_LINES: Final = 20
SHOWN_BYTES: Final = 80
MAX_LINE: Final = 4_096
"""A line of standard error is cut after this many characters."""

LAST_WORDS: Final = 0.5
"""Seconds that output and error may stay open after the end: another process can hold them for ever."""

TERMINATE_TIMEOUT: Final = 2.0
"""Seconds between `terminate` and `kill`."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run.

    Args:
        words: the program and its arguments.
        cwd: where it runs; None: here.
        env: its whole environment; None: ours. `IONBUS_LAUNCH` and `IONBUS_TOKEN` are added.
    """

    words: Sequence[str]
    cwd: str | os.PathLike[str] | None = None
    env: Mapping[str, str] | None = None

    @property
    def text(self) -> str:
        """For messages."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class BrokerExit:
    """How a broker's process has ended, or why it could not be started.

    Args:
        code: None where a signal ended it, or it never ran.
        signal: that signal's name.
        reason: in words, with the command.
        last_lines: the last that it wrote to its standard error, at most 20.
    """

    code: int | None
    signal: str | None
    reason: str
    last_lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reason and the last lines."""
        return "\n".join((self.reason, *self.last_lines))


class ChildProcess(asyncio.SubprocessProtocol):
    """The protocol that asyncio drives, and a pipe's output for its multiplexer.

    Args:
        command: what is run.
        token: what it is given for its clients; in its log it is not shown.
        grace: seconds between the end of its input and `terminate`.
        heard: called with each line of its standard error.
        answered: called once, with its first record: it speaks ionbus.
        over: called once when it has ended, before its channels are told.
    """

    def __init__(
        self,
        command: Command,
        token: str,
        grace: float,
        heard: Callable[[str], object],
        answered: Callable[[], object],
        over: Callable[[BrokerExit], object],
    ) -> None:
        self.token = token
        self.has_answered = False
        self.is_over = False
        """Whether no channel can be opened any more."""
        self.is_writable = True
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.exit = BrokerExit(None, None, f"{command.text} has not ended", ())
        """How it has ended, once it is `gone`."""
        self._command = command
        self._grace = grace
        self._heard = heard
        self._answered = answered
        self._over = over
        self._multiplex = Multiplex()
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._fds = [-1, -1, -1]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._line = ""
        self._deed = ""  # what it has done, or failed to, to be ended for
        self._is_broken = False
        self._exited = asyncio.Event()
        self._stdout_ended = asyncio.Event()
        self._stderr_ended = asyncio.Event()
        self._must_end = asyncio.Event()  # now, without grace
        self._goodbye = ""  # what its channels are told where it ends because we want it to
        self._ending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the program.

        Raises:
            OSError, ValueError: it cannot be; `exit` says why.
        """
        env = {
            **(os.environ if self._command.env is None else self._command.env),
            "IONBUS_LAUNCH": "stdio",
            "IONBUS_TOKEN": self.token,
        }
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: self, *self._command.words, cwd=self._command.cwd, env=env
            )  # stdin, stdout and stderr are pipes by default
        except (OSError, ValueError) as error:
            self.exit = BrokerExit(None, None, _explain(self._command, error), ())
            raise

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._transport.get_pid() if self._transport and not self._exited.is_set() else None

    def open(self, receiver: Receiver, role: str) -> PipeChannel:
        """Open a channel; the program may still be starting."""
        return self._multiplex.open(receiver, {"role": role})

    async def gone(self) -> BrokerExit:
        """Wait until the process has gone and its channels were told."""
        await self._exited.wait()
        if self._ending is not None:
            await asyncio.shield(self._ending)
        return self.exit

    def end(self, goodbye: str) -> None:
        """Close its input and give it its grace; then terminate it, then kill it.

        Args:
            goodbye: what its channels are told.
        """
        self._goodbye = self._goodbye or goodbye
        self._end()

    def terminate(self, deed: str) -> None:
        """Do so without waiting for it.

        Args:
            deed: what it has done, or failed to, to be said of it.
        """
        self._deed = self._deed or deed
        self._must_end.set()
        self._end()

    def kill(self) -> None:
        """End it at once."""
        if self._transport is not None and not self._exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()

    # The pipe's output.

    def write(self, chunk: bytes) -> None:
        """Write to its standard input."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(chunk)

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        self._multiplex.use(self)
        for number in range(3):
            pipe = self._transport.get_pipe_transport(number)
            if pipe is not None:
                self._fds[number] = pipe.get_extra_info("pipe").fileno()
                keep_from_forks(self._fds[number])

    def pause_writing(self) -> None:
        """It does not read as fast as we write."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self.is_writable = True
        self._multiplex.pump()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It wrote something."""
        if fd == 2:
            self._log(self._decoder.decode(data))
        elif not self._is_broken:
            try:
                self._multiplex.feed(data)
            except MalformedRecord as violation:
                self._refuse(violation.found, str(violation))
            else:
                self._note_answer()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """One of its pipes is closed."""
        release(self._fds[fd])
        if fd == 2:
            self._log(self._decoder.decode(b"", final=True) + ("\n" if self._line else ""))
            self._stderr_ended.set()
            return
        if fd == 1:
            self._stdout_ended.set()
            # Where there were records before, it was killed while it wrote one more.
            if self._multiplex.carried and not self.has_answered:
                self._refuse(self._multiplex.carried, "it ends within a record")
        self.is_writable = False
        self._end()

    def process_exited(self) -> None:
        """It has ended."""
        self._exited.set()
        self._end()

    # Inside.

    def _note_answer(self) -> None:
        if not self.has_answered and self._multiplex.has_heard:
            self.has_answered = True
            self._answered()

    def _refuse(self, found: bytes, why: str) -> None:
        shown = repr(found[:SHOWN_BYTES])[1:] + ("…" if len(found) > SHOWN_BYTES else "")
        self._deed = (
            f"printed something that is no record on its standard output: {shown} ({why}); "
            "that pipe belongs to ionbus, so print to standard error instead"
        )
        self._is_broken = True
        self.kill()
        self._end()

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._ending = asyncio.get_running_loop().create_task(
                self._finish(), name=f"end of {self._command.text}"
            )

    async def _finish(self) -> None:
        try:
            await self._leave()
        finally:
            self.kill()
            if self._transport is not None:
                # Behind a launcher that was killed the broker itself may live on: it shall notice that nobody reads.
                self._transport.close()
            self.exit = self._how_it_ended()
            self._over(self.exit)
            self._multiplex.end(self._goodbye or self.exit.text)

    async def _leave(self) -> None:
        if self._goodbye:
            self._multiplex.flush()
        if self._stdin is not None:
            self._stdin.close()
        await _first_of(self._exited, self._must_end, seconds=self._grace)
        if not self._exited.is_set() and self._transport is not None:
            if not self._goodbye:
                self._deed = self._deed or "closed its standard input or output, ran on, and was ended"
            with contextlib.suppress(ProcessLookupError):
                self._transport.terminate()
            if not await _first_of(self._exited, seconds=TERMINATE_TIMEOUT):
                self.kill()
                await self._exited.wait()
        await _all_of(self._stdout_ended, self._stderr_ended, seconds=LAST_WORDS)

    def _how_it_ended(self) -> BrokerExit:
        returned = self._transport.get_returncode() if self._transport is not None else None
        code = returned if returned is None or returned >= 0 else None
        name = _signal_name(-returned) if returned is not None and returned < 0 else None
        how = f"ended with exit code {code}" if name is None else f"was ended by {name}"
        return BrokerExit(code, name, f"{self._command.text} {self._deed or how}", tuple(self.last_lines))

    def _log(self, text: str) -> None:
        *lines, self._line = re.split(r"\r?\n", (self._line + text).replace(self.token, "[token]"))
        # What is cut off may end with the beginning of a token, unless more than a token's length is left.
        while len(self._line) > MAX_LINE + len(self.token):
            lines.append(self._line[:MAX_LINE])
            self._line = self._line[MAX_LINE:]
        for line in lines:
            kept = line[:MAX_LINE]
            self.last_lines.append(kept)
            self._heard(kept)


async def _first_of(*events: asyncio.Event, seconds: float) -> bool:
    """Wait for one of them; False when the time is over."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    return bool(done)


async def _all_of(*events: asyncio.Event, seconds: float) -> None:
    """Wait for all of them, or until the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for event in events:
                await event.wait()


def _explain(command: Command, error: Exception) -> str:
    program = command.words[0]
    if command.cwd is not None and not Path(command.cwd).is_dir():
        return f"cannot start {program}: the directory {os.fspath(command.cwd)} does not exist; check `cwd`"
    if isinstance(error, FileNotFoundError):
        return f"cannot start {program}: there is no such program; check its name, its path and PATH"
    if isinstance(error, PermissionError):
        return f"cannot start {program}: it may not be run ({error.strerror})"
    return f"cannot start {program}: {error}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
