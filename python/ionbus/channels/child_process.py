"""One run of a child process: its pipes, its last words and its end (channels/child.py starts it)."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import signal
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

from ionbus.channels.base import Receiver
from ionbus.channels.multiplex import Multiplex, PipeChannel
from ionbus.wire.records import MalformedRecord

log = logging.getLogger(__name__)

KEPT_LINES: Final = 50
SHOWN_LINES: Final = 10
SHOWN_BYTES: Final = 80
MAX_LINE: Final = 4_096
"""A line of standard error is cut after this many characters."""

LAST_WORDS: Final = 0.5
"""Seconds that output and error may stay open after the end: another process can hold them for ever."""

TERMINATE_TIMEOUT: Final = 2.0
"""Seconds between `terminate` and `kill`."""


class ChildProcess(asyncio.SubprocessProtocol):
    """The protocol that asyncio drives, and a pipe's output for its multiplexer.

    Args:
        command: for messages.
        token: what it was given for its clients.
        grace: seconds between the end of its input and `terminate`.
        on_stderr: gets each line of its standard error.
    """

    def __init__(
        self, command: Sequence[str], token: str, grace: float, on_stderr: Callable[[str], object]
    ) -> None:
        self.token = token
        self.is_over = False
        """Whether no channel can be opened any more."""
        self.is_writable = True
        self.stderr_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._name = " ".join(command)
        self._grace = grace
        self._on_stderr = on_stderr
        self._multiplex = Multiplex()
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._line = ""
        self._garbage = ""
        self._was_terminated = False
        self._exited = asyncio.Event()
        self._stdout_ended = asyncio.Event()
        self._stderr_ended = asyncio.Event()
        self._is_stopping = False
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._transport.get_pid() if self._transport else None

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._transport.get_returncode() if self._transport else None

    def open(self, receiver: Receiver, role: str) -> PipeChannel:
        """Open a channel; the program may still be starting."""
        return self._multiplex.open(receiver, {"role": role})

    async def finished(self) -> None:
        """Wait until the process has gone and its channels were told; call it when `is_over`."""
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def stop(self) -> None:
        """End it; channels that are still open are told. Cancelled, it kills at once."""
        self._is_stopping = True
        self._end()
        try:
            await self.finished()
        except asyncio.CancelledError:
            self._kill()
            raise

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
        elif not self._garbage:
            try:
                self._multiplex.feed(data)
            except MalformedRecord as violation:
                self._refuse_garbage(violation.found, f" ({violation})")

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """One of its pipes is closed."""
        if fd == 2:
            self._log(self._decoder.decode(b"", final=True) + ("\n" if self._line else ""))
            self._stderr_ended.set()
        else:
            if fd == 1:
                self._stdout_ended.set()
                if self._multiplex.carried and not self._garbage:
                    self._refuse_garbage(self._multiplex.carried, " (it ends within a record)")
            self.is_writable = False
            self._end()

    def process_exited(self) -> None:
        """It has ended."""
        self._exited.set()
        self._end()

    # The end.

    def _refuse_garbage(self, found: bytes, why: str) -> None:
        shown = repr(found[:SHOWN_BYTES])[1:] + ("…" if len(found) > SHOWN_BYTES else "")
        self._garbage = (
            f"printed something that is no record on its standard output: {shown}{why}; "
            "that pipe belongs to ionbus, so print to standard error instead"
        )
        self._kill()
        self._end()

    def _end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._ending = asyncio.get_running_loop().create_task(self._finish(), name=f"end of {self._name}")

    async def _finish(self) -> None:
        try:
            await self._leave()
        finally:
            self._kill()
            if self._transport is not None:
                self._transport.close()
            self._multiplex.end(self._last_words())

    async def _leave(self) -> None:
        if self._is_stopping:
            self._multiplex.flush()
        if self._stdin is not None:
            self._stdin.close()
        if not await _within(self._grace, self._exited) and self._transport is not None:
            self._was_terminated = True
            with contextlib.suppress(ProcessLookupError):
                self._transport.terminate()
            if not await _within(TERMINATE_TIMEOUT, self._exited):
                self._kill()
                await self._exited.wait()
        await _within(LAST_WORDS, self._stdout_ended, self._stderr_ended)

    def _kill(self) -> None:
        if self._transport is not None and not self._exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()

    def _last_words(self) -> str:
        code = self.exit_code
        if self._garbage:
            text = f"{self._name} {self._garbage}"
        elif self._is_stopping:
            return f"{self._name} was stopped"
        elif self._was_terminated or code is None:
            text = f"{self._name} closed its standard input or output, ran on, and was terminated"
        elif code < 0:
            text = f"{self._name} was ended by {_signal_name(-code)}"
        else:
            text = f"{self._name} exited with code {code}"
        if self.stderr_lines:
            text += "; its last lines on standard error:\n" + "\n".join(
                list(self.stderr_lines)[-SHOWN_LINES:]
            )
        return text

    def _log(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        if len(self._line) > MAX_LINE:
            lines.append(self._line)
            self._line = ""
        for line in lines:
            kept = line.rstrip("\r")[:MAX_LINE]
            self.stderr_lines.append(kept)
            try:
                self._on_stderr(kept)
            except Exception:
                log.exception("on_stderr failed")


async def _within(seconds: float, *events: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            for event in events:
                await event.wait()
    except TimeoutError:
        return False
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
