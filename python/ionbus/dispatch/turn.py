"""How long this turn of the event loop has gone on.

Emitting waits only where credit is short, so that a loop around `await emit(…)` would keep the event loop for itself for thousands
of events, times the sessions that get them. After `LONGEST` it lets others have their turn.
"""

from __future__ import annotations

import asyncio
from typing import Final

LONGEST: Final = 0.002
"""Seconds."""


class Turn:
    """See the module; one for all that emits on a loop and has something in common."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began: float | None = None

    @property
    def is_long(self) -> bool:
        """Whether whoever asks should let others go on: `await asyncio.sleep(0)`."""
        now = self._loop.time()
        if self._began is None:
            self._began = now
            self._loop.call_soon(self._over)
            return False
        return now - self._began >= LONGEST

    def _over(self) -> None:
        self._began = None
