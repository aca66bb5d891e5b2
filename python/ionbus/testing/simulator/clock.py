"""Virtual time: what falls due runs in order, and nothing waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Clock:
    """Milliseconds since the simulation began."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, do: Callable[[], None]) -> None:
        """Call `do` at `time`; what falls due at once runs in the order in which it was planned."""
        self._order += 1
        heapq.heappush(self._due, (time, self._order, do))

    def after(self, milliseconds: float, do: Callable[[], None]) -> None:
        """Call `do` in so many milliseconds."""
        self.at(self.now + milliseconds, do)

    @property
    def next(self) -> float:
        """When the next thing falls due: infinity where nothing is planned."""
        return self._due[0][0] if self._due else float("inf")

    def take(self) -> Callable[[], None]:
        """What falls due next; time goes on to it."""
        time, _, do = heapq.heappop(self._due)
        self.now = max(self.now, time)
        return do
