"""wslink with its aiohttp backend, without compression."""

import asyncio
import os
from typing import Any

from benchmarks.models import KINDS
from benchmarks.serving import announce, options, until_parent_ends

options()
os.environ["WSLINK_READY_MSG"] = ""  # standard output is for where we are

from wslink import register, server
from wslink.websocket import LinkProtocol, ServerProtocol

from benchmarks.service import EVENTS, Service, content_of, usage

SECRET = "bench"
TURN = 64
"""Events published before the loop has its turn."""


class Bench(LinkProtocol):  # type: ignore[misc] # wslink has no types
    """What clients may call."""

    def __init__(self) -> None:
        super().__init__()
        self._service = Service()

    @register("bench.call")  # type: ignore[untyped-decorator]
    async def call(self, kind: str, payload: Any) -> Any:
        return KINDS[kind].model_validate(payload).model_dump()

    @register("bench.in")  # type: ignore[untyped-decorator]
    async def handle(self, kind: str, payload: Any) -> None:
        await self._service.handle(KINDS[kind].model_validate(payload))

    @register("bench.received")  # type: ignore[untyped-decorator]
    async def received(self, count: int) -> int:
        return await self._service.received(count)

    @register("bench.publish")  # type: ignore[untyped-decorator]
    async def emit(self, kind: str, count: int) -> None:
        event = EVENTS[kind]
        for number in range(count):
            self.publish(f"bench.{kind}", event.model_dump())
            if number % TURN == 0:
                await asyncio.sleep(0)

    @register("bench.put")  # type: ignore[untyped-decorator]
    async def put(self, content: bytes) -> int:
        return len(content)

    @register("bench.get")  # type: ignore[untyped-decorator]
    async def get(self, size: int) -> bytes:
        return content_of(size)

    @register("bench.usage")  # type: ignore[untyped-decorator]
    async def usage(self) -> float:
        return usage()


class Served(ServerProtocol):  # type: ignore[misc]
    """The one protocol, and who may use it."""

    def initialize(self) -> None:
        self.secret = SECRET
        self.registerLinkProtocol(Bench())


async def serve() -> None:
    served = server.create_webserver(
        {
            "host": "127.0.0.1",
            "port": 0,
            "ws": {"ws": Served()},
            "ws_compress": False,
            "handle_signals": False,
        }
    )
    serving = asyncio.create_task(served.start(lambda port: announce(f"ws://127.0.0.1:{port}/ws", SECRET)))
    await until_parent_ends()
    await serving


if __name__ == "__main__":
    asyncio.run(serve())
