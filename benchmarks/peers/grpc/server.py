"""grpc.aio; a message is read field by field into its pydantic model and written from it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.models import Progress
from benchmarks.serving import announce, options, until_parent_ends

options()

import grpc

from benchmarks.service import EVENTS, Service, content_of, usage

protos: Any
services: Any
protos, services = grpc.protos_and_services("benchmarks/peers/grpc/bench.proto")


def validated(message: Any) -> Progress:
    """The model of what came."""
    meta = message.meta
    return Progress.model_validate(
        {
            "executionId": message.executionId,
            "nodeId": message.nodeId,
            "progress": message.progress,
            "state": message.state,
            "message": message.message,
            "meta": {"attempt": meta.attempt, "queue": list(meta.queue)},
        }
    )


def written(model: Progress) -> Any:
    """The message of a model."""
    return protos.Progress(**model.model_dump())


class Bench:
    """What bench.proto declares."""

    def __init__(self) -> None:
        self._service = Service()

    async def Call(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's names
        return written(validated(request))

    async def Talk(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            yield written(validated(request))

    async def Emit(self, event: Any, context: Any) -> Any:  # noqa: N802
        await self._service.handle(validated(event))
        return protos.Nothing()

    async def EmitMany(self, events: AsyncIterator[Any], context: Any) -> Any:  # noqa: N802
        async for event in events:
            await self._service.handle(validated(event))
        return protos.Count(count=await self._service.received(0))

    async def Listen(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        event = EVENTS["progress"]
        assert isinstance(event, Progress)
        for _ in range(request.count):
            yield written(event)

    async def Received(self, request: Any, context: Any) -> Any:  # noqa: N802
        return protos.Count(count=await self._service.received(request.count))

    async def Put(self, request: Any, context: Any) -> Any:  # noqa: N802
        return protos.Count(count=len(request.content))

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        return protos.Content(content=content_of(request.count))

    async def Usage(self, request: Any, context: Any) -> Any:  # noqa: N802
        return protos.Seconds(seconds=usage())


async def serve() -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    services.add_BenchServicer_to_server(Bench(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    announce(f"http://127.0.0.1:{port}")
    await until_parent_ends()


if __name__ == "__main__":
    asyncio.run(serve())
