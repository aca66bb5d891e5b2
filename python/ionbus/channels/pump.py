"""Drains a session engine into its channel, and calls it when its deadline comes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from ionbus.channels.base import Channel


class Engine(Protocol):
    """What a pump needs of an engine; times in milliseconds."""

    def next_frame(self, now: float) -> bytes | None:
        """What to send now, None for nothing."""

    def deadline(self) -> float:
        """When it wants to be called though nothing happens."""


class Pump:
    """One engine's way to whatever channel carries it now.

    Messages that are produced in one turn of the loop leave in one frame: `flush_soon` flushes once, at the turn's end.

    Args:
        engine: gives the frames.
        on_deadline: called with the time, in milliseconds, when the engine's deadline has come.
    """

    __slots__ = (
        "_is_flush_due",
        "_loop",
        "_on_deadline",
        "_timer",
        "_timer_at",
        "channel",
        "engine",
        "is_held",
    )

    def __init__(self, engine: Engine, on_deadline: Callable[[float], None]) -> None:
        self.engine = engine
        self.channel: Channel | None = None
        self._on_deadline = on_deadline
        self._loop = asyncio.get_running_loop()
        self._is_flush_due = False
        self.is_held = False
        """Whoever sets this flushes before `release`, most likely: `flush_soon` costs no turn of the loop until then."""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def now(self) -> float:
        """The loop's clock, in milliseconds."""
        return self._loop.time() * 1000

    def flush_soon(self) -> None:
        """Flush at the end of this turn of the loop."""
        if not self._is_flush_due:
            self._is_flush_due = True
            if not self.is_held:
                self._loop.call_soon(self._turn_ends)

    def release(self) -> None:
        """What was to be flushed soon while it was held, and was not, is."""
        self.is_held = False
        if self._is_flush_due:
            self._loop.call_soon(self._turn_ends)

    def flush(self) -> None:
        """Send what there is, as long as the channel takes it."""
        self._is_flush_due = False
        channel, engine = self.channel, self.engine
        now = self._loop.time() * 1000
        if channel is not None:
            while channel.is_writable:
                frame = engine.next_frame(now)
                if frame is None:
                    break
                channel.send(frame)
        deadline = engine.deadline()
        if deadline < self._timer_at:
            self._arm(deadline)

    def stop(self) -> None:
        """No more deadlines."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = math.inf

    def _turn_ends(self) -> None:
        if self._is_flush_due:
            self.flush()

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline / 1000, self._wake)

    def _wake(self) -> None:
        # A timer may come too early: a deadline that has moved on is not worth a new timer each time.
        now = max(self.now(), self._timer_at)  # and by the rounding between seconds and milliseconds
        self._timer = None
        self._timer_at = math.inf
        if self.engine.deadline() <= now:
            self._on_deadline(now)
        self.flush()
