"""An aggregate on an event loop: its times are the loop's, and what it gives is handed out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from ionbus.events.aggregation import Aggregate

__all__ = ["Timed"]

T = TypeVar("T")


class Timed(Generic[T]):
    """See the module.

    Args:
        aggregate: what it is of.
        loop: whose clock counts.
        hand: called with what goes out together, in a turn of the loop or where a value is added.
    """

    __slots__ = ("_aggregate", "_due", "_hand", "_is_closed", "_loop", "_timer")

    def __init__(
        self, aggregate: Aggregate[T], loop: asyncio.AbstractEventLoop, hand: Callable[[list[T]], object]
    ) -> None:
        self._aggregate = aggregate
        self._loop = loop
        self._hand = hand
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._is_closed = False

    @property
    def held_bytes(self) -> int:
        """What is kept."""
        return self._aggregate.held_bytes

    @property
    def forgotten(self) -> int:
        """How many values that waited were forgotten for others."""
        return self._aggregate.forgotten

    def add(self, value: T) -> None:
        """A value has come."""
        aggregate = self._aggregate
        given = aggregate.add(value, self._loop.time() * 1000)
        if aggregate.deadline != self._due:
            self._set_timer()
        if given:
            self._hand_out(given)

    def begin(self, values: Iterable[T]) -> None:
        """These are the newest values, for one who has just come."""
        given = self._aggregate.begin(values, self._loop.time() * 1000)
        self._set_timer()
        self._hand_out(given)

    def flush(self) -> None:
        """Hand out what waits."""
        given = self._aggregate.flush(self._loop.time() * 1000)
        self._set_timer()
        self._hand_out(given)

    def close(self) -> None:
        """Drop what waits. What is added afterwards is never given by time: what is under way may still add something."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Inside.

    def _hand_out(self, given: Sequence[list[T]]) -> None:
        for values in given:
            self._hand(values)

    def _set_timer(self) -> None:
        deadline = self._aggregate.deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = 0.0 if deadline is None else deadline
        if deadline is not None and not self._is_closed:
            self._timer = self._loop.call_at(deadline / 1000, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        # A loop's timers may be early by its clock's resolution.
        given = self._aggregate.tick(max(self._loop.time() * 1000, self._due))
        self._set_timer()
        self._hand_out(given)
