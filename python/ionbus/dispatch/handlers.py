"""Handlers and listeners, and where they are registered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, overload

from ionbus.contract.contract import Contract
from ionbus.contract.members import Call, Event, Member, Stream
from ionbus.contract.payload import Payload
from ionbus.dispatch.context import Context, ThreadContext
from ionbus.dispatch.runner import Habit
from ionbus.dispatch.signatures import Signature, read_signature

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


@dataclass(frozen=True, slots=True)
class EventListener:
    """What a broker runs for an event of its clients."""

    member: Event[Any, Any]
    function: Callable[..., Any]
    signature: Signature
    habit: Habit = field(default_factory=Habit, compare=False)

    @property
    def told_name(self) -> str:
        """What people know it by."""
        return getattr(self.function, "__qualname__", repr(self.function)).rpartition("<locals>.")[2]


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


def make_event_listener(member: Event[Any, Any], function: Callable[..., Any]) -> EventListener:
    """Check a listener against its event.

    Raises:
        TypeError: it does not fit.
    """
    signature = read_signature(function, member.name, member.payload.form, Any, yields=False)
    return EventListener(member, function, signature)


# How a handler may look, for type checkers; `signatures` checks the same when it is registered.


class ServesCall(Protocol[RequestT, ResponseT]):
    """Takes a call's handler and gives it back."""

    @overload
    def __call__(
        self, handler: Callable[[RequestT], Awaitable[ResponseT]], /
    ) -> Callable[[RequestT], Awaitable[ResponseT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, Context[Any]], Awaitable[ResponseT]], /
    ) -> Callable[[RequestT, Context[Any]], Awaitable[ResponseT]]: ...
    @overload
    def __call__(self, handler: Callable[[RequestT], ResponseT], /) -> Callable[[RequestT], ResponseT]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, ThreadContext[Any]], ResponseT], /
    ) -> Callable[[RequestT, ThreadContext[Any]], ResponseT]: ...


class ServesPlainCall(Protocol[ResponseT]):
    """The same for a call whose request is nothing."""

    @overload
    def __call__(
        self, handler: Callable[[], Awaitable[ResponseT]], /
    ) -> Callable[[], Awaitable[ResponseT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[Context[Any]], Awaitable[ResponseT]], /
    ) -> Callable[[Context[Any]], Awaitable[ResponseT]]: ...
    @overload
    def __call__(self, handler: Callable[[], ResponseT], /) -> Callable[[], ResponseT]: ...
    @overload
    def __call__(
        self, handler: Callable[[ThreadContext[Any]], ResponseT], /
    ) -> Callable[[ThreadContext[Any]], ResponseT]: ...


class ServesStream(Protocol[RequestT, ItemT]):
    """Takes a stream's handler and gives it back."""

    @overload
    def __call__(
        self, handler: Callable[[RequestT], AsyncIterator[ItemT]], /
    ) -> Callable[[RequestT], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, Context[Any]], AsyncIterator[ItemT]], /
    ) -> Callable[[RequestT, Context[Any]], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT], Iterator[ItemT]], /
    ) -> Callable[[RequestT], Iterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, ThreadContext[Any]], Iterator[ItemT]], /
    ) -> Callable[[RequestT, ThreadContext[Any]], Iterator[ItemT]]: ...


class ServesPlainStream(Protocol[ItemT]):
    """The same for a stream whose request is nothing."""

    @overload
    def __call__(
        self, handler: Callable[[], AsyncIterator[ItemT]], /
    ) -> Callable[[], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[Context[Any]], AsyncIterator[ItemT]], /
    ) -> Callable[[Context[Any]], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(self, handler: Callable[[], Iterator[ItemT]], /) -> Callable[[], Iterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[ThreadContext[Any]], Iterator[ItemT]], /
    ) -> Callable[[ThreadContext[Any]], Iterator[ItemT]]: ...


class ListensToEvent(Protocol[P]):
    """Takes an event's listener and gives it back; what it returns is not looked at."""

    @overload
    def __call__(self, listener: Callable[[P], Awaitable[object]], /) -> Callable[[P], Awaitable[object]]: ...
    @overload
    def __call__(
        self, listener: Callable[[P, Context[Any]], Awaitable[object]], /
    ) -> Callable[[P, Context[Any]], Awaitable[object]]: ...
    @overload
    def __call__(self, listener: Callable[[P], object], /) -> Callable[[P], object]: ...
    @overload
    def __call__(
        self, listener: Callable[[P, ThreadContext[Any]], object], /
    ) -> Callable[[P, ThreadContext[Any]], object]: ...


class ListensToPlainEvent(Protocol):
    """The same for an event without a payload."""

    @overload
    def __call__(self, listener: Callable[[], Awaitable[object]], /) -> Callable[[], Awaitable[object]]: ...
    @overload
    def __call__(
        self, listener: Callable[[Context[Any]], Awaitable[object]], /
    ) -> Callable[[Context[Any]], Awaitable[object]]: ...
    @overload
    def __call__(self, listener: Callable[[], object], /) -> Callable[[], object]: ...
    @overload
    def __call__(
        self, listener: Callable[[ThreadContext[Any]], object], /
    ) -> Callable[[ThreadContext[Any]], object]: ...


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
    def on(self, event: Event[None, FromClients]) -> ListensToPlainEvent: ...
    @overload
    def on(self, event: Event[P, FromClients]) -> ListensToEvent[P]: ...
    def on(self, event: Any) -> Any:
        """Decorate a function that runs for each such event of a client; there may be several.

        Raises:
            TypeError: clients do not publish it, or the function does not fit it.
        """
        if not isinstance(event, Event):
            raise TypeError(f"on() takes an event, not {event!r}")
        check_contract(event, self._contracts)
        if event.source == "broker":
            raise TypeError(f"{event.name} is published by the broker itself; on() is for events of clients")

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.add_listener(make_event_listener(event, function))
            return function

        return register

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
