"""Handlers and listeners, and where they are registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, overload

from ionbus.contract.contract import Contract
from ionbus.contract.members import Call, Event, Member, Stream
from ionbus.contract.payload import Payload
from ionbus.contract.received import Received
from ionbus.dispatch.runner import Habit
from ionbus.dispatch.shapes import (
    ListensToEvent,
    ListensToPlainEvent,
    ServesCall,
    ServesPlainCall,
    ServesPlainStream,
    ServesStream,
)
from ionbus.dispatch.signatures import Signature, read_signature
from ionbus.errors import NotFound
from ionbus.events.names import Wanted, suggestion, wanted
from ionbus.events.patterns import matcher

P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Handler:
    """What answers a call or stream: the function and how to call it.

    Attributes:
        request: the type of what it is given.
        answer: that of its result, or of each item.
    """

    member: Call[Any, Any, Any] | Stream[Any, Any, Any]
    function: Callable[..., Any]
    signature: Signature
    request: Payload[Any]
    answer: Payload[Any]
    is_async: bool
    habit: Habit = field(default_factory=Habit, compare=False)


@dataclass(slots=True, eq=False)
class EventListener:
    """What a broker runs for an event of its clients.

    Attributes:
        function: is called with the payload, or with `Received` where `wanted` says so.
        wanted: what it was registered for: the event, or many.
        registered: the function that was registered.
        is_special: `take` has to be asked before it is called.
    """

    member: Event[Any, Any]
    function: Callable[..., Any]
    signature: Signature
    wanted: Wanted
    registered: Callable[..., Any]
    is_once: bool = False
    habit: Habit = field(default_factory=Habit)
    is_special: bool = field(init=False)
    is_open: bool = field(init=False, default=True)
    group: list[EventListener] = field(init=False)
    """All that were registered at once: one for each event of a pattern."""

    def __post_init__(self) -> None:
        self.is_special = self.is_once
        self.group = [self]

    @property
    def told_name(self) -> str:
        """What people know it by."""
        return getattr(self.registered, "__qualname__", repr(self.registered)).rpartition("<locals>.")[2]

    def take(self) -> bool:
        """Whether it may be called now; one that is to run once is closed by that."""
        if not self.is_open:
            return False
        if self.is_once:
            for each in self.group:
                each.close()
        return True

    def close(self) -> None:
        """It is not called any more."""
        self.is_open = False
        self.is_special = True


def make_handler(
    member: Call[Any, Any, Any] | Stream[Any, Any, Any], function: Callable[..., Any]
) -> Handler:
    """Check a function against its contract.

    Raises:
        TypeError: it does not fit.
    """
    answer = member.response if isinstance(member, Call) else member.item
    yields = isinstance(member, Stream)
    signature = read_signature(function, member.name, member.request.form, answer.form, yields=yields)
    return Handler(member, function, signature, member.request, answer, is_async=signature.is_async)


def make_event_listeners(
    what: object, events: Sequence[Event[Any, Any]], function: Callable[..., Any], *, once: bool = False
) -> list[EventListener]:
    """Check a listener against what it is for.

    Args:
        what: an event, a contract or a pattern.
        events: those that it is for.
        function: the listener.
        once: for the first of them alone.

    Raises:
        TypeError: it does not fit.
    """
    found = wanted(what)
    if not found.takes_received:
        [event] = events
        signature = read_signature(function, event.name, event.payload.form, Any, yields=False)
        return [EventListener(event, function, signature, found, function, once)]
    signature = read_signature(function, found.pattern, Received[object], Any, yields=False)
    listeners = [
        EventListener(event, _receiving(function, event.name), signature, found, function, once)
        for event in events
    ]
    for each in listeners:
        each.group = listeners
    return listeners


def _receiving(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function that is given a payload and calls one that takes `Received`."""
    return lambda payload, *context: function(Received(name, payload), *context)


FromClients = Literal["client", "any"]


