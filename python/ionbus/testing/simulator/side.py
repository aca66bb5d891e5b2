"""One side's application: it sends, answers and takes what arrives, as the engines' rules ask of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from ionbus.generated.protocol import Limits, Message
from ionbus.session.outbox import Delivery, Entry
from ionbus.session.session import Rejected
from ionbus.testing.simulator.broken import expect
from ionbus.testing.simulator.engines import Outlet
from ionbus.testing.simulator.ledger import INTERNAL, Item, Totals
from ionbus.testing.simulator.requests import Requests
from ionbus.testing.simulator.sender import Sender
from ionbus.wire.messages import encode_event, encode_message

_MOST_SUBSCRIPTIONS: Final = 5


class Side:
    """See the module.

    Args:
        owner: whose it is, for what is found.
        outlet: to the engine.
        limits: of this side.
        tally: of what becomes of messages.
        is_eager: takes and answers everything as soon as it arrives.

    Attributes:
        sender: with the ledger of what was sent.
        requests: that it made, and owes.
    """

    def __init__(
        self, owner: str, outlet: Outlet, limits: Limits, tally: Counter[str], *, is_eager: bool
    ) -> None:
        self.sender = Sender(owner, outlet, limits, tally)
        self.requests = Requests(self.sender, is_eager=is_eager)
        self._owner = owner
        self._is_eager = is_eager
        self._unconsumed: deque[int] = deque()  # costs of the events that arrived
        self._subscriptions: dict[int, bool] = {}  # by number, whether it is in force
        self._events_arrived: Totals = (0, 0)
        self._newest: dict[str, int] = {}  # of each `latest` key, the number in the newest payload

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do."""
        return self.requests.is_idle and not self._unconsumed and all(self._subscriptions.values())

    # What it does.

    def event(self, delivery: Delivery, size: int, key: str) -> None:
        """Emit an event."""
        if self.sender.has_room_for_events:
            payload = self.sender.payload(size)
            name = f"{delivery}.{key}" if key else delivery
            self.sender.emit(bytes(encode_event(name, payload)), len(payload), delivery, key)

    def take(self, count: int) -> None:
        """Consume events that have arrived."""
        for _ in range(min(count, len(self._unconsumed))):
            self.sender.consumed(self._unconsumed.popleft())

    def subscribe(self) -> None:
        """Subscribe to one more pattern: clients only."""
        if len(self._subscriptions) < _MOST_SUBSCRIPTIONS:
            self._subscribe(len(self._subscriptions) + 1)

    def finish(self) -> None:
        """Do what is left to do."""
        self.take(len(self._unconsumed))
        self.requests.finish()

    # What arrives.

    def arrived(self, item: Item) -> None:
        """A message of the other side has arrived."""
        number = item.message[1]
        match item.message[0]:
            case Message.EVENT:
                self._event(item)
            case Message.SUBSCRIBE:
                self.sender.send(encode_message(Message.SUBSCRIBED, number), None)
            case Message.SUBSCRIBED:
                is_first = self._subscriptions.get(number) is False
                expect(is_first, "once", f"subscription {number} is answered again", self._owner)
                self._subscriptions[number] = True
            case _:
                self.requests.arrived(item.message)

    def rejected(self, rejected: Rejected, largest: int) -> None:
        """The other side does not take a message, being larger than `largest` bytes."""
        item = self.sender.ledger.tags[str(rejected.tag)]
        is_right = rejected.code == "too_large" and len(item.data) > largest
        text = f"{item.tag} of {len(item.data)} bytes with {rejected.code}; {largest} are taken"
        expect(is_right, "rejected", text, self._owner)
        self.sender.ledger.settle(item, "rejected")
        self.requests.rejected(item.message)

    # The session's end.

    def replaced(self, unnumbered: Iterable[Entry], lost_events: int, acked: int) -> None:
        """The client's session is a new one: what never left goes into it, what did is lost.

        Args:
            unnumbered: as `SessionReplaced` tells it.
            lost_events: likewise.
            acked: what the broker had acknowledged.
        """
        ledger = self.sender.ledger
        waiting = ledger.waiting()
        told = [entry.data for entry in unnumbered if entry.data[1] not in INTERNAL]
        is_right = told == [item.data for item in waiting]
        expect(is_right, "unnumbered", f"{len(told)} messages, not {len(waiting)}", self._owner)
        lost = ledger.unacknowledged(acked).total()
        expect(lost_events == lost, "lost events", f"{lost_events} are told, {lost} were lost", self._owner)
        self.sender.renew()
        self._events_arrived = (0, 0)
        self._newest.clear()
        self._unconsumed.clear()
        for number in self._subscriptions:
            self._subscribe(number)
        self.requests.replaced(waiting)
        for item in waiting:
            if item.cost >= 0:
                self.sender.emit(item.data, item.cost, item.delivery, item.key)

    def ended(self) -> None:
        """The session is over for good."""
        self.requests.ended()
        self._unconsumed.clear()
        self._subscriptions.clear()

    # Inside.

    def _event(self, item: Item) -> None:
        size, count = self._events_arrived
        granted = self.sender.engine.granted
        is_right = size < granted[0] and count < granted[1]
        expect(is_right, "credit", f"{item.tag} arrives beyond {granted}", self._owner)
        self._events_arrived = (size + item.cost, count + 1)
        self._unconsumed.append(item.cost)
        if item.key:
            version = int.from_bytes(item.message[2][:4], "big")
            is_newer = version > self._newest.get(item.key, 0)
            expect(is_newer, "latest", f"{item.tag} goes back to an older value", self._owner)
            self._newest[item.key] = version
        if self._is_eager:
            self.take(1)

    def _subscribe(self, number: int) -> None:
        self._subscriptions[number] = False
        self.sender.send(encode_message(Message.SUBSCRIBE, number, "a.**"), None)
