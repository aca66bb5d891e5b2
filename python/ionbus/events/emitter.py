"""Typed events inside one process: the emitter, by itself what a broker and a bus are for others.

Its semantics are a table in docs/events.md, each row of which is a case in schemas/cases/emitter.json.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from inspect import isasyncgen, isawaitable, iscoroutinefunction, isgenerator
from types import TracebackType
from typing import Any, Final, Self, overload

from typing_extensions import TypeVar

from ionbus.contract.contract import Contract
from ionbus.contract.members import Event
from ionbus.contract.received import Received
from ionbus.errors import CallCancelled
from ionbus.events.failures import OnError
from ionbus.events.lifetimes import Until, nobody_runs
from ionbus.events.names import Names, Wanted, wanted
from ionbus.events.next_event import next_event
from ionbus.events.reader import LIMIT, Full, Overflow, Reader
from ionbus.events.registry import MAX_LISTENERS, Registry
from ionbus.events.subscription import Subscription, SubscriptionInfo
from ionbus.events.under_way import CHAIN, Passage, Tally, UnderWay

P = TypeVar("P")
R = TypeVar("R")

MAX_DEPTH: Final = 32
"""Emits within emits."""
MAX_UNDER_WAY: Final = 10_000
"""Emits of one event whose listeners are under way: more are a recursion that waits in between."""

_Emitted = Event[Any, Any]


class _Route(Tally):
    """What is the same for each emit of an event."""

    __slots__ = ("check", "name")

    def __init__(self, event: _Emitted) -> None:
        super().__init__()
        self.name = event.name
        self.check = event.payload.check


class Emitter:
    """Calls listeners with typed events, in this process. Like a loop's other objects it is not for several threads.

        emitter = Emitter(Conductor)

        @emitter.on(Conductor.progress)
        async def show(progress: NodeProgress) -> None: ...

        await emitter.emit(Conductor.progress, NodeProgress(...))

    Args:
        contracts: whose events it is for; without any it takes those of every contract.
        on_error: told of each failure of a listener; without it they are logged.
        max_listeners: more for one event or pattern are told of in the log, as a leak.
        max_depth: how deep emits may be nested: the emits of listeners that an emit has called, and so on.
        listener_timeout: seconds after which an async listener is cancelled, told of as a failure, and no longer waited for; None: never.

    Raises:
        TypeError: what is given as a contract is none, or `on_error` is no plain function.
        ValueError: a bound is none.
    """

    def __init__(
        self,
        *contracts: type[Contract],
        on_error: OnError | None = None,
        max_listeners: int = MAX_LISTENERS,
        max_depth: int = MAX_DEPTH,
        listener_timeout: float | None = None,
    ) -> None:
        if iscoroutinefunction(on_error):
            raise TypeError("on_error is called and not awaited: give a plain function")
        if max_depth < 1:
            raise ValueError(f"max_depth is how deep emits may be nested, 1 or more, not {max_depth}")
        if listener_timeout is not None and not listener_timeout > 0:
            raise ValueError(f"listener_timeout is seconds, above 0, or None, not {listener_timeout}")
        self._names = Names(contracts)
        self._registry = Registry(max_listeners, on_error)
        self._under_way = UnderWay(self._registry.failed, listener_timeout)
        self._max_depth = max_depth
        self._routes: dict[_Emitted, _Route] = {}
        self._nested: list[str] = []  # the events whose plain listeners are being called right now
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Emitter with {len(self._registry)} listeners{' closed' if self._is_closed else ''}>"

    # Listening.

    @overload
    def on(
        self,
        what: Event[P, Any],
        listener: Callable[[P], object],
        *,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    @overload
    def on(
        self,
        what: str | type[Contract],
        listener: Callable[[Received[object]], object],
        *,
        weak: bool = ...,
        until: Until | None = ...,
    ) -> Subscription: ...
    @overload
    def on(
        self, what: Event[P, Any], *, weak: bool = ..., until: Until | None = ...
    ) -> Callable[[Callable[[P], R]], Callable[[P], R]]: ...
    @overload
    def on(
        self, what: str | type[Contract], *, weak: bool = ..., until: Until | None = ...
    ) -> Callable[[Callable[[Received[object]], R]], Callable[[Received[object]], R]]: ...
    def on(self, what: Any, listener: Any = None, *, weak: bool = False, until: Until | None = None) -> Any:
        """Call a function with each event, or start an `async def` with it; without `listener` it is a decorator.

        Args:
            what: an event, a contract (its events and those of the contracts in it), or a pattern as `"conductor.*"`. The last two
                give `Received`.
            listener: what to call. What it returns is ignored, and waited for where it can be.
            weak: only for as long as somebody else holds the function, or the object whose method it is.
            until: only until this ends: a task or another future, a session; or a `TaskGroup`: then the listener's calls are
                tasks of it, and it is closed when the group takes none any more.

        Returns:
            The subscription; closing it ends this. As a decorator, the function.

        Raises:
            TypeError: `what` is nothing to listen to, or the listener no function, or one that yields.
            ValueError: a malformed pattern.
            NotFound: no event of the emitter's contracts; the message suggests the nearest.
            RuntimeError: the emitter is closed.
        """
        return self._on(what, listener, once=False, weak=weak, until=until)

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
    @overload
    def once(
        self, what: Event[P, Any], *, weak: bool = ..., until: Until | None = ...
    ) -> Callable[[Callable[[P], R]], Callable[[P], R]]: ...
    @overload
    def once(
        self, what: str | type[Contract], *, weak: bool = ..., until: Until | None = ...
    ) -> Callable[[Callable[[Received[object]], R]], Callable[[Received[object]], R]]: ...
    def once(self, what: Any, listener: Any = None, *, weak: bool = False, until: Until | None = None) -> Any:
        """The same for the next one alone: the subscription is closed before the listener is called."""
        return self._on(what, listener, once=True, weak=weak, until=until)

    def off(
        self, what: Event[Any, Any] | str | type[Contract], listener: Callable[..., object] | None = None
    ) -> int:
        """Close the subscriptions for exactly this; gives how many.

        Args:
            what: as it was given to `on`.
            listener: whose; all where it is left out.
        """
        return self._registry.off(wanted(what), listener)

    @overload
    def events(self, what: Event[P, Any], *, limit: int = ..., overflow: Overflow = ...) -> Reader[P]: ...
    @overload
    def events(
        self, what: str | type[Contract], *, limit: int = ..., overflow: Overflow = ...
    ) -> Reader[Received[object]]: ...
    def events(self, what: Any, *, limit: int = LIMIT, overflow: Overflow = "wait") -> Reader[Any]:
        """Take events one at a time: `async with emitter.events(...) as events: async for event in events`.

        Args:
            what: as for `on`.
            limit: how many are kept that were not taken.
            overflow: what becomes of those beyond it. `"wait"`: `emit` waits until there is room (`emit_nowait`
                cannot: there it is `"fail"`). `"oldest"`: the oldest gives way. `"newest"`: they are dropped. `"fail"`: the reader is
                given what came before, then raises `SlowConsumer`.

        Raises:
            TypeError: no such policy, or a limit below 1. Else as for `on`.
        """
        found = self._check(what)
        return Reader(lambda hear: self._add(found, hear), found.pattern, limit, overflow)

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
            CallCancelled: the emitter was closed.
        """
        found = self._check(event)
        closed = CallCancelled(f"{found.pattern}: the emitter was closed before such an event")
        return await next_event(
            lambda hear: self._add(found, hear), found.pattern, where, timeout, lambda _: closed
        )

    # Emitting.

    @overload
    def emit(self, event: Event[None, Any]) -> Coroutine[Any, Any, None]: ...
    @overload
    def emit(self, event: Event[P, Any], payload: P) -> Coroutine[Any, Any, None]: ...
    async def emit(self, event: Any, payload: Any = None) -> None:
        """Call all listeners, and wait until every one has ended.

        Plain functions are called at once, in the order in which all were added; `async def` ones begin behind them, in the same order,
        and do not wait for one another. A listener's failure is not one of `emit`. Cancelled, it waits no more; the listeners run on.

        Raises:
            InvalidPayload: the payload does not fit the contract; no listener was called.
            NotFound: no event of the emitter's contracts.
            RecursionError: emits are nested too deep, or too many of this event are under way; the message names the events.
            RuntimeError: the emitter is closed.
        """
        passage = self._publish(event, payload, waits=True)
        if passage is not None:
            await passage.wait()

    @overload
    def emit_nowait(self, event: Event[None, Any]) -> None: ...
    @overload
    def emit_nowait(self, event: Event[P, Any], payload: P) -> None: ...
    def emit_nowait(self, event: Any, payload: Any = None) -> None:
        """The same, without waiting for those that wait for something: `idle` does, for all of them.

        Raises:
            InvalidPayload, NotFound, RecursionError, RuntimeError: as for `emit`.
        """
        self._publish(event, payload, waits=False)

    async def idle(self) -> None:
        """Wait until no listener is under way, those included that are started meanwhile."""
        await self._under_way.idle()

    # Looking, and the end.

    def subscriptions(self) -> list[SubscriptionInfo]:
        """What is in force, in the order in which it was added."""
        return self._registry.infos

    async def aclose(self) -> None:
        """Take no listener and no event any more, and wait for the listeners that are under way; cancelled, cancel them.

        Readers are given what they have, then the end; who waits for an event is told. A second time changes nothing.
        """
        self._close()
        try:
            await self._under_way.idle()
        except asyncio.CancelledError:
            await self._under_way.cancel()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it. Where the block has failed, listeners under way are cancelled."""
        if error is None:
            await self.aclose()
        else:
            self._close()
            await self._under_way.cancel()

    # Inside.

    def _close(self) -> None:
        self._is_closed = True
        self._routes.clear()
        self._registry.close()

    def _on(self, what: Any, listener: Any, *, once: bool, weak: bool, until: Until | None) -> Any:
        found = self._check(what)

        def add(function: Any) -> Any:
            self._add(found, function, once=once, weak=weak, until=until)
            return function

        if listener is None:
            return add
        return self._add(found, listener, once=once, weak=weak, until=until)

    def _add(self, what: Wanted, listener: Callable[[Any], object], **options: Any) -> Subscription:
        self._raise_if_closed()
        return Subscription(self._registry, what, listener, **options)

    def _check(self, what: Any) -> Wanted:
        found = wanted(what)
        if found.takes_received:
            self._names.check_pattern(found.pattern)
        else:
            self._names.check_event(what)
        return found

    def _raise_if_closed(self) -> None:
        if self._is_closed:
            raise RuntimeError("the emitter is closed")

    def _open(self, event: Any) -> _Route:
        """The way of an event that is emitted for the first time."""
        self._raise_if_closed()
        if not isinstance(event, Event):
            raise TypeError(f"emit() takes an event, not {event!r}")
        self._names.check_event(event)
        route = self._routes[event] = _Route(event)
        return route

    def _publish(self, event: Any, payload: Any, *, waits: bool) -> Passage | None:
        """Call all listeners; gives what to wait for, if there is something."""
        route = self._routes.get(event) or self._open(event)
        try:
            value = route.check(payload, by_alias=True, by_name=True)
        except Exception:  # noqa: BLE001 - `validate` raises what is to be told
            value = event.payload.validate(payload)
        subscriptions = self._registry.matching(route.name)
        if not subscriptions:
            return None
        nested, led_here = self._nested, CHAIN.get()
        if len(nested) + len(led_here) >= self._max_depth or route.under_way >= MAX_UNDER_WAY:
            raise self._too_many(route)
        nested.append(route.name)
        received: Received[Any] | None = None
        passage: Passage | None = None
        try:
            for subscription in subscriptions:
                if not subscription.is_open:
                    continue
                subscription.calls += 1
                given = value
                if subscription.takes_received:
                    given = received = received or Received(route.name, value)
                call = subscription.call
                if subscription.is_once:
                    subscription.close()
                if subscription.is_async:
                    if passage is None:
                        passage = Passage(route)
                    self._under_way.begin(subscription, call, given, passage, (*led_here, *nested))
                else:
                    try:
                        result = call(given)
                    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever the user's function raises
                        self._registry.failed(subscription, given, error)
                        continue
                    if result is not None:
                        passage = self._look_at(subscription, given, result, passage, route, waits=waits)
        finally:
            nested.pop()
        return passage

    def _look_at(
        self,
        subscription: Subscription,
        value: Any,
        result: object,
        passage: Passage | None,
        route: _Route,
        *,
        waits: bool,
    ) -> Passage | None:
        """See what a listener has returned."""
        if isinstance(result, Full) and not waits:
            result.refuse()
            return passage
        if isgenerator(result) or isasyncgen(result):
            self._registry.failed(subscription, value, nobody_runs(result))
            return passage
        if isinstance(result, Full):
            passage = passage or Passage(route)
            passage.begun()
            result.wait(passage.ended)
        elif isawaitable(result):
            passage = passage or Passage(route)
            self._under_way.watch(subscription, value, result, passage, (*CHAIN.get(), *self._nested))
        return passage

    def _too_many(self, route: _Route) -> RecursionError:
        chain = " > ".join((*CHAIN.get(), *self._nested, route.name))
        if route.under_way >= MAX_UNDER_WAY:
            return RecursionError(
                f"{route.under_way} emits of {route.name} are under way: does a listener emit what it hears? ({chain})"
            )
        return RecursionError(f"emits are nested deeper than max_depth={self._max_depth}: {chain}")
