"""What docs/aggregation.md gives is what runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ionbus import Broker, Bus, Contract, Event, connect
from ionbus.events import aggregation, filters, options
from workshop import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "aggregation.md").read_text()


class Reading(BaseModel):
    celsius: float


class Plant(Contract, name="plant"):
    warm = Event(Reading)
    cold = Event(Reading)


async def test_events_are_streams_to_aiostream() -> None:
    [recipe] = re.findall(r"```python\n(from aiostream.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"Bus": Bus, "Plant": Plant, "AsyncIterator": AsyncIterator}
    exec(recipe, names)
    broker = Broker(Plant)
    async with connect(broker) as bus:
        means = names["means"](bus)
        first = asyncio.create_task(anext(means))
        await eventually(lambda: any(session.subscribes("plant.cold") for session in broker.sessions))
        await broker.emit(Plant.warm, Reading(celsius=-5))
        await broker.emit(Plant.warm, Reading(celsius=30))
        for celsius in (3, 0):
            await broker.emit(Plant.cold, Reading(celsius=celsius))
        assert await first == 11
        await means.aclose()


def test_the_bounds_are_those_that_hold() -> None:
    assert (
        f"{filters.MAX_CONDITIONS} conditions, {filters.MAX_DEPTH} levels, {filters.MAX_CHOICES:,} values"
        in PAGE
    )
    assert f"{filters.MAX_VALUE:,} characters a value, {filters.MAX_STEPS} names in a path" in PAGE
    assert f"{options.MAX_FILTER_BYTES // 1024} KiB" in PAGE
    assert options.MAX_EVERY_MS == options.MAX_BATCH_MS == 3_600_000
    assert "| 1 ms to 1 h |" in PAGE
    assert f"{options.MAX_BATCH:,} values, and 128 KiB" in PAGE
    assert f"| {options.MAX_KEYS} fields |" in PAGE


def test_the_stations_stand_in_the_order_of_the_code() -> None:
    told = re.findall(r"^\d\. `(\w+)`", aggregation.__doc__ or "", re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert [row for row in rows if row in told][:4] == told
