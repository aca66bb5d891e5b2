"""What one side's application has sent in one session, kept independently of the engine: what is expected to arrive.

The ledger sees each message as it is queued, as its last byte leaves (`wire` finds that in the frames), and as it arrives.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final, Literal

from ionbus.generated.protocol import Limits, Message
from ionbus.session.outbox import EVENTS, Delivery
from ionbus.session.session import Session
from ionbus.testing.simulator.broken import Broken, expect
from ionbus.wire.frames import decode_frame

Lane = int | str | None
State = Literal["waiting", "numbered", "arrived", "nil", "withdrawn", "rejected", "forgotten"]
Totals = tuple[int, int]
"""Bytes and events, as credit counts them."""

INTERNAL: Final = frozenset((Message.GRANT, Message.ABORT, Message.REJECT))
"""What engines send to each other about transfers."""
_ASKED: Final = frozenset((Message.CALL, Message.STREAM, Message.CANCEL, Message.STREAM_CREDIT))
_ANSWERS: Final = frozenset((Message.RESULT, Message.ERROR, Message.ITEM, Message.END))
_DROPPED: Final[dict[State, str]] = {"rejected": "too_large", "forgotten": "forgotten"}


@dataclass(slots=True, eq=False)
class Item:
    """One message of the application.

    Attributes:
        is_excused: it came behind a transfer of its lane, so that others may pass it.
    """

    data: bytes
    message: list[Any]
    lane: Lane
    cost: int
    delivery: Delivery
    key: str
    tag: str
    ordinal: int
    is_large: bool
    is_excused: bool
    state: State = "waiting"

    @property
    def name(self) -> str:
        """Of an event."""
        return str(self.message[1])


class Ledger:
    """See the module.

    Args:
        limits: of the sending side.
        owner: whose it is, for what is found.
        tally: of what becomes of messages.

    Attributes:
        spent: credit used by the events that were numbered.
        dropped: events that will never arrive, by name and reason, as `Session.dropped` has to count them.
    """

    def __init__(self, limits: Limits, owner: str, tally: Counter[str]) -> None:
        self.owner = owner
        self.spent: Totals = (0, 0)
        self.tags: dict[str, Item] = {}
        self.dropped: Counter[tuple[str, str]] = Counter()
        self._limits = limits
        self._tally = tally
        self._ordinal = 0
        self._lanes: dict[Lane, deque[Item]] = {}
        self._numbered: dict[int, Item] = {}  # those that may not have arrived, or are not acknowledged
        self._arrived = 0

    # What is queued.

    def queue(
        self, data: bytes, lane: Lane, cost: int, delivery: Delivery, key: str, tag: str, *, waits: bool
    ) -> None:
        """A message was given to the engine.

        Args:
            data: the message.
            lane: as the engine was told.
            cost: as for `Session.emit`; -1: no event.
            delivery: likewise.
            key: likewise.
            tag: what it is called.
            waits: a `latest` event with this key waited, so that this one takes its place.
        """
        message = decode_frame(data)
        queue = self._lanes.setdefault(lane, deque())
        if waits:
            item = next(item for item in reversed(queue) if item.key == key)
            self.dropped[item.name, "superseded"] += 1
            item.data, item.message, item.cost = data, message, cost
            item.is_large = self._is_large(data)
            return
        self._ordinal += 1
        is_excused = lane is not None and any(item.is_large for item in queue)
        item = Item(
            data, message, lane, cost, delivery, key, tag, self._ordinal, self._is_large(data), is_excused
        )
        queue.append(item)
        self.tags[tag] = item

    def latest_waiting(self, session: Session) -> list[Item]:
        """The `latest` events whose place a successor would take, the oldest first."""
        newest = {item.key: item for item in self._lanes.get(EVENTS, ()) if item.delivery == "latest"}
        waiting = (item for key, item in newest.items() if session.is_waiting(key))
        return sorted(waiting, key=lambda item: item.ordinal)

    def settle(self, item: Item, state: State) -> None:
        """A message will never be sent: it was withdrawn, rejected or forgotten."""
        expect(
            item.state == "waiting", "too late", f"{item.tag} is {item.state}, and then {state}", self.owner
        )
        self._remove(item, state)
        self._tally[state] += 1
        if item.cost >= 0 and state in _DROPPED:
            self.dropped[item.name, _DROPPED[state]] += 1

    def waiting(self) -> list[Item]:
        """What the other side cannot have got all of, in order."""
        items = [item for lane in self._lanes.values() for item in lane]
        return sorted(items, key=lambda item: item.ordinal)

    def unacknowledged(self, acked: int) -> Counter[str]:
        """Events that were numbered above what was acknowledged, and are not nil, by name."""
        return Counter(
            item.name
            for number, item in self._numbered.items()
            if number > acked and item.cost >= 0 and item.state != "nil"
        )

    def undelivered(self, acked: int) -> Counter[str]:
        """Those, and the events that wait, by name."""
        return self.unacknowledged(acked) + Counter(item.name for item in self.waiting() if item.cost >= 0)

    def ended(self, acked: int, code: str) -> None:
        """The session is over for good: what was not delivered never will be."""
        for name, count in self.undelivered(acked).items():
            self.dropped[name, code] += count

    # What leaves.

    def leaves(self, number: int, message: list[Any], credit: Totals, granted: Totals) -> None:
        """A message has left, all of it: it has to be the next one of its lane.

        Args:
            number: of the element that it ends with.
            message: what left.
            credit: what its sender knows to be granted.
            granted: what the other side has granted.
        """
        lane = _lane_of(message)
        queue = self._lanes.get(lane)
        item = queue[0] if queue else None
        if item is None or item.message != message:
            expected = None if item is None else item.tag
            raise Broken("order", f"lane {lane}: {message!r:.80} leaves, {expected} is next", self.owner)
        self._expect_excuses(item, credit)
        self._remove(item, "numbered")
        self._numbered[number] = item
        self._tally["in parts"] += item.is_large
        if item.cost >= 0:
            size, count = self.spent
            text = f"{item.tag} leaves beyond {granted}: {self.spent} before it"
            expect(size < granted[0] and count < granted[1], "credit", text, self.owner)
            self.spent = (size + item.cost, count + 1)

    def rewound(self, received: int, sent: int) -> list[int]:
        """A channel was greeted, and the other side has `received`: which of the elements above it become nil."""
        newest: set[str] = set()
        nils: list[int] = []
        for number in range(sent, received, -1):
            item = self._numbered.get(number)
            if item is None or item.cost < 0 or item.is_large or item.state == "nil":
                continue
            if item.delivery == "volatile" or (item.delivery == "latest" and item.key in newest):
                expect(item.state == "numbered", "nil", f"{item.tag} has arrived and becomes nil", self.owner)
                item.state = "nil"
                self._tally["nil"] += 1
                self.dropped[item.name, "absent" if item.delivery == "volatile" else "superseded"] += 1
                self.spent = (self.spent[0] - item.cost, self.spent[1] - 1)
                nils.append(number)
            elif item.delivery == "latest":
                newest.add(item.key)
        return nils

    def acknowledged(self, number: int) -> None:
        """The other side says that it has this element."""
        item = self._numbered.get(number)
        if item is not None and item.state in ("arrived", "nil"):
            del self._numbered[number]

    # What arrives.

    def arrives(self, number: int, message: list[Any]) -> Item:
        """The other side's engine gives a message to its application."""
        item = self._numbered.get(number)
        if item is None or item.state != "numbered":
            state = "nothing" if item is None else item.state
            raise Broken("once", f"element {number} arrives as {message!r:.80}; it is {state}", self.owner)
        expect(number > self._arrived, "order", f"element {number} arrives after {self._arrived}", self.owner)
        expect(message == item.message, "content", f"{item.tag} arrives as {message!r:.80}", self.owner)
        self._arrived = number
        item.state = "arrived"
        self._tally["arrived"] += 1
        return item

    def taken(self, received: int) -> None:
        """The other side's engine has taken all elements up to this number."""
        for number, item in self._numbered.items():
            if item.state == "numbered" and number <= received:
                raise Broken("lost", f"{item.tag}, {number} of {received} taken, never arrived", self.owner)

    # Inside.

    def _expect_excuses(self, leaving: Item, credit: Totals) -> None:
        """What was queued earlier and still waits has to have a reason (docs/protocol.md, section 4.8)."""
        for queue in self._lanes.values():
            item = queue[0]
            if item.ordinal >= leaving.ordinal or item.is_excused or item.is_large:
                continue
            waits = item.cost >= 0 and (self.spent[0] >= credit[0] or self.spent[1] >= credit[1])
            expect(waits, "passed", f"{leaving.tag} passes {item.tag}", self.owner)

    def _remove(self, item: Item, state: State) -> None:
        item.state = state
        queue = self._lanes[item.lane]
        queue.remove(item)
        if not queue:
            del self._lanes[item.lane]

    def _is_large(self, data: bytes) -> bool:
        return len(data) > self._limits.transfer_threshold_bytes


def _lane_of(message: list[Any]) -> Lane:
    """The lane that the simulated application sends a message in."""
    kind = message[0]
    if kind == Message.EVENT:
        return EVENTS
    if kind in _ASKED:
        return int(message[1])
    if kind in _ANSWERS:
        return -int(message[1])
    return None
