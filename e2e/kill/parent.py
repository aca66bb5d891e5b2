"""A Python program that is killed (tests/trials/kill.py): it launches a broker and keeps it busy."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from ionbus import Bus, IonbusError, LaunchedBroker, connect

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))

from contracts import Count, Parcel, Probe, Said, Sum, Tick, Ticks


async def main() -> None:
    settings = json.loads(os.environ["KILL_SETTINGS"])
    launch = settings["launch"]
    async with (
        LaunchedBroker([launch["command"], *launch["args"]], cwd=launch["cwd"]) as broker,
        connect(broker) as bus,
        asyncio.TaskGroup() as load,
    ):
        for act in acts(bus):
            load.create_task(again(act))
        await bus.call(Probe.pid)
        if settings["hang"]:
            load.create_task(hang(bus, settings["hang"]))
            await begun(bus)
        print(json.dumps({"pid": broker.pid}), flush=True)


def acts(bus: Bus) -> list[Callable[[], Awaitable[object]]]:
    """What keeps a broker busy: calls, a stream, events both ways."""
    bus.on(Probe.tick, ignore)
    data = bytes(100_000)

    async def count() -> None:
        async with bus.stream(Probe.count, Count(name="load", upto=1000)) as numbers:
            async for _ in numbers:
                pass

    return [
        *[lambda: bus.call(Probe.add, Sum(a=1, b=1))] * 8,
        lambda: bus.call(Probe.echo, Parcel(text="load", data=data)),
        lambda: bus.call(Probe.emit_ticks, Ticks(count=100, run="load")),
        lambda: bus.emit(Probe.said, Said(who="load", text="on and on")),
        count,
    ]


def ignore(_: Tick) -> None:
    """It has arrived, which is enough."""


async def again(act: Callable[[], Awaitable[object]]) -> None:
    """Do it for good."""
    while True:
        try:
            await act()
        except IonbusError:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # an event is accepted at once


async def hang(bus: Bus, name: str) -> None:
    """Let a handler hang for ten minutes."""
    members = {"blockThread": Probe.block_thread, "blockLoop": Probe.block_loop}
    await bus.call(members.get(name, Probe.ignore_cancellation), 600.0)


async def begun(bus: Bus) -> None:
    """Come back when that hangs."""
    with suppress(IonbusError):
        await bus.call(Probe.add, Sum(a=1, b=1), timeout=0.5)


asyncio.run(main())
