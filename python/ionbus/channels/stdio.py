"""The broker's end of the pipe to its parent (docs/protocol.md, section 2.2)."""

from __future__ import annotations

import functools
import io
import logging
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from ionbus.channels.base import Accept
from ionbus.channels.lifeline import end_with_launcher
from ionbus.channels.multiplex import Multiplex
from ionbus.channels.pipe import BytePipe, open_pipe
from ionbus.wire.records import MalformedRecord

log = logging.getLogger(__name__)


class Stdio(NamedTuple):
    """Descriptors of our own, which no child process inherits."""

    input_fd: int
    output_fd: int


def is_launched() -> bool:
    """Whether a parent started this process to serve on stdio."""
    return os.environ.get("IONBUS_LAUNCH") == "stdio"


@functools.cache
def take_over_stdio() -> Stdio:
    """Move standard input and output to private descriptors, so that nothing but ionbus reads or writes the pipe.

    Afterwards descriptor 0 is the null device and 1 is standard error: what a handler prints, and what a child process of it
    prints or reads, goes there. `sys.stdout` follows, line by line; what was printed before and not yet flushed as well.

    Where `sys.stdout` is not buffered (PYTHONUNBUFFERED), what was printed before is in the pipe already, and the parent will
    say so: call this as early as possible. Later calls give the same descriptors.

    From now on this process ends soon after its parent, whatever it does.
    """
    taken = Stdio(os.dup(0), os.dup(1))
    end_with_launcher(taken.output_fd)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # no standard error
        os.dup2(null, 1)
    os.close(null)
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists there only

        for fd in taken:
            msvcrt.setmode(fd, os.O_BINARY)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    return taken


class StdioServer:
    """The channels that the parent opened. `serve_stdio` makes one.

    Args:
        accept: called for each channel.
        on_eof: called once when the pipe is over.
    """

    def __init__(self, accept: Accept, on_eof: Callable[[], object]) -> None:
        self._pipe: BytePipe | None = None
        self._multiplex = Multiplex(accept)
        self._on_eof = on_eof
        self._is_over = False

    def opened(self, pipe: BytePipe) -> None:
        """The pipe is open."""
        self._pipe = pipe
        self._multiplex.use(pipe)

    def received(self, chunk: bytes) -> None:
        """Take what the parent wrote."""
        problem = ""
        try:
            self._multiplex.feed(chunk)
        except MalformedRecord as violation:
            problem = f"the parent wrote something that is no record: {violation}"
        if problem:
            log.error("%s; the pipe is closed", problem)
            self.ended(problem)

    def writable(self) -> None:
        """The pipe has caught up."""
        self._multiplex.pump()

    def ended(self, reason: str) -> None:
        """The pipe is over: a state change for every channel, and the end of the broker."""
        if not self._is_over:
            self._is_over = True
            log.debug("the pipe to the parent is over: %s", reason)
            self._multiplex.end(reason)
            self._on_eof()

    def close(self) -> None:
        """Close the pipe after what was sent has left, or soon after; `on_eof` is not called any more."""
        if self._pipe is not None:
            self._is_over = True
            self._multiplex.flush()
            self._multiplex.end("the broker closed the pipe")
            self._pipe.close()

    async def wait_closed(self) -> None:
        """Wait until the output is closed."""
        if self._pipe is not None:
            await self._pipe.wait_closed()


async def serve_stdio(
    accept: Accept,
    on_eof: Callable[[], object],
    *,
    stdio: Stdio | None = None,
    threads: bool | None = None,
) -> StdioServer:
    """Serve the parent that started this process.

    Args:
        accept: called with each channel that the parent opens, and who it is.
        on_eof: called once when the pipe is over: the parent closed it, died, or wrote something that is no record.
        stdio: descriptors that were taken over before; None does it now.
        threads: True reads and writes on threads, False through the event loop; None does what the system can.
    """
    taken = stdio or take_over_stdio()
    server = StdioServer(accept, on_eof)
    await open_pipe(taken.input_fd, taken.output_fd, server, threads=threads)
    return server
