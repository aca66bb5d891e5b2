"""ionbus, over WebSocket and stdio."""

import asyncio

from benchmarks.models import Progress, Result, Tick
from benchmarks.serving import announce, options, until_parent_ends

chosen = options()  # before ionbus is imported

from benchmarks.peers.ionbus.contract import Bench
from benchmarks.service import EVENTS, Service, usage
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


async def serve() -> None:
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        announce(endpoint.url, endpoint.token)
        await until_parent_ends()


if __name__ == "__main__":
    if chosen.channel == "stdio":
        broker.run()
    else:
        asyncio.run(serve())
