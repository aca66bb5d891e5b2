"""How long this turn of the event loop has gone on.

Emitting waits only where credit is short, so that a loop around `await emit(…)` would keep the event loop for itself for thousands
of events, times the sessions that get them. After `LONGEST` it lets others have their turn.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

LONGEST: Final = 0.002
"""Seconds."""


class Turn:
    """See the module; one for all that emits on a loop and has something in common."""

    __slots__ = ("_clock", "_ends", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clock = loop.time
        self._ends = -math.inf  # when it will have been long; minus infinity: nobody has asked in this turn

    @property
    def is_long(self) -> bool:
        """Whether whoever asks should let others go on: `await asyncio.sleep(0)`."""
        now = self._clock()
        if now < self._ends:
            return False
        if self._ends > -math.inf:
            return True
        self._ends = now + LONGEST
        self._loop.call_soon(self._over)
        return False

    def _over(self) -> None:
        self._ends = -math.inf
