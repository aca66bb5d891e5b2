"""The engine is called when its deadline has come, and not before."""

from __future__ import annotations

import asyncio

from ionbus.channels.pump import Pump
from ionbus.testing import FakeClock


class Engine:
    """Has one deadline."""

    def __init__(self, at: float) -> None:
        self.at = at

    def next_frame(self, now: float) -> bytes | None:
        return None

    def deadline(self) -> float:
        return self.at


async def test_a_deadline_that_rounding_puts_behind_its_timer_is_met_at_once() -> None:
    deadline = 528_045_557.037
    assert deadline / 1000 * 1000 < deadline
    loop = asyncio.get_running_loop()
    loop.time = lambda: deadline / 1000 - 5.0  # type: ignore[method-assign]
    with FakeClock() as clock:
        called: list[float] = []
        engine = Engine(deadline)

        def due(now: float) -> None:
            called.append(now)
            engine.at = float("inf")

        Pump(engine, due).flush()
        await clock.advance(4.9)
        assert called == []
        await clock.advance(0.1)
        assert called == [deadline]
