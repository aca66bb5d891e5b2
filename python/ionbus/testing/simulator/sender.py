"""One side's way into its engine: whatever is queued there is written into the ledger too."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ionbus.generated.protocol import Limits, Message
from ionbus.session.outbox import EVENTS, Delivery
from ionbus.session.session import Session
from ionbus.testing.simulator.broken import expect
from ionbus.testing.simulator.engines import Outlet
from ionbus.testing.simulator.ledger import Item, Lane, Ledger
from ionbus.testing.simulator.wire import Wire

MOST_QUEUED: Final = 40
"""Messages that an application lets wait; past it, it waits itself."""


class Sender:
    """See the module.

    Args:
        owner: whose it is, for what is found.
        outlet: to the engine.
        limits: of this side.
        tally: of what becomes of messages.

    Attributes:
        ledger: of the session that this side is in.
        wire: likewise.
    """

    def __init__(self, owner: str, outlet: Outlet, limits: Limits, tally: Counter[str]) -> None:
        self.owner = owner
        self.limits = limits
        self._outlet = outlet
        self._tally = tally
        self._count = 0
        self.renew()

    def renew(self) -> None:
        """A new session begins."""
        self.ledger = Ledger(self.limits, self.owner, self._tally)
        self.wire = Wire(self.limits, self.ledger)

    @property
    def engine(self) -> Session:
        """For its facts."""
        return self._outlet.session

    @property
    def has_room(self) -> bool:
        """Whether the application goes on to send what needs no credit."""
        return self.engine.queued_messages < MOST_QUEUED

    @property
    def has_room_for_events(self) -> bool:
        """Likewise events."""
        return self.engine.queued_events < MOST_QUEUED

    def payload(self, size: int) -> bytes:
        """One that no other message of this side has: a number that rises, and so many bytes."""
        self._count += 1
        return self._count.to_bytes(4, "big") + bytes(size)

    def send(self, message: bytes, lane: int | None) -> str:
        """Queue what needs no credit; gives its tag."""
        tag = self._tag(message)
        self.ledger.queue(message, lane, -1, "session", "", tag, waits=False)
        self._outlet.send(message, lane, tag)
        return tag

    def emit(self, message: bytes, cost: int, delivery: Delivery, key: str) -> None:
        """Queue an event."""
        tag = self._tag(message)
        engine, ledger = self.engine, self.ledger
        may_leave = engine.accepts_events
        waiting = ledger.latest_waiting(engine) if delivery == "latest" else []
        waits = any(item.key == key for item in waiting)
        if not self._outlet.emit(message, cost, delivery, key or None, tag):
            expect(delivery == "volatile", "dropped", f"{tag}, {delivery}, was dropped", self.owner)
            ledger.dropped[delivery, "absent"] += 1
            return
        is_right = delivery != "volatile" or may_leave
        expect(is_right, "volatile", f"{tag} is queued without credit", self.owner)
        ledger.queue(message, EVENTS, cost, delivery, key, tag, waits=waits)
        if delivery == "latest" and not waits and len(waiting) >= self.limits.max_latest_keys:
            ledger.settle(waiting[0], "forgotten")

    def withdraw(self, tag: str) -> bool:
        """Take a message back; False: it is too late."""
        item = self.ledger.tags[tag]
        if self._outlet.withdraw(tag):
            self.ledger.settle(item, "withdrawn")
            return True
        expect(
            item.state != "waiting",
            "withdraw",
            f"{tag} waits, and it is too late to take it back",
            self.owner,
        )
        return False

    def consumed(self, cost: int) -> None:
        """The application took an event."""
        self._outlet.consumed(cost)

    def send_again(self, item: Item) -> str:
        """Queue a message of a session that was lost in the one that follows it."""
        lane: Lane = item.lane
        return self.send(item.data, lane if isinstance(lane, int) else None)

    def _tag(self, message: bytes) -> str:
        self._count += 1
        return f"{Message(message[1]).name} {self._count}"
