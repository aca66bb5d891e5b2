"""python-socketio on uvicorn, over WebSocket from the first byte on (docs: "transports"), which is where its deployment guide ends up."""

import asyncio
import socket as sockets
from typing import Any

from benchmarks.models import KINDS
from benchmarks.serving import announce, options, until_parent_ends

chosen = options()

import socketio
import uvicorn

from benchmarks.service import EVENTS, Service, content_of, now_ms, updates, usage

sio = socketio.AsyncServer(
    async_mode="asgi", transports=["websocket"], serializer=chosen.serializer, max_http_buffer_size=1 << 30
)
service = Service()


def register(kind: str) -> None:
    """The call and the events of one kind of payload."""
    model, event = KINDS[kind], EVENTS[kind]

    async def call(sid: str, payload: Any) -> Any:
        return model.model_validate(payload).model_dump()

    async def handle(sid: str, payload: Any) -> None:
        await service.handle(model.model_validate(payload))

    async def publish(sid: str, count: int) -> None:
        for _ in range(count):
            await sio.emit(f"out-{kind}", event.model_dump())

    sio.on(f"call-{kind}", call)
    sio.on(f"in-{kind}", handle)
    sio.on(f"publish-{kind}", publish)


async def received(sid: str, count: int) -> int:
    return await service.received(count)


async def tell_usage(sid: str) -> float:
    return usage()


async def publish_latest(sid: str, count: int) -> float:
    async for update in updates(count):
        await sio.emit("out-latest", update.model_dump())
    return now_ms()


async def put(sid: str, content: bytes) -> int:
    return len(content)


async def get(sid: str, size: int) -> bytes:
    return content_of(size)


for each in KINDS:
    register(each)
sio.on("received", received)
sio.on("publish-latest", publish_latest)
sio.on("put", put)
sio.on("get", get)
sio.on("usage", tell_usage)


async def serve() -> None:
    listening = sockets.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            socketio.ASGIApp(sio),
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=1 << 30,
            lifespan="off",
            log_level="warning",
            access_log=False,
        )
    )
    announce(f"http://127.0.0.1:{listening.getsockname()[1]}")
    serving = asyncio.create_task(server.serve([listening]))
    await until_parent_ends()
    await serving


if __name__ == "__main__":
    asyncio.run(serve())
