"""A bare WebSocket, and a bare pipe: what is left when a message has no number, no name and no acknowledgement.

The first message is a mode: {"mode": "call", "kind": "progress", "count": 0}. What follows are payloads alone, until an empty message
ends the mode.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.models import KINDS
from benchmarks.peers.raw.connections import Connection, Pipe, WebSocket
from benchmarks.service import EVENTS, Service, content_of, now_ms, updates, usage
from benchmarks.serving import announce, options, until_parent_ends


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


joined: set[ServerConnection] = set()
"""Who hears what is emitted to all."""


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


async def accept(socket: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        await converse(WebSocket(socket))


async def serve_websocket() -> None:
    async with serve(accept, "127.0.0.1", 0, compression=None, max_size=None) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        announce(f"ws://127.0.0.1:{port}")
        await until_parent_ends()


async def serve_stdio() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(1, "wb", 0))
    await converse(Pipe(reader, writer))


if __name__ == "__main__":
    asyncio.run(serve_stdio() if options().channel == "stdio" else serve_websocket())
