"""The way of an event to all who subscribed.

What is the same for all is made once: the payload is validated and encoded, the message put together, and one `Entry` stands in
the queues of all sessions, unless it is one that each session may replace (`latest`) or sends in parts. What is the same each time an
event is emitted is kept: the beginning of its message, and who has subscribed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ionbus.contract.members import Event, Member
from ionbus.dispatch.latest import LatestValues, hashable
from ionbus.errors import NotAllowed
from ionbus.generated.protocol import Limits
from ionbus.session.outbox import EVENTS, Entry
from ionbus.wire.messages import encode_event_after, event_head

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session

AnyEvent = Event[Any, Any]


class FanOut:
    """See the module.

    Args:
        members: what is served, by full name.
        sessions: all that are live.
        limits: of this side.

    Attributes:
        latest: the newest values that are for all, for whoever subscribes later.
    """

    def __init__(
        self, members: Mapping[str, Member], sessions: Mapping[bytes, Session], limits: Limits
    ) -> None:
        self._members = members
        self._sessions = sessions
        self._largest_whole = limits.transfer_threshold_bytes
        self._checked: set[AnyEvent] = set()
        self._heads: dict[AnyEvent, bytes] = {}
        self._subscribers: dict[AnyEvent, tuple[Session, ...]] = {}
        self.latest = LatestValues(limits.max_latest_keys, limits.max_latest_bytes)

    def emit(self, event: object, payload: Any) -> list[Session]:
        """Queue an event of the broker for every session that subscribed; gives those that its sender should wait for.

        Raises:
            TypeError: it is no event, or none that is served here.
            NotAllowed: clients publish it.
            InvalidPayload: the payload does not fit the contract.
        """
        if not isinstance(event, Event) or event not in self._checked:
            event = self.check(event)
            self._checked.add(event)
        if event.delivery == "latest":
            payload = event.payload.validate(payload)
        return self.relay(event, payload, event.payload.encode(payload), None)

    def check(self, event: object) -> AnyEvent:
        """Refuse what the broker cannot emit. Nobody can have subscribed to an event of a contract that is not served here.

        Raises:
            TypeError: it is no event, or none that is served here.
            NotAllowed: clients publish it.
        """
        if not isinstance(event, Event):
            raise TypeError(f"emit() takes an event, not {event!r}")
        if event.source == "client":
            raise NotAllowed(f"{event.name} is published by clients; the broker cannot emit it")
        if event.name not in self._members:
            raise TypeError(
                f"{event.name} is of the contract {event.contract.name}, which is not served here; give it to Broker"
            )
        return event

    def relay(self, event: AnyEvent, value: Any, payload: bytes, sender: Session | None) -> list[Session]:
        """Queue a valid event for every session that subscribed but its sender; those that are to be waited for."""
        head = self._heads.get(event)
        if head is None:
            head = self._heads[event] = event_head(event.name)
        message = encode_event_after(head, payload)
        subscribers = self._subscribers.get(event)
        if subscribers is None:
            name = event.name
            subscribers = tuple(session for session in self._sessions.values() if session.subscribes(name))
            self._subscribers[event] = subscribers
        cost, delivery = len(payload), event.delivery
        if delivery == "latest" or len(message) > self._largest_whole:
            key = None
            if delivery == "latest":
                key = (event.name, hashable(event.key_of(value)))
                self.latest.keep(event.name, key, message, cost)
            return [
                each for each in subscribers if each is not sender and each.put(message, cost, delivery, key)
            ]
        entry = Entry(message, cost, delivery, None, EVENTS)
        return [each for each in subscribers if each is not sender and each.share(entry)]

    def subscriptions_changed(self) -> None:
        """Somebody subscribed, unsubscribed, or is gone."""
        self._subscribers.clear()
