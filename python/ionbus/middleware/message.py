"""What passes through middleware: a message, what is known about it, and what may become of it (docs/middleware.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, overload

from typing_extensions import TypeVar

from ionbus.contract.members import Member

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session

Kind = Literal["call", "stream", "event"]
Direction = Literal["inbound", "outbound"]

T = TypeVar("T")
D = TypeVar("D")
P = TypeVar("P", default=Any)
R = TypeVar("R", default=Any)
ItemT = TypeVar("ItemT", default=Any)
PayloadT = TypeVar("PayloadT", default=Any)
ResultT_co = TypeVar("ResultT_co", covariant=True, default=Any)

_UNCHANGED: Any = object()


class MiddlewareError(RuntimeError):
    """A middleware broke the rules of docs/middleware.md: a mistake in the program, named after who made it.

    It is raised on the side whose middleware it was; the other side gets an `InternalError` with an incident.
    """


class Key(Generic[T]):
    """A typed key of a passage's state: `USER = Key[User]("user")`. Two keys of one name are two keys.

    Args:
        name: for people.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Key({self.name!r})"


class State:
    """What middleware notes on the way of one message, for other middleware and for the handler: values under typed keys."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[Key[Any], Any] = {}

    def __repr__(self) -> str:
        return f"<State {', '.join(key.name for key in self._values)}>"

    def __getitem__(self, key: Key[T]) -> T:
        value: T = self._values[key]
        return value

    def __setitem__(self, key: Key[T], value: T) -> None:
        self._values[key] = value

    def __contains__(self, key: Key[Any]) -> bool:
        return key in self._values

    @overload
    def get(self, key: Key[T]) -> T | None: ...
    @overload
    def get(self, key: Key[T], default: D) -> T | D: ...
    def get(self, key: Key[Any], default: Any = None) -> Any:
        """What stands under a key, or `default`."""
        return self._values.get(key, default)


@dataclass(frozen=True, slots=True)
class MessageContext:
    """What is known about a message besides its payload.

    Attributes:
        request_id: the request's number in its session; 0 for an event, and for what has not left.
        session: whose client sent it, or is to get it; None at a client, and for an event to all that subscribed.
        principal: who that is, as `authenticate` said; None at a client.
        deadline: when the caller gives up, on the loop's clock, in seconds; None: never.
        trace: a W3C traceparent, or None.
    """

    request_id: int = 0
    session: Session | None = None
    principal: Any = None
    deadline: float | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Message(Generic[P]):
    """One message on its way through middleware. It is never changed: `replace` gives another one of the same passage.

    Attributes:
        kind: "call", "stream" or "event".
        direction: "inbound": it has arrived; "outbound": it is about to leave.
        name: the member's full name, e.g. "conductor.execute".
        member: its descriptor; None for an event that a client knows by its name alone.
        payload: the request, or the event's value, validated.
        context: what else is known.
        state: what middleware notes; it lives as long as the passage.
    """

    kind: Kind
    direction: Direction
    name: str
    member: Member | None
    payload: P = field(repr=False)
    context: MessageContext = field(default_factory=MessageContext)
    state: State = field(default_factory=State)

    def replace(
        self,
        *,
        payload: P = _UNCHANGED,
        deadline: float | None = _UNCHANGED,
        trace: str | None = _UNCHANGED,
    ) -> Message[P]:
        """The same message but for what is given.

        Args:
            payload: validated again before a handler gets it, or before it leaves.
            deadline: on the loop's clock, in seconds; None: never.
            trace: a W3C traceparent, or None.
        """
        context = self.context
        if deadline is not _UNCHANGED:
            context = replace(context, deadline=deadline)
        if trace is not _UNCHANGED:
            context = replace(context, trace=trace)
        value = self.payload if payload is _UNCHANGED else payload
        return Message(self.kind, self.direction, self.name, self.member, value, context, self.state)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What `drop` gives, and what `next` gives for an event that was dropped further in."""

    reason: str


def drop(reason: str) -> Dropped:
    """Let an event go no further: `return drop("too_old")`.

    Args:
        reason: `broker.dropped` and `bus.dropped` count by it.

    Raises:
        ValueError: there is none.
    """
    if not reason:
        raise ValueError('drop() takes a reason, as drop("too_old")')
    return Dropped(reason)


class Next(Protocol[PayloadT, ResultT_co]):
    """The rest of the way: `await next(message)`.

    It gives a call's answer, an async iterator of a stream's items, and for an event nothing, or `Dropped`.
    """

    def __call__(self, message: Message[PayloadT], /) -> Coroutine[Any, Any, ResultT_co]:
        """Go on with this message, which is the one that was given or a `replace` of it.

        Raises:
            MiddlewareError: it succeeded already, is still running, or the middleware has returned.
        """


Middleware = Callable[[Message[P], Next[P, R]], Awaitable[R]]
"""For a call with the request `P` and the answer `R`."""

StreamMiddleware = Callable[[Message[P], Next[P, AsyncIterator[ItemT]]], Awaitable[AsyncIterator[ItemT]]]
"""For a stream with the request `P` and the items `ItemT`."""

EventMiddleware = Callable[[Message[P], Next[P, Dropped | None]], Awaitable[Dropped | None]]
"""For an event with the payload `P`."""

AnyMiddleware = Callable[[Message[Any], Next[Any, Any]], Awaitable[Any]]
"""For whatever passes."""

End = Callable[[Message[Any]], Awaitable[Any]]
"""What stands innermost: runs the handler, or sends."""
