"""One session's events on their way to their listeners (shared rule: started in order, none waits for another)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ionbus.errors import printable

log = logging.getLogger("ionbus")


class Handout:
    """One event that is being handed out: credit for it returns when everybody has taken it.

    Args:
        cost: in credit; None for an event that this side made itself.
        session: which of this side's sessions it came in; the other side forgets its numbers with the session.
    """

    __slots__ = ("cost", "session", "takers")

    def __init__(self, cost: int | None, session: int) -> None:
        self.cost = cost
        self.session = session
        self.takers = 1


class Target(Protocol):
    """Something that is handed events."""

    @property
    def is_open(self) -> bool:
        """Whether it still wants them."""

    def decode(self, name: str, payload: bytes) -> Any:
        """The event's value as this target wants it; raises InvalidPayload."""

    def hand(self, name: str, value: Any, handout: Handout) -> Sequence[asyncio.Future[Any]]:
        """Take an event: start what listens, and give what runs on."""


class Listeners:
    """Starts listeners in order, at most so many at a time; what exceeds them waits, and costs its sender credit.

    Args:
        loop: where they run.
        max_running: how many may be under way.
        consumed: told the cost of each event that has been handed to everybody.
        refuse: told the number of an event that is not valid, and why.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_running: int,
        consumed: Callable[[int], None],
        refuse: Callable[[int, Exception], None],
    ) -> None:
        self._loop = loop
        self._max_running = max_running
        self._consumed = consumed
        self._refuse = refuse
        self._session = 0
        self._running: set[asyncio.Future[Any]] = set()
        self._waiting: deque[tuple[int, str, bytes, Sequence[Target], Handout]] = deque()
        self.waiting_bytes = 0
        """Payload bytes of the events that wait."""

    @property
    def running(self) -> set[asyncio.Future[Any]]:
        """What runs now."""
        return self._running

    def arrive(self, seq: int, name: str, payload: bytes, targets: Sequence[Target]) -> None:
        """An event has arrived for `targets`."""
        self._take(seq, name, payload, targets, Handout(len(payload), self._session))

    def arrive_from_here(self, name: str, payload: bytes, targets: Sequence[Target]) -> None:
        """An event of this side's own making, behind those that arrived before."""
        self._take(0, name, payload, targets, Handout(None, self._session))

    def taken(self, handout: Handout) -> None:
        """One of those who share an event has taken it."""
        handout.takers -= 1
        if not handout.takers and handout.cost is not None and handout.session == self._session:
            self._consumed(handout.cost)

    def begin_anew(self) -> None:
        """The session is a new one: it owes no credit and no refusal for what came in the one before."""
        self._session += 1

    async def finish(self) -> None:
        """The session has ended: hand out what had arrived before, and wait for all of it. Cancelled, drop what waits and cancel what runs."""
        try:
            while self._running:
                await asyncio.wait(self._running)
        except asyncio.CancelledError:
            self.clear()
            running = set(self._running)
            for future in running:
                future.cancel()
            if running:
                await asyncio.wait(running)
            raise

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self.waiting_bytes = 0

    def _take(self, seq: int, name: str, payload: bytes, targets: Sequence[Target], handout: Handout) -> None:
        if self._waiting or len(self._running) >= self._max_running:
            self._waiting.append((seq, name, payload, targets, handout))
            self.waiting_bytes += len(payload)
        else:
            self._hand(seq, name, payload, targets, handout)

    def _hand(self, seq: int, name: str, payload: bytes, targets: Sequence[Target], handout: Handout) -> None:
        try:
            values = [target.decode(name, payload) for target in targets]
        except Exception as error:  # noqa: BLE001 - InvalidPayload, or a validator of the user's that failed
            if handout.session == self._session:
                self._refuse(seq, error)
            else:
                log.warning("an event of a session that is gone was not valid: %s", printable(error))
            self.taken(handout)
            return
        for target, value in zip(targets, values, strict=True):
            if not target.is_open:  # it was closed while the event waited, or by a listener before it
                continue
            try:
                futures = target.hand(name, value, handout)
            except Exception:
                log.exception("a listener of %s failed", name)
                continue
            for future in futures:
                self._running.add(future)
                future.add_done_callback(self._ended)
        self.taken(handout)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("a listener failed", exc_info=error)
        while self._waiting and len(self._running) < self._max_running:
            waiting = self._waiting.popleft()
            self.waiting_bytes -= len(waiting[2])
            self._hand(*waiting)


def start(
    function: Callable[..., Any], loop: asyncio.AbstractEventLoop, *arguments: Any
) -> asyncio.Future[Any] | None:
    """Call a listener on the loop; gives the task of what it returned to be awaited."""
    result = function(*arguments)
    if inspect.iscoroutine(result):
        return loop.create_task(result)
    if inspect.isawaitable(result):
        return asyncio.ensure_future(result, loop=loop)
    return None
