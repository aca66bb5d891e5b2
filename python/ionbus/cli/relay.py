"""Passes the records of a parent's pipe on to the broker that runs at the moment, for `serve --stdio --reload`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import msgpack

from ionbus.channels.pipe import BytePipe, open_pipe
from ionbus.channels.stdio import Stdio
from ionbus.generated.protocol import Record as Kind
from ionbus.wire.records import MalformedRecord, Record, RecordReader, encode_record

log = logging.getLogger("ionbus")

CHUNK = 65_536


class Relay:
    """Sits between the parent's pipe and one broker after another. Frames are not decoded.

    A channel belongs to the broker that was there when it was opened: when that one ends, the channel is closed and not over,
    so that its client comes back on another. Neither side is read while the other does not take what was read before, so that
    what waits here is bounded; while no broker runs, the parent is not read.

    Args:
        on_eof: called once when the parent has closed its pipe.
    """

    def __init__(self, on_eof: Callable[[], object]) -> None:
        self._on_eof = on_eof
        self._reader = RecordReader()
        self._pipe: BytePipe | None = None
        self._broker: asyncio.StreamWriter | None = None
        self._channels: set[int] = set()
        self._caught_up: asyncio.Future[None] | None = None
        self._early: list[bytes] = []  # what came although the parent is not read
        self._is_behind = asyncio.Event()
        self.has_ended = False
        """Whether the parent has closed its pipe."""

    async def open(self, stdio: Stdio) -> None:
        """Take up the parent's pipe."""
        await open_pipe(stdio.input_fd, stdio.output_fd, self)

    async def close(self) -> None:
        """Close the parent's pipe."""
        if self._pipe is not None:
            self._pipe.close()
            await self._pipe.wait_closed()

    async def serve(self, process: asyncio.subprocess.Process) -> None:
        """Pass on the records of one broker until it ends."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._broker = process.stdin
        keeping_up = asyncio.create_task(self._keep_up(process.stdin))
        early, self._early = self._early, []
        for chunk in early:
            self.received(chunk)
        self._go_on()
        reader = RecordReader()
        try:
            while chunk := await process.stdout.read(CHUNK):
                for record in reader.feed(chunk):
                    self._to_parent(record)
                await self._parent_caught_up()
        except MalformedRecord as error:
            log.warning("the broker wrote something that is no record: %s", error)
            with suppress(ProcessLookupError):
                process.kill()
        finally:
            keeping_up.cancel()
            self.leave("the broker has ended")
        with suppress(asyncio.CancelledError):
            await keeping_up
        await self._close(process.stdin)

    def leave(self, why: str) -> None:
        """The broker ends: close its channels."""
        self._broker = None
        if self._pipe is not None:
            self._pipe.pause_reading()
        channels, self._channels = self._channels, set()
        for channel in channels:
            self._write(encode_record(Kind.CLOSE, channel, msgpack.packb([False, "connection_lost", why])))

    async def say_eof(self) -> None:
        """Tell the broker that the parent has closed its pipe, behind all that it wrote."""
        if self._broker is not None:
            await self._close(self._broker)

    # What the parent's pipe says.

    def opened(self, pipe: BytePipe) -> None:
        """The pipe is open."""
        self._pipe = pipe
        if self._broker is None:
            pipe.pause_reading()

    def received(self, chunk: bytes) -> None:
        """The parent has written something."""
        if self._broker is None:
            self._early.append(chunk)
            return
        try:
            for record in self._reader.feed(chunk):
                self._to_broker(record, self._broker)
        except MalformedRecord as error:
            self.ended(f"the parent wrote something that is no record: {error}")
        if self._broker.transport.get_write_buffer_size() > CHUNK and self._pipe is not None:
            self._pipe.pause_reading()
            self._is_behind.set()

    def writable(self) -> None:
        """The pipe has caught up."""
        if self._caught_up is not None and not self._caught_up.done():
            self._caught_up.set_result(None)

    def ended(self, reason: str) -> None:
        """The parent's pipe is over."""
        log.debug("the pipe to the parent is over: %s", reason)
        self.has_ended = True
        self._pipe = None
        self.writable()
        self._on_eof()

    # Inside.

    def _to_broker(self, record: Record, broker: asyncio.StreamWriter) -> None:
        kind, channel, body = record
        if kind == Kind.OPEN:
            self._channels.add(channel)
        elif channel not in self._channels:
            return  # it was closed with the broker that carried it
        elif kind == Kind.CLOSE:
            self._channels.discard(channel)
        broker.write(encode_record(kind, channel, body))

    def _to_parent(self, record: Record) -> None:
        kind, channel, body = record
        if channel not in self._channels:
            return
        if kind == Kind.CLOSE:
            self._channels.discard(channel)
        self._write(encode_record(kind, channel, body))

    def _write(self, record: bytes) -> None:
        if self._pipe is not None:
            self._pipe.write(record)

    async def _keep_up(self, broker: asyncio.StreamWriter) -> None:
        """Read on from the parent only when the broker has taken what was written."""
        while True:
            self._is_behind.clear()
            self._go_on()
            await self._is_behind.wait()
            try:
                await broker.drain()
            except OSError:
                return  # it has gone, and `serve` will notice

    def _go_on(self) -> None:
        if self._pipe is not None:
            self._pipe.resume_reading()

    async def _parent_caught_up(self) -> None:
        """Read on from the broker only when the parent has taken what was written."""
        while self._pipe is not None and not self._pipe.is_writable:
            self._caught_up = asyncio.get_running_loop().create_future()
            await self._caught_up

    async def _close(self, broker: asyncio.StreamWriter) -> None:
        broker.close()
        with suppress(OSError):  # nobody reads it any more
            await broker.wait_closed()
