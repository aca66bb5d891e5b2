"""Messages that wait for their number (docs/protocol.md, sections 4.6 and 4.8).

Two queues, since events wait for credit and nothing else may wait behind them. Each entry has an ordinal, so that while
there is credit both queues leave in the order in which they were filled. A *lane* is a sequence that keeps its order
around a transfer: all events are one lane, each request is one. While a lane has a transfer under way, what follows in it is held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Final, Literal

from ionbus.wire.pieces import Encoded

Delivery = Literal["session", "volatile", "latest"]

EVENTS: Final = "events"
"""The lane of all events."""

SWEPT: Final = 64
"""Withdrawn entries from which on the queues are swept, once they are half of what is there."""


_ordinals = count(1)


class Entry:
    """One message on its way out.

    Attributes:
        data: the message's bytes; replaced while a `latest` event waits.
        cost: payload bytes that an event takes from the credit, -1 for a message that needs none.
        tag: whatever the sender wants back when the other side rejects the message.
        ordinal: rises through the whole process, as entries are made and queued.
        is_numbered: its last byte has entered a frame: it is the other side's, as long as the session lives.
        is_dropped: it will never be sent.
    """

    __slots__ = ("cost", "data", "delivery", "is_dropped", "is_numbered", "key", "lane", "ordinal", "tag")

    def __init__(
        self,
        data: Encoded,
        cost: int,
        delivery: Delivery,
        key: Hashable | None = None,
        lane: Hashable | None = None,
        tag: object = None,
    ) -> None:
        self.data = data
        self.cost = cost
        self.delivery = delivery
        self.key = key
        self.lane = lane
        self.tag = tag
        self.ordinal = next(_ordinals)
        self.is_numbered = False
        self.is_dropped = False


class SharedEvent(Entry):
    """An event that is in the queues of many sessions. Nobody replaces it or takes it back, and it is sent whole.

    What a session alone knows of it, its number above all, is not here: `is_numbered` says that it has one somewhere.
    """

    __slots__ = ()

    key = None
    lane = EVENTS
    tag = None
    is_dropped = False

    def __init__(self, data: Encoded, cost: int, delivery: Literal["session", "volatile"]) -> None:
        self.data = data
        self.cost = cost
        self.delivery = delivery
        self.ordinal = next(_ordinals)
        self.is_numbered = False


class Outbox:
    """The two queues, the held lanes, and the newest entry of each `latest` key."""

    __slots__ = (
        "_events",
        "_held",
        "_latest",
        "_max_latest_keys",
        "_messages",
        "_withdrawn",
        "queued_bytes",
        "queued_events",
        "queued_message_bytes",
        "queued_messages",
    )

    def __init__(self, max_latest_keys: int) -> None:
        self._max_latest_keys = max_latest_keys
        self._events: deque[Entry] = deque()
        self._messages: deque[Entry] = deque()
        self._held: dict[Hashable, deque[Entry]] = {}
        self._latest: dict[Hashable, Entry] = {}
        self._withdrawn = 0  # since the queues were swept
        self.queued_bytes = 0
        """Cost of all events that wait."""
        self.queued_events = 0
        self.queued_messages = 0
        """Entries that wait and need no credit."""
        self.queued_message_bytes = 0
        """Bytes of those, held ones included."""

    def push(self, entry: Entry) -> Entry | None:
        """Queue one entry behind all others; gives the `latest` event that is forgotten for it, if one is."""
        if entry.cost < 0:
            self._messages.append(entry)
            self.queued_messages += 1
            self.queued_message_bytes += len(entry.data)
            return None
        self._events.append(entry)
        self.queued_events += 1
        self.queued_bytes += entry.cost
        if entry.delivery == "latest":
            self._latest[entry.key] = entry
            if len(self._latest) > self._max_latest_keys:
                oldest = next(iter(self._latest.values()))
                self.withdraw(oldest)
                return oldest
        return None

    def push_event(self, entry: Entry) -> None:
        """`push` for an event that is not `latest`."""
        self._events.append(entry)
        self.queued_events += 1
        self.queued_bytes += entry.cost

    def replace(self, key: Hashable, data: Encoded, cost: int) -> Entry | None:
        """Put a newer event in the place of the one with the same key; None where none waits."""
        entry = self._latest.get(key)
        if entry is not None:
            self.queued_bytes += cost - entry.cost
            entry.data, entry.cost = data, cost
        return entry

    def is_waiting(self, key: Hashable) -> bool:
        """Whether a `latest` event with this key waits."""
        return key in self._latest

    def take_events(self, most: int, max_bytes: int, max_cost: int, largest: int) -> list[Entry]:
        """The next events, as many as `take` would give one after the other; none where something else may come first.

        Args:
            most: how many at most.
            max_bytes: none more once they have so many bytes.
            max_cost: likewise, once they cost so much.
            largest: none of more bytes.
        """
        taken: list[Entry] = []
        events = self._events
        if self._messages or EVENTS in self._held:
            return taken
        size = cost = 0
        while events and len(taken) < most and size < max_bytes and cost < max_cost:
            entry = events[0]
            length = len(entry.data)
            if entry.delivery == "latest" or length > largest or entry.is_dropped:
                break
            taken.append(events.popleft())
            entry.is_numbered = True
            size += length
            cost += entry.cost
        self.queued_events -= len(taken)
        self.queued_bytes -= cost
        return taken

    def take_messages(self, most: int, max_bytes: int, largest: int) -> list[Entry]:
        """`take_events` for messages that need no credit."""
        taken: list[Entry] = []
        messages = self._messages
        if self._events or self._held:
            return taken
        size = 0
        while messages and len(taken) < most and size < max_bytes:
            entry = messages[0]
            length = len(entry.data)
            if length > largest or entry.is_dropped:
                break
            taken.append(messages.popleft())
            entry.is_numbered = True
            size += length
        self.queued_messages -= len(taken)
        self.queued_message_bytes -= size
        return taken

    def take(self, may_take_event: bool) -> Entry | None:
        """The next entry to number, or None. `may_take_event`: there is credit for one."""
        while True:
            events = self._events if may_take_event and EVENTS not in self._held else None
            if events and (not self._messages or events[0].ordinal < self._messages[0].ordinal):
                entry = events.popleft()
                if not entry.is_dropped:
                    self._forget(entry)
                    return entry
            elif self._messages:
                entry = self._messages.popleft()
                if entry.is_dropped:
                    continue
                held = self._held.get(entry.lane) if entry.lane is not None else None
                if held is None:
                    self.queued_messages -= 1
                    self.queued_message_bytes -= len(entry.data)
                    return entry
                held.append(entry)
            else:
                return None

    def hold(self, lane: Hashable | None) -> None:
        """From now on keep back what follows in this lane: a transfer has begun in it."""
        if lane is not None:
            self._held[lane] = deque()

    def release(self, lane: Hashable | None) -> None:
        """The lane's transfer is over; what was kept back comes next."""
        self._messages.extendleft(reversed(self._held.pop(lane, ())))

    def withdraw(self, entry: Entry) -> None:
        """Never send an entry that still waits."""
        entry.is_dropped = True
        if entry.cost >= 0:
            self._forget(entry)
        else:
            self.queued_messages -= 1
            self.queued_message_bytes -= len(entry.data)
        self._withdrawn += 1
        if self._withdrawn >= SWEPT and self._withdrawn * 2 >= len(self._events) + len(self._messages):
            self._sweep()

    def waiting(self) -> Iterator[Entry]:
        """All entries that wait, in order."""
        held = (entry for lane in self._held.values() for entry in lane)
        entries = [*self._events, *self._messages, *held]
        return iter(
            sorted((entry for entry in entries if not entry.is_dropped), key=lambda entry: entry.ordinal)
        )

    def waiting_events(self) -> Iterator[Entry]:
        """The events among them; any thread may look."""
        return (entry for entry in tuple(self._events) if not entry.is_dropped)

    def _sweep(self) -> None:
        """Let go of what was withdrawn: while nothing leaves, it would pile up."""
        self._withdrawn = 0
        self._events = deque(entry for entry in self._events if not entry.is_dropped)
        self._messages = deque(entry for entry in self._messages if not entry.is_dropped)

    def _forget(self, entry: Entry) -> None:
        self.queued_events -= 1
        self.queued_bytes -= entry.cost
        if entry.delivery == "latest" and self._latest.get(entry.key) is entry:
            del self._latest[entry.key]
