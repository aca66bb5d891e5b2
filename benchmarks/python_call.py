"""What a call from a Python client to a Python broker costs: `python benchmarks/python_call.py [CALLS]`.

Over memory and WebSocket both sides share one process and one core; over stdio the broker is a process of its own.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import BaseModel

from ionbus import Broker, Bus, Call, Contract, connect

IN_FLIGHT = 64


class Point(BaseModel):
    x: int
    y: int


class Bench(Contract, name="bench"):
    add = Call(Point, int)


broker = Broker(Bench)


@broker.handle(Bench.add)
async def add(point: Point) -> int:
    return point.x + point.y


@asynccontextmanager
async def bus_over(channel: str) -> AsyncIterator[Bus]:
    async with AsyncExitStack() as stack:
        if channel == "memory":
            bus = await stack.enter_async_context(connect(broker))
        elif channel == "stdio":
            command = [sys.executable, __file__, "serve"]
            bus = await stack.enter_async_context(connect(stdio=command))
        else:
            (endpoint,) = await stack.enter_async_context(broker.serve("ws://127.0.0.1:0"))
            bus = await stack.enter_async_context(connect(endpoint.url, token=endpoint.token))
        yield bus


async def measure(bus: Bus, calls: int) -> tuple[float, float]:
    """Mean seconds of a sequential call, and calls a second with many in flight."""
    point = Point(x=1, y=2)
    for _ in range(200):
        await bus.call(Bench.add, point)
    start = time.perf_counter()
    for _ in range(calls):
        await bus.call(Bench.add, point)
    mean = (time.perf_counter() - start) / calls

    async def one_of_many() -> None:
        for _ in range(calls // IN_FLIGHT):
            await bus.call(Bench.add, point)

    start = time.perf_counter()
    await asyncio.gather(*(one_of_many() for _ in range(IN_FLIGHT)))
    rate = calls // IN_FLIGHT * IN_FLIGHT / (time.perf_counter() - start)
    return mean, rate


async def main(calls: int) -> None:
    print(f"{'channel':<10} {'sequential':>12} {f'{IN_FLIGHT} in flight':>14}")
    for channel in ("memory", "websocket", "stdio"):
        async with bus_over(channel) as bus:
            mean, rate = await measure(bus, calls)
        print(f"{channel:<10} {mean * 1e6:>9.0f} us {rate:>10,.0f} /s")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        broker.run()
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
