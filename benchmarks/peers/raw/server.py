"""A bare WebSocket, and a bare pipe: what is left when a message has no number, no name and no acknowledgement.

The first message is a mode: {"mode": "call", "kind": "progress", "count": 0}. What follows are payloads alone, until an empty message
ends the mode.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from pydantic import BaseModel
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.models import KINDS
from benchmarks.service import EVENTS, Service, content_of, now_ms, updates, usage
from benchmarks.serving import announce, options, until_parent_ends


class Connection(Protocol):
    """What moves messages."""

    async def receive(self) -> bytes: ...
    async def send(self, message: bytes) -> None: ...
    async def send_bytes(self, message: bytes) -> None: ...


async def echo(request: BaseModel) -> BaseModel:
    """Give back what came."""
    return request


async def answer_calls(connection: Connection, kind: str, count: int) -> None:
    validate = KINDS[kind].model_validate_json
    receive, send = connection.receive, connection.send
    while message := await receive():
        result = await echo(validate(message))
        await send(result.model_dump_json().encode())


async def take_events(connection: Connection, kind: str, count: int) -> None:
    service = Service()
    validate, handle = KINDS[kind].model_validate_json, service.handle
    receive = connection.receive
    while message := await receive():
        await handle(validate(message))
    await connection.send(str(await service.received(0)).encode())


async def emit_events(connection: Connection, kind: str, count: int) -> None:
    event, send = EVENTS[kind], connection.send
    for _ in range(count):
        await send(event.model_dump_json().encode())


async def join(connection: Connection, kind: str, count: int) -> None:
    """Hear what others broadcast, until an empty message."""
    assert isinstance(connection, WebSocket)
    joined.add(connection.socket)
    try:
        await connection.send(b"0")
        await connection.receive()
    finally:
        joined.discard(connection.socket)


async def emit_to_all(connection: Connection, kind: str, count: int) -> None:
    assert isinstance(connection, WebSocket)
    event, everybody = EVENTS[kind], {connection.socket, *joined}
    for _ in range(count):
        broadcast(everybody, event.model_dump_json())
        await asyncio.sleep(0)  # lets the loop write it


async def emit_updates(connection: Connection, kind: str, count: int) -> None:
    async for update in updates(count):
        await connection.send(update.model_dump_json().encode())
    await connection.send(str(now_ms()).encode())


async def take_bytes(connection: Connection, kind: str, count: int) -> None:
    await connection.send(str(len(await connection.receive())).encode())


async def give_bytes(connection: Connection, kind: str, count: int) -> None:
    await connection.send_bytes(content_of(count))


async def tell_usage(connection: Connection, kind: str, count: int) -> None:
    await connection.send(str(usage()).encode())


MODES: dict[str, Callable[[Connection, str, int], Awaitable[None]]] = {
    "call": answer_calls,
    "in": take_events,
    "out": emit_events,
    "join": join,
    "out-to-all": emit_to_all,
    "latest": emit_updates,
    "put": take_bytes,
    "get": give_bytes,
    "usage": tell_usage,
}


async def converse(connection: Connection) -> None:
    """One mode after the other."""
    while message := await connection.receive():
        wanted: dict[str, Any] = json.loads(message)
        await MODES[wanted["mode"]](connection, wanted["kind"], wanted["count"])


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


joined: set[ServerConnection] = set()
"""Who hears what is emitted to all."""


async def accept(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        await converse(WebSocket(socket))


async def serve_websocket() -> None:
    async with serve(accept, "127.0.0.1", 0, compression=None, max_size=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        announce(f"ws://127.0.0.1:{port}")
        await until_parent_ends()


CHUNK_BYTES = 262_144


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


async def serve_stdio() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(1, "wb", 0))
    await converse(Pipe(reader, writer))


if __name__ == "__main__":
    asyncio.run(serve_stdio() if options().channel == "stdio" else serve_websocket())
