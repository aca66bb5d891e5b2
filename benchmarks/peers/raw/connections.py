"""What moves messages, with nothing around them: a WebSocket, or a pair of pipes."""

import asyncio
import sys
from typing import Protocol

from websockets.asyncio.server import ServerConnection

CHUNK_BYTES = 262_144


class Connection(Protocol):
    """What moves messages."""

    async def receive(self) -> bytes: ...
    async def send(self, message: bytes) -> None: ...
    async def send_bytes(self, message: bytes) -> None: ...


class WebSocket:
    """What `websockets` has for each connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def receive(self) -> bytes:
        return await self.socket.recv(decode=False)

    async def send(self, message: bytes) -> None:
        await self.socket.send(message, text=True)

    async def send_bytes(self, message: bytes) -> None:
        await self.socket.send(message)


class Pipe:
    """Records of a length, 4 bytes, and that many of content, over standard input and output."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""
        self._at = 0
        self._out: list[bytes] = []

    async def receive(self) -> bytes:
        while len(self._buffer) < self._at + 4:
            await self._fill(4)
        start = self._at + 4
        size = int.from_bytes(self._buffer[self._at : start], "little")
        if len(self._buffer) < start + size:
            await self._fill(4 + size)
            start = 4
        self._at = start + size
        return self._buffer[start : self._at]

    async def _fill(self, size: int) -> None:
        """Read on until there are `size` bytes, which the buffer then begins with, or more."""
        self._flush()
        rest = self._buffer[self._at :]
        if size > CHUNK_BYTES:
            more = await self._reader.readexactly(size - len(rest))
        else:
            more = await self._reader.read(CHUNK_BYTES)
            if not more:
                sys.exit()
        self._buffer = rest + more
        self._at = 0
        if len(self._buffer) < size:
            await self._fill(size)

    async def send(self, message: bytes) -> None:
        self._out += (len(message).to_bytes(4, "little"), message)
        if len(self._out) > 512:
            self._flush()
            await asyncio.sleep(0)  # lets the loop write it

    async def send_bytes(self, message: bytes) -> None:
        await self.send(message)

    def _flush(self) -> None:
        if self._out:
            self._writer.write(b"".join(self._out))
            self._out.clear()
