"""The way of an event to all who subscribed.

What is the same for all is made once: the payload is validated and encoded, the message put together, and one `SharedEvent` stands in
the queues of all sessions, unless it is one that each session may replace (`latest`) or sends in parts. What is the same each time an
event is emitted is kept: the beginning of its message, and who has subscribed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ionbus.broker.shares import EventShare, Outgoing, Questions
from ionbus.contract.members import Event, Member
from ionbus.dispatch.latest import LatestValues, hashable
from ionbus.errors import NotAllowed
from ionbus.generated.protocol import Limits
from ionbus.session.outbox import SharedEvent
from ionbus.wire.messages import encode_event, encode_event_after, event_head
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.observe.meter import EventMeter, Meter

AnyEvent = Event[Any, Any]


class Outlet:
    """What is the same each time that an event is sent.

    Attributes:
        subscribers: the sessions that get it; None: it is not known.
        shares: those of the subscriptions that asked for some of it; known with the subscribers.
        meter: counts it, where a broker is asked to.
    """

    __slots__ = ("delivery", "encode", "head", "is_broker", "meter", "shares", "subscribers")

    def __init__(self, event: AnyEvent, meter: EventMeter | None) -> None:
        event.payload.prepare()
        self.meter = meter
        self.encode = event.payload.encode
        self.delivery = event.delivery
        self.is_broker = event.source != "client"
        self.head = event_head(event.name)
        self.subscribers: tuple[Session, ...] | None = None
        self.shares: tuple[EventShare, ...] = ()


class FanOut:
    """See the module.

    Args:
        members: what is served, by full name.
        sessions: all that are live.
        limits: of this side.
        meter: counts what happens, where a broker is asked to.

    Attributes:
        latest: the newest values that are for all, for whoever subscribes later.
        questions: what subscriptions with options ask of events.
    """

    __slots__ = (
        "_largest_shared",
        "_members",
        "_meter",
        "_outlets",
        "_sessions",
        "_told",
        "latest",
        "questions",
    )

    def __init__(
        self,
        members: Mapping[str, Member],
        sessions: Mapping[bytes, Session],
        limits: Limits,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter
        self._members = members
        self._sessions = sessions
        self._largest_shared = limits.transfer_threshold_bytes // 2  # a larger message may need a transfer
        self._outlets: dict[AnyEvent, Outlet] = {}
        self._told: list[Outlet] = []  # those that know their subscribers
        self.latest = LatestValues(limits.max_latest_keys, limits.max_latest_bytes)
        self.questions = Questions()

    def publish(
        self,
        event: Any,
        value: Any,
        payload: Encoded | None = None,
        sender: Session | None = None,
        trace: str | None = None,
    ) -> list[Session]:
        """Queue an event for every session that subscribed; gives those that its sender should wait for.

        Args:
            event: which one.
            value: what the broker emits, or what a client has published, validated.
            payload: the latter's bytes.
            sender: the session whose client it was, which does not get it.
            trace: a W3C traceparent to send along.

        Raises:
            TypeError: it is no event, or none that is served here.
            NotAllowed: clients publish it, and none has.
            InvalidPayload: the value does not fit the contract.
        """
        outlet = self._outlets.get(event) if isinstance(event, Event) else None
        if outlet is None or (payload is None and not outlet.is_broker):
            outlet = self._open(event, is_broker=payload is None)
        delivery = outlet.delivery
        subscribers = outlet.subscribers
        if subscribers is None:
            subscribers = self._find_subscribers(event, outlet)
        if outlet.shares:
            return self._publish_some(event, value, payload, outlet, subscribers, sender, trace)
        if payload is None:
            if delivery == "latest":
                value = event.payload.validate(value)
            payload = outlet.encode(value)
            if outlet.meter is not None:
                outlet.meter.publish("broker", 1, len(payload))
        message, cost = encode_event_after(outlet.head, payload), len(payload)
        if outlet.meter is not None:
            outlet.meter.queued += len(subscribers) - (sender in subscribers)
        if trace is not None:
            message = encode_event(event.name, payload, {"trace": trace})
        if delivery == "latest" or cost > self._largest_shared:
            return self._give_each(event, value, message, cost, subscribers, sender)
        entry = SharedEvent(message, cost, delivery)
        behind: list[Session] = []
        for session in subscribers:
            if session is not sender and session.share(entry):
                behind.append(session)  # noqa: PERF401 - a comprehension is one call more for each event
        return behind

    def relay(
        self, event: AnyEvent, value: Any, payload: bytes, sender: Session | None, trace: str | None = None
    ) -> list[Session]:
        """`publish` what a client has published; nothing is made of what nobody else listens to."""
        outlet = self._outlets.get(event)
        if (
            outlet is not None
            and outlet.subscribers == ()
            and not outlet.shares
            and outlet.delivery != "latest"
        ):
            return []
        return self.publish(event, value, payload, sender, trace)

    def _publish_some(
        self,
        event: AnyEvent,
        value: Any,
        payload: Encoded | None,
        outlet: Outlet,
        subscribers: tuple[Session, ...],
        sender: Session | None,
        trace: str | None,
    ) -> list[Session]:
        """`publish` an event of which somebody asked for some: it is encoded where somebody gets it."""
        delivery = outlet.delivery
        if payload is None and delivery == "latest":
            value = event.payload.validate(value)
        outgoing = Outgoing(event, event.payload.plain(value), payload, trace)
        if outlet.meter is not None:
            if payload is None:
                outlet.meter.publish("broker", 1, outgoing.size)
            outlet.meter.queued += len(subscribers) - (sender in subscribers)
        behind: list[Session] = []
        if subscribers or delivery == "latest":
            payload = outgoing.payload
            message, cost = encode_event_after(outlet.head, payload), len(payload)
            if trace is not None:
                message = encode_event(event.name, payload, {"trace": trace})
            if delivery == "latest" or cost > self._largest_shared:
                behind = self._give_each(event, value, message, cost, subscribers, sender)
            else:
                entry = SharedEvent(message, cost, delivery)
                behind = [each for each in subscribers if each is not sender and each.share(entry)]
        behind += [
            share.session
            for share in outlet.shares
            if share.session is not sender and share.give(outgoing) and share.session not in behind
        ]
        return behind

    def _open(self, event: Any, *, is_broker: bool) -> Outlet:
        if is_broker:
            self.check(event)
        meter = None if self._meter is None else self._meter.event(event.name)
        outlet = self._outlets[event] = Outlet(event, meter)
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

    def _find_subscribers(self, event: AnyEvent, outlet: Outlet) -> tuple[Session, ...]:
        sessions = self._sessions.values()
        outlet.shares = tuple(share for each in sessions for share in each.shares_of(event))
        subscribers = tuple(each for each in sessions if each.subscribes(event.name))
        outlet.subscribers = subscribers
        self._told.append(outlet)
        return subscribers

    def subscriptions_changed(self) -> None:
        """Somebody subscribed, unsubscribed, or is gone."""
        for outlet in self._told:
            outlet.subscribers = None
        self._told.clear()
