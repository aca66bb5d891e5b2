"""The way of an event to all who subscribed.

What is the same for all is made once: the payload is validated and encoded, the message put together, and one `SharedEvent` stands in
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
from ionbus.session.outbox import SharedEvent
from ionbus.wire.messages import encode_event_after, event_head
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session

AnyEvent = Event[Any, Any]


class Outlet:
    """What is the same each time that an event is sent.

    Attributes:
        subscribers: the sessions that get it; None: it is not known.
    """

    __slots__ = ("delivery", "encode", "head", "is_broker", "subscribers")

    def __init__(self, event: AnyEvent) -> None:
        event.payload.prepare()
        self.encode = event.payload.encode
        self.delivery = event.delivery
        self.is_broker = event.source != "client"
        self.head = event_head(event.name)
        self.subscribers: tuple[Session, ...] | None = None


class FanOut:
    """See the module.

    Args:
        members: what is served, by full name.
        sessions: all that are live.
        limits: of this side.

    Attributes:
        latest: the newest values that are for all, for whoever subscribes later.
    """

    __slots__ = ("_largest_shared", "_members", "_outlets", "_sessions", "_told", "latest")

    def __init__(
        self, members: Mapping[str, Member], sessions: Mapping[bytes, Session], limits: Limits
    ) -> None:
        self._members = members
        self._sessions = sessions
        self._largest_shared = limits.transfer_threshold_bytes // 2  # a larger message may need a transfer
        self._outlets: dict[AnyEvent, Outlet] = {}
        self._told: list[Outlet] = []  # those that know their subscribers
        self.latest = LatestValues(limits.max_latest_keys, limits.max_latest_bytes)

    def publish(
        self, event: Any, value: Any, payload: Encoded | None = None, sender: Session | None = None
    ) -> list[Session]:
        """Queue an event for every session that subscribed; gives those that its sender should wait for.

        Args:
            event: which one.
            value: what the broker emits, or what a client has published, validated.
            payload: the latter's bytes.
            sender: the session whose client it was, which does not get it.

        Raises:
            TypeError: it is no event, or none that is served here.
            NotAllowed: clients publish it, and none has.
            InvalidPayload: the value does not fit the contract.
        """
        outlet = self._outlets.get(event) if isinstance(event, Event) else None
        if outlet is None or (payload is None and not outlet.is_broker):
            outlet = self._open(event, is_broker=payload is None)
        delivery = outlet.delivery
        if payload is None:
            if delivery == "latest":
                value = event.payload.validate(value)
            payload = outlet.encode(value)
        message, cost = encode_event_after(outlet.head, payload), len(payload)
        subscribers = outlet.subscribers
        if subscribers is None:
            subscribers = self._find_subscribers(event.name, outlet)
        if delivery == "latest" or cost > self._largest_shared:
            return self._give_each(event, value, message, cost, subscribers, sender)
        entry = SharedEvent(message, cost, delivery)
        behind: list[Session] = []
        for session in subscribers:
            if session is not sender and session.share(entry):
                behind.append(session)  # noqa: PERF401 - a comprehension is one call more for each event
        return behind

    def relay(self, event: AnyEvent, value: Any, payload: bytes, sender: Session | None) -> list[Session]:
        """`publish` what a client has published; nothing is made of what nobody else listens to."""
        outlet = self._outlets.get(event)
        if outlet is not None and outlet.subscribers == () and outlet.delivery != "latest":
            return []
        return self.publish(event, value, payload, sender)

    def _open(self, event: Any, *, is_broker: bool) -> Outlet:
        if is_broker:
            self.check(event)
        outlet = self._outlets[event] = Outlet(event)
        return outlet

    def _give_each(
        self,
        event: AnyEvent,
        value: Any,
        message: Encoded,
        cost: int,
        subscribers: tuple[Session, ...],
        sender: Session | None,
    ) -> list[Session]:
        """An entry for each session: it may be replaced there, or need a transfer."""
        key = None
        if event.delivery == "latest":
            key = (event.name, hashable(event.key_of(value)))
            self.latest.keep(event.name, key, message, cost)
        return [
            session
            for session in subscribers
            if session is not sender and session.put(message, cost, event.delivery, key)
        ]

    def check(self, event: object) -> None:
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

    def _find_subscribers(self, name: str, outlet: Outlet) -> tuple[Session, ...]:
        subscribers = tuple(each for each in self._sessions.values() if each.subscribes(name))
        outlet.subscribers = subscribers
        self._told.append(outlet)
        return subscribers

    def subscriptions_changed(self) -> None:
        """Somebody subscribed, unsubscribed, or is gone."""
        for outlet in self._told:
            outlet.subscribers = None
        self._told.clear()
