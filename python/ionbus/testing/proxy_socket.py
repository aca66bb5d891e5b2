"""A socket of a proxied connection: reads and writes with back-pressure, and ends in the way that a test wants."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from ionbus.testing.passage import Passage

PATIENCE: Final = 2.0
"""Seconds that bytes have to leave, and that the other end has to close, before a socket is reset."""

_NAP: Final = 0.0005
"""Seconds between two looks whether bytes have left."""


class ProxySocket(asyncio.Protocol):
    """One socket of a connection: the end of one passage, and the beginning of the other.

    Args:
        opened: called with it once there is one.

    Attributes:
        is_over: whether it is closed.
    """

    reads: Passage
    writes: Passage

    def __init__(self, opened: Callable[[ProxySocket], None]) -> None:
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._lost: Callable[[ProxySocket, Exception | None], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_at_end = False  # nothing more comes from it
        self._is_finished = False  # nothing more goes to it
        self._closes_soon = False
        self.is_over = False

    def join(
        self, reads: Passage, writes: Passage, lost: Callable[[ProxySocket, Exception | None], None]
    ) -> None:
        """Say what it is the beginning and the end of, and who is told when it is gone."""
        self.reads, self.writes, self._lost = reads, writes, lost

    # The end of a passage.

    def write(self, data: bytes) -> None:
        """Write."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        """FIN, behind what was written. The other end may still send; where that goes nowhere, it is not waited for long."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._is_finished = True
        if self._is_at_end:
            transport.close()
        else:
            transport.write_eof()
            if self.reads.is_dead or self._closes_soon:
                self._give_up_after(PATIENCE)

    def close_soon(self) -> None:
        """Nobody is there any more for what it reads: `finish`, which comes behind what still waits for it, is its end."""
        self._closes_soon = True
        if self._is_finished:
            self._give_up_after(PATIENCE)

    def reset(self, *, at_once: bool = False) -> None:
        """RST, once what was written has arrived: it would take along what has not."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + (0 if at_once else PATIENCE)

        def look() -> None:
            if _has_unsent(transport) and loop.time() < until:
                self._timer = loop.call_later(_NAP, look)
                return
            linger = transport.get_extra_info("socket")
            if linger is not None:
                linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

        self._stop_timer()
        look()

    def read(self, is_wanted: bool) -> None:
        """Read on, or leave it in the kernel."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading() if is_wanted else transport.pause_reading()

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        if self._lost is not None:
            self.reads.put(data)

    def eof_received(self) -> bool:
        if self._lost is None:
            return False
        self._is_at_end = True
        self.reads.finish()
        return not (self.reads.is_dead or self._is_finished)  # then asyncio closes it

    def pause_writing(self) -> None:
        self._behind(True)

    def resume_writing(self) -> None:
        self._behind(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.is_over = True
        if self._lost is not None:
            self._lost(self, exc)

    def _behind(self, is_behind: bool) -> None:
        if self._lost is not None:
            self.writes.is_behind = is_behind
            self.writes.look()

    def _give_up_after(self, seconds: float) -> None:
        self._stop_timer()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _has_unsent(transport: asyncio.Transport) -> bool:
    """Whether bytes that were written have not arrived at the other end's kernel, as far as the system tells."""
    if transport.get_write_buffer_size():
        return True
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - exists there only
    import termios  # noqa: PLC0415

    linked: Any = transport.get_extra_info("socket")
    unsent = struct.unpack("i", fcntl.ioctl(linked.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return bool(unsent)
