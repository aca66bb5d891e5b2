"""A pair of byte pipes under the event loop, through the loop's own transports or through two threads.

Windows' Proactor loop cannot read a standard input, and no loop can wait for a plain file: there a thread reads and another
writes. Both ways look the same from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable
from typing import Final, Protocol, cast

READ_BYTES: Final = 65_536
HIGH_WATER_BYTES: Final = 65_536
"""More unwritten bytes than this, and the pipe is not writable."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds that unwritten bytes have to leave when we close."""


class PipeUser(Protocol):
    """Who uses a pipe."""

    def opened(self, pipe: BytePipe) -> None:
        """The pipe is open; nothing was read yet."""

    def received(self, chunk: bytes) -> None:
        """Bytes came in."""

    def writable(self) -> None:
        """The pipe has caught up."""

    def ended(self, reason: str) -> None:
        """Either direction is over: end of file, or nobody reads. Called once, and not after our own `close`."""


class BytePipe(Protocol):
    """Both directions of a pipe."""

    @property
    def is_writable(self) -> bool:
        """False while it is behind; what is written then is buffered."""

    def write(self, chunk: bytes) -> None:
        """Write; once the pipe is over this does nothing."""

    def pause_reading(self) -> None:
        """Take no more for now, not even the end of file; a little may still come."""

    def resume_reading(self) -> None:
        """Go on."""

    def close(self) -> None:
        """Close after what was written has left, or after `CLOSE_TIMEOUT`."""

    async def wait_closed(self) -> None:
        """Wait until the output is closed."""


async def open_pipe(input_fd: int, output_fd: int, user: PipeUser, *, threads: bool | None = None) -> None:
    """Take over two descriptors.

    Args:
        input_fd: read until its end, whatever happens.
        output_fd: written to.
        user: told what happens, on the event loop's thread.
        threads: use the thread path (True) or the loop's (False); None chooses.
    """
    if threads is None:
        threads = not (_loop_can_wait_for(input_fd) and _loop_can_wait_for(output_fd))
    if threads:
        thread_pipe = _ThreadPipe(output_fd, user)
        user.opened(thread_pipe)
        thread_pipe.read(input_fd)
        return
    loop = asyncio.get_running_loop()
    pipe = _LoopPipe(user)
    await loop.connect_write_pipe(lambda: _Output(pipe), os.fdopen(output_fd, "wb", 0))
    user.opened(pipe)
    await loop.connect_read_pipe(lambda: _Input(pipe), os.fdopen(input_fd, "rb", 0))


def _loop_can_wait_for(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return sys.platform != "win32" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


class _LoopPipe:
    def __init__(self, user: PipeUser) -> None:
        self.user = user
        self.is_writable = True
        self.input: asyncio.ReadTransport | None = None
        self._is_paused = False
        self.output: asyncio.WriteTransport | None = None
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = asyncio.Event()

    def write(self, chunk: bytes) -> None:
        if self.output is not None and not self.output.is_closing() and not self._is_over:
            self.output.write(chunk)

    def pause_reading(self) -> None:
        self._is_paused = True
        if self.input is not None:
            self.input.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        if self.input is not None:
            self.input.resume_reading()

    def input_opened(self, transport: asyncio.ReadTransport) -> None:
        self.input = transport
        if self._is_paused:
            transport.pause_reading()

    def close(self) -> None:
        self._is_over = True
        if self.input is not None:
            self.input.close()
        if self.output is not None:
            self.output.close()
            self._timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.output.abort)

    async def wait_closed(self) -> None:
        await self._is_closed.wait()

    def end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self.user.ended(reason)

    def output_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._is_closed.set()
        self.is_writable = False
        self.end(f"nobody reads our output any more{f' ({exc})' if exc else ''}")

    def paused(self, is_paused: bool) -> None:
        self.is_writable = not is_paused
        if not is_paused and not self._is_over:
            self.user.writable()


class _Input(asyncio.Protocol):
    def __init__(self, pipe: _LoopPipe) -> None:
        self._pipe = pipe

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipe.input_opened(cast(asyncio.ReadTransport, transport))  # uvloop's is of another class

    def data_received(self, data: bytes) -> None:
        self._pipe.user.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.end(f"reading failed: {exc}" if exc else "end of file on the input")


class _Output(asyncio.BaseProtocol):
    def __init__(self, pipe: _LoopPipe) -> None:
        self._pipe = pipe

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._pipe.output = cast(asyncio.WriteTransport, transport)  # uvloop's is of another class

    def pause_writing(self) -> None:
        self._pipe.paused(True)

    def resume_writing(self) -> None:
        self._pipe.paused(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pipe.output_lost(exc)


class _ThreadPipe:
    """Blocking reads and writes on two daemon threads: a read that never returns must not keep the process alive."""

    def __init__(self, output_fd: int, user: PipeUser) -> None:
        self.is_writable = True
        self._user = user
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._unwritten = 0
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._is_closed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._may_read = threading.Event()
        self._may_read.set()
        self._start(self._write, output_fd, "writer")

    def read(self, input_fd: int) -> None:
        """Begin to read."""
        self._start(self._read, input_fd, "reader")

    def _start(self, run: Callable[[int], None], fd: int, name: str) -> None:
        if sys.platform != "win32":
            os.set_blocking(fd, True)
        threading.Thread(target=run, args=(fd,), name=f"ionbus stdio {name}", daemon=True).start()

    def write(self, chunk: bytes) -> None:
        if not self._is_over:
            self._unwritten += len(chunk)
            self.is_writable = self._unwritten <= HIGH_WATER_BYTES
            self._chunks.put(chunk)

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def close(self) -> None:
        self._is_over = True
        self._chunks.put(None)
        self._timer = self._loop.call_later(CLOSE_TIMEOUT, self._is_closed.set)

    async def wait_closed(self) -> None:
        await self._is_closed.wait()

    def _read(self, fd: int) -> None:
        reason = "end of file on the input"
        try:
            while self._may_read.wait() and (chunk := os.read(fd, READ_BYTES)):
                self._tell(self._received, chunk)
        except OSError as error:
            reason = f"reading failed: {error}"
        os.close(fd)
        self._tell(self._end, reason)

    def _write(self, fd: int) -> None:
        try:
            while (chunk := self._chunks.get()) is not None:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
                self._tell(self._written, len(chunk))
        except OSError as error:
            self._tell(self._end, f"nobody reads our output any more ({error})")
        os.close(fd)
        self._tell(self._output_closed)

    def _tell(self, run: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(run, *arguments)

    def _received(self, chunk: bytes) -> None:
        if not self._is_over:
            self._user.received(chunk)

    def _written(self, count: int) -> None:
        self._unwritten -= count
        if not self.is_writable and not self._unwritten and not self._is_over:
            self.is_writable = True
            self._user.writable()

    def _end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._chunks.put(None)
            self._user.ended(reason)

    def _output_closed(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._is_closed.set()