class Handlers:
    """Handlers and listeners of a broker, kept in another file than it: `broker.include(handlers)`.

    Args:
        contracts: the contracts whose members are handled here.
    """

    def __init__(self, *contracts: type[Contract]) -> None:
        self._contracts = contracts
        self.handled: dict[str, Handler] = {}
        self.listeners: list[EventListener] = []

    @property
    def contracts(self) -> tuple[type[Contract], ...]:
        """The contracts whose members are handled here."""
        return self._contracts

    @overload
    def handle(self, member: Call[None, ResponseT, Literal["broker"]]) -> ServesPlainCall[ResponseT]: ...
    @overload
    def handle(
        self, member: Call[RequestT, ResponseT, Literal["broker"]]
    ) -> ServesCall[RequestT, ResponseT]: ...
    @overload
    def handle(self, member: Stream[None, ItemT, Literal["broker"]]) -> ServesPlainStream[ItemT]: ...
    @overload
    def handle(self, member: Stream[RequestT, ItemT, Literal["broker"]]) -> ServesStream[RequestT, ItemT]: ...
    def handle(self, member: Any) -> Any:
        """Decorate the function that answers a call or stream.

        Raises:
            TypeError: the member is not served by the broker, has a handler already, or the function does not fit it.
        """
        check_handled(member, self._contracts, "broker")

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.add(make_handler(member, function))
            return function

        return register

    @overload
    def on(self, what: Event[None, FromClients]) -> ListensToPlainEvent: ...
    @overload
    def on(self, what: Event[P, FromClients]) -> ListensToEvent[P]: ...
    @overload
    def on(self, what: str | type[Contract]) -> ListensToEvent[Received[object]]: ...
    def on(self, what: Any) -> Any:
        """Decorate a function that runs for each such event of a client; there may be several.

        Args:
            what: an event that clients publish; a contract, for all of its own and of those in it; or a pattern as `"conductor.*"`. The
                last two give `Received`.

        Raises:
            TypeError: clients do not publish it, or the function does not fit it.
            ValueError: a malformed pattern.
            NotFound: a pattern that matches no event that clients publish here; the message suggests the nearest.
        """
        return self._listening(what, once=False)

    @overload
    def once(self, what: Event[None, FromClients]) -> ListensToPlainEvent: ...
    @overload
    def once(self, what: Event[P, FromClients]) -> ListensToEvent[P]: ...
    @overload
    def once(self, what: str | type[Contract]) -> ListensToEvent[Received[object]]: ...
    def once(self, what: Any) -> Any:
        """The same for the next one alone."""
        return self._listening(what, once=True)

    def off(
        self, what: Event[Any, Any] | str | type[Contract], listener: Callable[..., object] | None = None
    ) -> int:
        """Take listeners back that were registered for exactly this; gives how many.

        Args:
            what: as it was given to `on` or `once`.
            listener: which function; all where it is left out.
        """
        found = wanted(what)
        closed = [
            each
            for each in self.listeners
            if each.is_open and each.wanted == found and (listener is None or each.registered == listener)
        ]
        for each in closed:
            each.close()
        self.forget_closed()
        return len({id(each.group) for each in closed})

    def _listening(self, what: Any, *, once: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        events = self._events_for(what)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            for listener in make_event_listeners(what, events, function, once=once):
                self.add_listener(listener)
            return function

        return register

    def _events_for(self, what: Any) -> list[Event[Any, Any]]:
        """The events of clients that are listened to."""
        if isinstance(what, Event):
            check_contract(what, self._contracts)
            if what.source == "broker":
                raise TypeError(
                    f"{what.name} is published by the broker itself; on() is for events of clients"
                )
            return [what]
        pattern = wanted(what).pattern
        published = {each.name: each for each in self.published}
        found = [each for name, each in published.items() if matcher(pattern)(name)]
        if not found:
            raise NotFound(
                f"{pattern} matches no event that clients publish here{suggestion(pattern, published)}"
            )
        return found

    @property
    def published(self) -> list[Event[Any, Any]]:
        """The events that clients publish."""
        return [
            member
            for contract in self._contracts
            for member in contract.__contract__.members.values()
            if isinstance(member, Event) and member.source != "broker"
        ]

    def add(self, handler: Handler) -> None:
        """Keep a handler.

        Raises:
            TypeError: its member has one already.
        """
        self.check_free(handler)
        self.handled[handler.member.name] = handler

    def check_free(self, handler: Handler) -> None:
        """Refuse a second handler.

        Raises:
            TypeError: its member has one already.
        """
        name = handler.member.name
        other = self.handled.get(name)
        if other is not None:
            raise TypeError(
                f"{name} is handled by {_called(other)} already; {_called(handler)} would be a second one. "
                "Use override() in a test"
            )

    def add_listener(self, listener: EventListener) -> None:
        """Keep a listener."""
        self.listeners.append(listener)

    def forget_closed(self) -> None:
        """Keep no listener that was closed."""
        self.listeners[:] = [each for each in self.listeners if each.is_open]


def check_contract(member: Member, contracts: tuple[type[Contract], ...]) -> None:
    """Refuse a member of another contract.

    Raises:
        TypeError: it belongs to none of `contracts`.
    """
    known = [contract.__contract__ for contract in contracts]
    if member.contract not in known:
        names = ", ".join(info.name for info in known) or "none"
        raise TypeError(f"{member.name} belongs to the contract {member.contract.name}; this has {names}")


def check_handled(
    member: object, contracts: tuple[type[Contract], ...], side: Literal["broker", "client"]
) -> None:
    """Refuse what cannot be handled on this side.

    Raises:
        TypeError: no call or stream, of another contract, or served by the other side.
    """
    if not isinstance(member, (Call, Stream)):
        raise TypeError(f"handle() takes a call or a stream, not {member!r}")
    if side == "broker":
        check_contract(member, contracts)
    if member.served_by != side:
        raise TypeError(
            f"{member.name} is served by the {member.served_by}; it cannot be handled by the {side}"
        )


def unhandled(contracts: tuple[type[Contract], ...], handled: dict[str, Handler]) -> list[str]:
    """Names of the calls and streams that the broker serves and that nothing handles."""
    return [
        member.name
        for contract in contracts
        for member in contract.__contract__.members.values()
        if isinstance(member, (Call, Stream)) and member.served_by == "broker" and member.name not in handled
    ]


def _called(handler: Handler) -> str:
    return f"{getattr(handler.function, '__qualname__', repr(handler.function))}()"
