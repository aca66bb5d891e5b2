"""ionbus, over WebSocket and stdio."""

import asyncio
from collections.abc import AsyncIterator

from benchmarks.models import Progress, Result, Tick
from benchmarks.serving import announce, options, until_parent_ends

chosen = options()  # before ionbus is imported

from benchmarks.payloads import PAYLOADS
from benchmarks.peers.ionbus.contract import Bench, Counted
from benchmarks.service import EVENTS, Service, content_of, now_ms, updates, usage
from ionbus import Broker

broker = Broker(Bench)
service = Service()


@broker.handle(Bench.call_tick)
async def call_tick(request: Tick) -> Tick:
    return request


@broker.handle(Bench.call_progress)
async def call_progress(request: Progress) -> Progress:
    return request


@broker.handle(Bench.call_result)
async def call_result(request: Result) -> Result:
    return request


@broker.on(Bench.in_tick)
async def in_tick(event: Tick) -> None:
    await service.handle(event)


@broker.on(Bench.in_progress)
async def in_progress(event: Progress) -> None:
    await service.handle(event)


@broker.on(Bench.in_result)
async def in_result(event: Result) -> None:
    await service.handle(event)


@broker.handle(Bench.received)
async def received(count: int) -> int:
    return await service.received(count)


@broker.handle(Bench.usage)
async def tell_usage() -> float:
    return usage()


@broker.handle(Bench.publish_tick)
async def publish_tick(count: int) -> None:
    event = EVENTS["tick"]
    assert isinstance(event, Tick)
    for _ in range(count):
        await broker.emit(Bench.out_tick, event)


@broker.handle(Bench.publish_progress)
async def publish_progress(count: int) -> None:
    event = EVENTS["progress"]
    assert isinstance(event, Progress)
    for _ in range(count):
        await broker.emit(Bench.out_progress, event)


@broker.handle(Bench.publish_result)
async def publish_result(count: int) -> None:
    event = EVENTS["result"]
    assert isinstance(event, Result)
    for _ in range(count):
        await broker.emit(Bench.out_result, event)


@broker.handle(Bench.publish_latest)
async def publish_latest(count: int) -> float:
    async for update in updates(count):
        await broker.emit(Bench.out_latest, update)
    return now_ms()


@broker.handle(Bench.publish_counted)
async def publish_counted(count: int) -> int:
    before = Counted.written
    event = Counted.model_validate(PAYLOADS["150B"].make())
    for _ in range(count):
        await broker.emit(Bench.out_counted, event)
    return Counted.written - before


@broker.handle(Bench.items)
async def items(count: int) -> AsyncIterator[Progress]:
    event = EVENTS["progress"]
    assert isinstance(event, Progress)
    for _ in range(count):
        yield event


@broker.handle(Bench.put)
async def put(content: bytes) -> int:
    return len(content)


@broker.handle(Bench.get)
async def get(size: int) -> bytes:
    return content_of(size)


async def serve() -> None:
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        announce(endpoint.url, endpoint.token)
        await until_parent_ends()


if __name__ == "__main__":
    if chosen.channel == "stdio":
        broker.run()
    else:
        asyncio.run(serve())
