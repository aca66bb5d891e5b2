"""One session's events on their way to their listeners (shared rule: started in order, none waits for another)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from types import CoroutineType
from typing import Any, Protocol

from ionbus.dispatch.runner import Habit, Runner, Work
from ionbus.errors import printable

log = logging.getLogger("ionbus")


class Handout:
    """One event that not everybody has taken: credit for it returns when the last has.

    Args:
        cost: in credit; None for an event that this side made itself.
        session: which of this side's sessions it came in; the other side forgets its numbers with the session.
        takers: how many have not taken it.
    """

    __slots__ = ("cost", "session", "takers")

    def __init__(self, cost: int | None, session: int, takers: int) -> None:
        self.cost = cost
        self.session = session
        self.takers = takers


class Kept:
    """One target's part in an event that it was handed and has not taken yet."""

    __slots__ = ("handout", "value")

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.handout: Handout | None = None


class Target(Protocol):
    """Something that is handed events."""

    @property
    def is_open(self) -> bool:
        """Whether it still wants them."""

    def decode(self, name: str, payload: bytes) -> Any:
        """The event's value as this target wants it; raises InvalidPayload."""

    def hand(self, name: str, value: Any) -> Kept | None:
        """Take an event: start what listens. Gives what it keeps back until `Listeners.taken` is told of it."""


class Listeners:
    """Starts listeners in order, at most so many at a time; what exceeds them waits, and costs its sender credit.

    Args:
        runner: starts them.
        max_running: how many may be under way.
        consumed: told the cost of each event that has been handed to everybody.
        refuse: told the number of an event that is not valid, and why.
    """

    def __init__(
        self,
        runner: Runner,
        max_running: int,
        consumed: Callable[[int], None],
        refuse: Callable[[int, Exception], None],
    ) -> None:
        self._runner = runner
        self._max_running = max_running
        self._consumed = consumed
        self._refuse = refuse
        self._session = 0
        self._running = 0  # those that have not begun included
        self._tasks: set[asyncio.Future[Any]] = set()  # of those that wait for something
        self._quiet: asyncio.Future[None] | None = None  # settled when nothing runs any more
        self._waiting: deque[tuple[int, str, bytes, Sequence[Target], int | None, int]] = deque()
        self.waiting_bytes = 0
        """Payload bytes of the events that wait."""

    @property
    def are_running(self) -> bool:
        """Whether listeners are under way."""
        return self._running > 0

    def arrive(self, seq: int, name: str, payload: bytes, targets: Sequence[Target]) -> None:
        """An event has arrived for `targets`."""
        self._take(seq, name, payload, targets, len(payload))

    def arrive_from_here(self, name: str, payload: bytes, targets: Sequence[Target]) -> None:
        """An event of this side's own making, behind those that arrived before."""
        self._take(0, name, payload, targets, None)

    def taken(self, kept: Kept) -> None:
        """A target has taken what it had kept."""
        handout = kept.handout
        assert handout is not None
        handout.takers -= 1
        if not handout.takers:
            self._settle(handout.cost, handout.session)

    def begin_anew(self) -> None:
        """The session is a new one: it owes no credit and no refusal for what came in the one before."""
        self._session += 1

    # What targets do.

    def start(self, work: Work, habit: Habit) -> None:
        """Start what listens to an event; `habit` is that of the function that gave it."""
        self._running += 1
        self._runner.start(work, self, habit)

    def watch(self, running: Awaitable[Any]) -> None:
        """Count what runs elsewhere, as on a thread."""
        future = asyncio.ensure_future(running)
        self._running += 1
        self._tasks.add(future)
        future.add_done_callback(self._future_ended)

    # What the runner tells.

    def suspended(self, task: asyncio.Task[Any]) -> None:
        """A listener waits for something."""
        self._tasks.add(task)

    def ended(self, task: asyncio.Future[Any] | None, error: BaseException | None) -> None:
        """A listener has ended."""
        self._running -= 1
        if task is not None:
            self._tasks.discard(task)
        if error is not None and not isinstance(error, asyncio.CancelledError):
            log.error("a listener failed", exc_info=error)
        while self._waiting and self._running < self._max_running:
            seq, name, payload, targets, cost, session = self._waiting.popleft()
            self.waiting_bytes -= len(payload)
            self._hand(seq, name, payload, targets, cost, session)
        if self._quiet is not None and not self._running and not self._quiet.done():
            self._quiet.set_result(None)

    # The end.

    async def finish(self) -> None:
        """The session has ended: hand out what had arrived before, and wait for all of it. Cancelled, drop what waits and cancel what runs."""
        try:
            await self._all_ended()
        except asyncio.CancelledError:
            await self.cancel()
            raise

    async def cancel(self) -> None:
        """Drop what waits, cancel what runs, and wait for its end."""
        self.clear()
        self._runner.cancel(self)
        for task in tuple(self._tasks):
            task.cancel()
        await self._all_ended()

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self.waiting_bytes = 0

    # Inside.

    async def _all_ended(self) -> None:
        while self._running:
            if self._quiet is None or self._quiet.done():
                self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._quiet)

    def _future_ended(self, future: asyncio.Future[Any]) -> None:
        self.ended(future, asyncio.CancelledError() if future.cancelled() else future.exception())

    def _take(self, seq: int, name: str, payload: bytes, targets: Sequence[Target], cost: int | None) -> None:
        if self._waiting or self._running >= self._max_running:
            self._waiting.append((seq, name, payload, targets, cost, self._session))
            self.waiting_bytes += len(payload)
        else:
            self._hand(seq, name, payload, targets, cost, self._session)

    def _hand(
        self, seq: int, name: str, payload: bytes, targets: Sequence[Target], cost: int | None, session: int
    ) -> None:
        try:
            values = [target.decode(name, payload) for target in targets]
        except Exception as error:  # noqa: BLE001 - InvalidPayload, or a validator of the user's that failed
            if session == self._session:
                self._refuse(seq, error)
            else:
                log.warning("an event of a session that is gone was not valid: %s", printable(error))
            self._settle(cost, session)
            return
        keeps: list[Kept] = []
        for target, value in zip(targets, values, strict=True):
            if not target.is_open:  # it was closed while the event waited, or by a listener before it
                continue
            try:
                kept = target.hand(name, value)
            except Exception:
                log.exception("a listener of %s failed", name)
                continue
            if kept is not None:
                keeps.append(kept)
        if not keeps:
            self._settle(cost, session)
            return
        handout = Handout(cost, session, len(keeps))
        for kept in keeps:
            kept.handout = handout

    def _settle(self, cost: int | None, session: int) -> None:
        """Everybody has taken an event."""
        if cost is not None and session == self._session:
            self._consumed(cost)


def listen(function: Callable[..., Any], listeners: Listeners, habit: Habit, *arguments: Any) -> None:
    """Call a listener on the loop; what it returns to be awaited is run."""
    result = function(*arguments)
    if type(result) is CoroutineType:
        listeners.start(result, habit)
    elif result is not None and isawaitable(result):
        listeners.watch(result)
