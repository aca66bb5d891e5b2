"""A client's events on their way to those that listen: handed to all of them as they arrive, in order, and consumed when all have taken them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ionbus.dispatch.listeners import Listeners
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

    def __init__(self, value: Any) -> None:
        self.value = value
        self.handout: Handout | None = None


class Target(Protocol):
    """Something that is handed events."""

    @property
    def is_open(self) -> bool:
        """Whether it still wants them."""

    def decode(self, name: str, payload: bytes) -> Any:
        """The event's value as this target wants it; raises InvalidPayload."""

    def hand(self, value: Any) -> Kept | None:
        """Take an event: start what listens. Gives what it keeps back until `Handouts.taken` is told of it."""


class Handouts:
    """See the module. While too many listeners run, events wait, and cost their sender credit.

    Args:
        listeners: that run.
        consumed: told the cost of each event that has been taken by everybody.
        refuse: told the number of an event that is not valid, and why.
    """

    def __init__(
        self,
        listeners: Listeners,
        consumed: Callable[[int], None],
        refuse: Callable[[int, Exception], None],
    ) -> None:
        self._listeners = listeners
        self._consumed = consumed
        self._refuse = refuse
        self.session = 0
        """Which of this side's sessions it is now."""
        self._waiting: deque[tuple[int, str, bytes, Sequence[Target], int | None, int]] = deque()
        listeners.on_room = self._hand_waiting

    def arrive(self, seq: int, name: str, payload: bytes, targets: Sequence[Target]) -> None:
        """An event has arrived for `targets`."""
        self._take(seq, name, payload, targets, len(payload), self.session)

    def pass_on(
        self, session: int, seq: int, name: str, payload: bytes, targets: Sequence[Target], cost: int
    ) -> None:
        """An event that has been through middleware. `session`: what it was when the event arrived, with this cost."""
        self._take(seq, name, payload, targets, cost, session)

    def arrive_from_here(self, name: str, payload: bytes, targets: Sequence[Target]) -> None:
        """An event of this side's own making, behind those that arrived before."""
        self._take(0, name, payload, targets, None, self.session)

    def taken(self, kept: Kept) -> None:
        """A target has taken what it had kept."""
        handout = kept.handout
        assert handout is not None
        handout.takers -= 1
        if not handout.takers:
            self.settle(handout.cost, handout.session)

    def begin_anew(self) -> None:
        """The session is a new one: it owes no credit and no refusal for what came in the one before."""
        self.session += 1

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()

    # Inside.

    def _take(
        self, seq: int, name: str, payload: bytes, targets: Sequence[Target], cost: int | None, session: int
    ) -> None:
        if self._waiting or not self._listeners.has_room:
            self._waiting.append((seq, name, payload, targets, cost, session))
        else:
            self._hand(seq, name, payload, targets, cost, session)

    def _hand_waiting(self) -> None:
        while self._waiting and self._listeners.has_room:
            self._hand(*self._waiting.popleft())

    def _hand(
        self, seq: int, name: str, payload: bytes, targets: Sequence[Target], cost: int | None, session: int
    ) -> None:
        try:
            values = [target.decode(name, payload) for target in targets]
        except Exception as error:  # noqa: BLE001 - InvalidPayload, or a validator of the user's that failed
            self.refuse(seq, error, session)
            self.settle(cost, session)
            return
        keeps: list[Kept] = []
        for target, value in zip(targets, values, strict=True):
            if not target.is_open:  # it was closed while the event waited, or by a listener before it
                continue
            try:
                kept = target.hand(value)
            except Exception:
                log.exception("a listener of %s failed", name)
                continue
            if kept is not None:
                keeps.append(kept)
        if not keeps:
            self.settle(cost, session)
            return
        handout = Handout(cost, session, len(keeps))
        for kept in keeps:
            kept.handout = handout

    def refuse(self, seq: int, error: Exception, session: int) -> None:
        """An event of this number is not taken."""
        if session == self.session:
            self._refuse(seq, error)
        else:
            log.warning("an event of a session that is gone was not valid: %s", printable(error))

    def settle(self, cost: int | None, session: int) -> None:
        """Everybody has taken an event."""
        if cost is not None and session == self.session:
            self._consumed(cost)
