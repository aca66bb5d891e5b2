"""An aggregate on an event loop, whose timers end with it."""

from __future__ import annotations

import asyncio

from ionbus.events.aggregation import Aggregate, Bounds, Reading
from ionbus.events.options import Aggregation
from ionbus.events.timed import Timed
from ionbus.testing import FakeClock

READING: Reading[int] = Reading(passes=None, key=None, content=lambda value: value, size=lambda _: 1)


async def test_what_is_added_after_its_end_starts_no_timer() -> None:
    with FakeClock() as clock:
        given: list[list[int]] = []
        aggregate = Aggregate(Aggregation(every_ms=100), READING, Bounds(10, 1_000, 1_000))
        timed = Timed(aggregate, asyncio.get_running_loop(), given.append)
        for value in (1, 2):
            timed.add(value)
        await clock.advance(0.2)
        assert given == [[1], [2]]
        timed.close()
        for value in (3, 4):
            timed.add(value)
        await clock.advance(1)
        assert [4] not in given
