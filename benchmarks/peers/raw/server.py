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

from benchmarks.models import KINDS
from benchmarks.service import EVENTS, Service, usage
from benchmarks.serving import announce, options, until_parent_ends


class Connection(Protocol):
    """What moves messages."""

    async def receive(self) -> bytes: ...
    async def send(self, message: bytes) -> None: ...


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


async def tell_usage(connection: Connection, kind: str, count: int) -> None:
    await connection.send(str(usage()).encode())


MODES: dict[str, Callable[[Connection, str, int], Awaitable[None]]] = {
    "call": answer_calls,
    "in": take_events,
    "out": emit_events,
    "usage": tell_usage,
}


async def converse(connection: Connection) -> None:
    """One mode after the other."""
    while message := await connection.receive():
        wanted: dict[str, Any] = json.loads(message)
        await MODES[wanted["mode"]](connection, wanted["kind"], wanted["count"])


async def serve_websocket() -> None:
    import websockets.asyncio.server as server  # noqa: PLC0415 - the pipe goes without
    from websockets import ConnectionClosed  # noqa: PLC0415

    class WebSocket:
        def __init__(self, socket: server.ServerConnection) -> None:
            self._socket = socket

        async def receive(self) -> bytes:
            return await self._socket.recv(decode=False)

        async def send(self, message: bytes) -> None:
            await self._socket.send(message, text=True)

    async def accept(socket: server.ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await converse(WebSocket(socket))

    async with server.serve(accept, "127.0.0.1", 0, compression=None, max_size=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        announce(f"ws://127.0.0.1:{port}")
        await until_parent_ends()


class Pipe:
    """Records of a length, 4 bytes, and that many of content, over standard input and output."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = b""
        self._at = 0
        self._out: list[bytes] = []

    async def receive(self) -> bytes:
        while True:
            start = self._at + 4
            if len(self._buffer) >= start:
                end = start + int.from_bytes(self._buffer[self._at : start], "little")
                if len(self._buffer) >= end:
                    self._at = end
                    return self._buffer[start:end]
            await self._fill()

    async def _fill(self) -> None:
        self._flush()
        more = await self._reader.read(262_144)
        if not more:
            sys.exit()
        self._buffer = self._buffer[self._at :] + more
        self._at = 0

    async def send(self, message: bytes) -> None:
        self._out += (len(message).to_bytes(4, "little"), message)
        if len(self._out) > 512:
            self._flush()
            await asyncio.sleep(0)  # lets the loop write it

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
