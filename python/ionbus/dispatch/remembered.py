"""Answers of idempotent calls, kept a while: a call that is sent again is answered again, and not run again (docs/protocol.md, section 5.1)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from ionbus.wire.pieces import Encoded

Outcome = Encoded | tuple[str, str, bytes | None]
"""What a call was answered with: its result's payload, or the code, message and details of a declared error."""

Once = asyncio.Future[Outcome]
"""One run of an idempotent call; cancelled where it came to no answer that holds for whoever sends the call again."""


class Remembered:
    """Runs under way and answers, by whoever asked, the call, its key and its payload.

    Args:
        lifetime: seconds that an answer is kept.
        max_bytes: of all answers together; the oldest is forgotten.
    """

    def __init__(self, lifetime: float, max_bytes: int) -> None:
        self._lifetime = lifetime
        self._max_bytes = max_bytes
        self._under_way: dict[Hashable, Once] = {}
        self._answers: OrderedDict[Hashable, tuple[Once, float, int]] = OrderedDict()
        self.held_bytes = 0
        """Bytes of all answers."""

    def find(self, scope: Hashable, now: float) -> Once | None:
        """The run that answers this call too, under way or over. `now`: seconds."""
        self._forget(now - self._lifetime)
        found = self._answers.get(scope)
        return self._under_way.get(scope) if found is None else found[0]

    def begin(self, scope: Hashable, loop: asyncio.AbstractEventLoop) -> Once:
        """This call is run now."""
        once: Once = loop.create_future()
        self._under_way[scope] = once
        return once

    def end(self, scope: Hashable, outcome: Outcome | None, now: float) -> None:
        """The run is over. Without an outcome, as it was cancelled or failed, whoever waits for it runs it anew."""
        once = self._under_way.pop(scope)
        if outcome is None:
            once.cancel()
            return
        once.set_result(outcome)
        size = len(outcome[1]) + len(outcome[2] or b"") if isinstance(outcome, tuple) else len(outcome)
        self._answers[scope] = (once, now, size + OVERHEAD)
        self.held_bytes += size + OVERHEAD
        self._forget(now - self._lifetime)

    def _forget(self, oldest: float) -> None:
        while self._answers:
            scope, (_, at, size) = next(iter(self._answers.items()))
            if at > oldest and self.held_bytes <= self._max_bytes:
                return
            del self._answers[scope]
            self.held_bytes -= size


OVERHEAD = 500
"""Bytes that an answer costs beside its own."""
