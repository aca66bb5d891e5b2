"""The bus: what a Python client types."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from typing_extensions import TypeVar

from ionbus.client.client_session import ClientSession
from ionbus.contract.contract import Contract
from ionbus.contract.members import Call, Event, Stream
from ionbus.contract.received import Received
from ionbus.dispatch.context import UNSET
from ionbus.dispatch.reader import StreamReader
from ionbus.dispatch.shapes import ServesCall, ServesPlainCall, ServesPlainStream, ServesStream
from ionbus.dispatch.subscription import EventReader
from ionbus.errors import IonbusError
from ionbus.events.filters import FilterData
from ionbus.events.lifetimes import Until
from ionbus.events.options import Where
from ionbus.events.subscription import Subscription, SubscriptionInfo
from ionbus.generated.states import ConnectionState
from ionbus.session.connection import StateChange

if TYPE_CHECKING:
    from ionbus.middleware.message import (
        AnyMiddleware,
        Direction,
        EventMiddleware,
        Kind,
        Middleware,
        StreamMiddleware,
    )
    from ionbus.observe.metrics import Metrics

P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")


class Bus:
    """A client's side of its session with a broker; `connect` makes one.

    Calls, events and subscriptions made while there is no channel wait for the next one.
    """

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"<Bus {self.state}>"

    # The connection.

    @property
    def state(self) -> ConnectionState:
        """Where the connection is: connecting, open, unresponsive, reconnecting or closed."""
        return self._session.link.state

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """How many of this client's events never reached the broker, by name and reason (docs/delivery.md)."""
        return self._session.dropped

    def metrics(self) -> Metrics:
        """What this client knows of itself, as plain data (docs/observability.md)."""
        from ionbus.observe.bus_metrics import bus_metrics  # noqa: PLC0415 - only who asks needs it

        return bus_metrics(self._session)

    def on_state(self, watch: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call a function with each change of state; gives a function that ends this."""
        return self._session.state_watchers.add(watch)

    def on_error(self, watch: Callable[[IonbusError], object]) -> Callable[[], None]:
        """Call a function with what the broker refuses after it was accepted here; gives a function that ends this."""
        return self._session.error_watchers.add(watch)

    def reconnect(self) -> None:
        """Try now instead of after the wait: the network is back."""
        self._session.link.retry()

    async def close(self) -> None:
        """End the session. What was emitted before leaves first, as far as the channel takes it."""
        await self._session.close()

    # Requests and events.

    @overload
    def call(
        self, call: Call[None, ResponseT, Literal["broker"]], *, timeout: float | None = ...
    ) -> Coroutine[Any, Any, ResponseT]: ...
    @overload
    def call(
        self,
        call: Call[RequestT, ResponseT, Literal["broker"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> Coroutine[Any, Any, ResponseT]: ...
    def call(self, call: Any, request: Any = None, *, timeout: Any = UNSET) -> Coroutine[Any, Any, Any]:
        """Call the broker and wait for its answer: `result = await bus.call(...)`.

        Args:
            call: a call that the broker serves.
            request: its payload; left out where it is None.
            timeout: seconds; None: for ever; the contract's where it is left out.

        Raises:
            InvalidPayload: the request does not fit the contract, or the answer does not.
            ContractError: an error that the call declares.
            CallTimeout: no answer in time; the handler is told to stop.
            InternalError: the handler failed; its `incident_id` is in the broker's log.
            NotFound, NotAllowed, TooLarge, ContractMismatch: the broker refuses it.
            SessionLost, ConnectionLost: the session ended before the answer came.
        """
        return self._session.call(call, request, timeout=timeout)

    @overload
    def stream(
        self, stream: Stream[None, ItemT, Literal["broker"]], *, timeout: float | None = ...
    ) -> StreamReader[ItemT]: ...
    @overload
    def stream(
        self,
        stream: Stream[RequestT, ItemT, Literal["broker"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> StreamReader[ItemT]: ...
    def stream(self, stream: Any, request: Any = None, *, timeout: Any = UNSET) -> StreamReader[Any]:
        """Read a stream: `async with bus.stream(...) as items: async for item in items`.

        Leaving the block early stops the handler. Items come with back-pressure: the handler waits for a slow reader.

        Args:
            stream: a stream that the broker serves.
            request: its payload; left out where it is None.
            timeout: seconds for the whole stream; None: for ever; the contract's where it is left out.

        Raises:
            InvalidPayload: the request does not fit the contract.
        """
        return self._session.stream(stream, request, timeout=timeout)

    @overload
    def emit(self, event: Event[None, Literal["client", "any"]]) -> Coroutine[Any, Any, None]: ...
    @overload
    def emit(self, event: Event[P, Literal["client", "any"]], payload: P) -> Coroutine[Any, Any, None]: ...
    def emit(self, event: Any, payload: Any = None) -> Coroutine[Any, Any, None]:
        """Publish an event: `await bus.emit(...)`.

        It is accepted when it is valid, permitted and in credit; a later refusal goes to `on_error`.

        Raises:
            InvalidPayload: the payload does not fit the contract.
            NotAllowed: the event is the broker's.
            SessionLost, ConnectionLost: the connection is closed.
        """
        return self._session.emit(event, payload)

    # Middleware.

    @overload
    def use(
        self,
        middleware: Middleware[RequestT, ResponseT],
        what: Call[RequestT, ResponseT, Any],
        *,
        direction: Direction | None = ...,
    ) -> None: ...
    @overload
    def use(
        self,
        middleware: StreamMiddleware[RequestT, ItemT],
        what: Stream[RequestT, ItemT, Any],
        *,
        direction: Direction | None = ...,
    ) -> None: ...
    @overload
    def use(
        self, middleware: EventMiddleware[P], what: Event[P, Any], *, direction: Direction | None = ...
    ) -> None: ...
    @overload
    def use(
        self,
        middleware: AnyMiddleware,
        what: type[Contract] | str | None = ...,
        *,
        kind: Kind | None = ...,
        direction: Direction | None = ...,
    ) -> None: ...
    def use(
        self,
        middleware: Any,
        what: Any = None,
        *,
        kind: Kind | None = None,
        direction: Direction | None = None,
    ) -> None:
        """Let a middleware stand around what passes from now on, as `Broker.use`; a client knows its broker's names by its contracts alone.

        Args:
            middleware: `async def middleware(message, next)`, or one that `ionbus.middleware` ships.
            what: a contract, a member, or a pattern as `"conductor.*"`; everything where it is left out.
            kind: only calls, streams or events.
            direction: only what arrives, or what leaves.

        Raises:
            TypeError: it is no middleware, or `what` is nothing that passes.
            ValueError: the pattern is malformed, or there is no such kind or direction.
        """
        self._session.use(middleware, what, kind, direction)

    # Subscriptions and handlers.

    @overload
    def on(
        self,
        what: Event[P, Any],
        listener: Callable[[P], object],
        *,
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: Where[P] | FilterData | str | None = ...,
        distinct: bool = ...,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    @overload
    def on(
        self,
        what: Event[P, Any],
        listener: Callable[[list[P]], object],
        *,
        batch: tuple[int, float],
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: Where[P] | FilterData | str | None = ...,
        distinct: bool = ...,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    @overload
    def on(
        self,
        what: str | type[Contract],
        listener: Callable[[Received[object]], object],
        *,
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: FilterData | str | None = ...,
        distinct: bool = ...,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    @overload
    def on(
        self,
        what: str | type[Contract],
        listener: Callable[[list[Received[object]]], object],
        *,
        batch: tuple[int, float],
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: FilterData | str | None = ...,
        distinct: bool = ...,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    def on(self, what: Any, listener: Callable[[Any], object], **some: Any) -> Subscription:
        """Listen to events: a function that is called with each, or an `async def` that is started with each.

        Listeners start in order and do not wait for one another. What is asked for besides is done by the broker, so that what is not
        wanted never travels (docs/aggregation.md).

        Args:
            what: an event, a contract (all its events), or a pattern as `"conductor.*"`. The last two give `Received`.
            listener: what to call.
            every: at most one event in so many seconds, the newest; with `latest_by` the newest of each key.
            latest_by: the field, or fields, that tell events apart, spelled as on the wire: the newest takes the place of one that waits.
            batch: a count and seconds: the listener is called with a list, of so many or of what there is after that time.
            where: which events: a function that describes it, as `lambda p: (p.percent >= 50) & (p.state == "done")`, which is called
                once and not with events; text, as `"percent >= 50"`; or plain data.
            distinct: no event that is the same as the one before, of its key.
            weak: only for as long as somebody else holds the function, or the object whose method it is.
            until: only until this ends: a task or another future; or a `TaskGroup`: then the listener's calls are tasks of it, and
                it is closed when the group takes none any more (docs/events.md).

        Returns:
            The subscription; closing it ends this.

        Raises:
            TypeError: `what` is nothing to listen to, or the listener no function.
            ValueError: a malformed pattern, or something asked for that makes no sense or does not fit the event.
        """
        return self._session.on(what, listener, **some)

    @overload
    def once(
        self,
        what: Event[P, Any],
        listener: Callable[[P], object],
        *,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    @overload
    def once(
        self,
        what: str | type[Contract],
        listener: Callable[[Received[object]], object],
        *,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    def once(
        self, what: Any, listener: Callable[[Any], object], *, weak: bool = False, until: Until | None = None
    ) -> Subscription:
        """Listen to the next event alone: the subscription is closed before the listener is called."""
        return self._session.on(what, listener, once=True, weak=weak, until=until)

    def off(
        self, what: Event[Any, Any] | str | type[Contract], listener: Callable[..., object] | None = None
    ) -> int:
        """Close the subscriptions for exactly this; gives how many.

        Args:
            what: as it was given to `on`.
            listener: whose; all where it is left out.
        """
        return self._session.off(what, listener)

    @overload
    async def wait_for(
        self, event: Event[P, Any], where: Callable[[P], object] | None = ..., timeout: float | None = ...
    ) -> P: ...
    @overload
    async def wait_for(
        self,
        event: str | type[Contract],
        where: Callable[[Received[object]], object] | None = ...,
        timeout: float | None = ...,
    ) -> Received[object]: ...
    async def wait_for(
        self,
        event: Any,
        where: Callable[[Any], object] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait for the next event, or for the next for which `where` is true.

        Args:
            event: as for `on`.
            where: given the payload; what it raises is raised here.
            timeout: seconds; None: for ever.

        Raises:
            TimeoutError: none came in time.
            IonbusError: the broker refuses the subscription, or the connection was closed.
        """
        return await self._session.wait_for(event, where, timeout)

    def subscriptions(self) -> list[SubscriptionInfo]:
        """What listens to what here. The broker knows one subscription for all listeners that want the same."""
        return self._session.subscriptions()

    @overload
    def events(
        self,
        what: Event[P, Any],
        *,
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: Where[P] | FilterData | str | None = ...,
        distinct: bool = ...,
    ) -> EventReader[P]: ...
    @overload
    def events(
        self,
        what: Event[P, Any],
        *,
        batch: tuple[int, float],
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: Where[P] | FilterData | str | None = ...,
        distinct: bool = ...,
    ) -> EventReader[list[P]]: ...
    @overload
    def events(
        self,
        what: str | type[Contract],
        *,
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: FilterData | str | None = ...,
        distinct: bool = ...,
    ) -> EventReader[Received[object]]: ...
    @overload
    def events(
        self,
        what: str | type[Contract],
        *,
        batch: tuple[int, float],
        every: float | None = ...,
        latest_by: str | Sequence[str] | None = ...,
        where: FilterData | str | None = ...,
        distinct: bool = ...,
    ) -> EventReader[list[Received[object]]]: ...
    def events(self, what: Any, **some: Any) -> EventReader[Any]:
        """Take events one at a time: `async with bus.events(...) as events: async for event in events`.

        An event counts as consumed when it is taken, so that a slow reader slows its sender down.

        Args:
            what: as for `on`.
            some: `every`, `latest_by`, `batch`, `where` and `distinct`, as for `on`; with `batch` each item is a list.

        Raises:
            TypeError, ValueError: as for `on`.
        """
        return self._session.events(what, **some)

    @overload
    def handle(self, member: Call[None, ResponseT, Literal["client"]]) -> ServesPlainCall[ResponseT]: ...
    @overload
    def handle(
        self, member: Call[RequestT, ResponseT, Literal["client"]]
    ) -> ServesCall[RequestT, ResponseT]: ...
    @overload
    def handle(self, member: Stream[None, ItemT, Literal["client"]]) -> ServesPlainStream[ItemT]: ...
    @overload
    def handle(self, member: Stream[RequestT, ItemT, Literal["client"]]) -> ServesStream[RequestT, ItemT]: ...
    def handle(self, member: Any) -> Any:
        """Decorate the function that answers a call or stream of the broker.

        Raises:
            TypeError: the client does not serve it, it has a handler already, or the function does not fit it.
        """
        return self._session.handle(member)
