"""A client's subscriptions: what it listens to, and how the broker is told.

The broker knows one subscription for all listeners that want the same, from the first of them to the last. One that joins
is in force at once; it asks for the newest `latest` events by a snapshot, which the broker answers and forgets (docs/protocol.md, section 5.2).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from inspect import isawaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from ionbus.dispatch.handouts import Handouts, Kept
from ionbus.dispatch.runner import Habit, Work
from ionbus.dispatch.waiting import Waiters, wait_with, wake
from ionbus.errors import CallCancelled, IonbusError
from ionbus.events.lifetimes import Listener
from ionbus.events.names import Wanted
from ionbus.events.options import Aggregation
from ionbus.events.registry import Registry
from ionbus.events.subscription import Subscription, SubscriptionInfo
from ionbus.generated.protocol import Message
from ionbus.wire.messages import encode_message

if TYPE_CHECKING:
    from ionbus.dispatch.peer import Peer

P = TypeVar("P")

log = logging.getLogger("ionbus")

EVERYTHING: Final = Aggregation()
"""Every event, each time, one by one."""

Decode = Callable[[str, bytes], Any]
"""From an event's name and payload to what its listener is given."""


class BusSubscription(Subscription):
    """One listener of a bus.

    Args:
        subscriptions: whose it is.
        registry: where it is kept.
        wanted: what it is for.
        decode: reads what it is given.
        listener: what is called.
        options: `once`, `weak` and `until`, as for `Subscription`.
    """

    __slots__ = (
        "_answer",
        "_decode",
        "_habit",
        "_is_answered",
        "_subscriptions",
        "refusal",
        "snapshot",
        "wire",
    )

    def __init__(
        self,
        subscriptions: Subscriptions,
        registry: Registry[BusSubscription],
        wanted: Wanted,
        decode: Decode,
        listener: Listener,
        **options: Any,
    ) -> None:
        self.wire: Wire | None = None
        """What it has at the broker."""
        self.snapshot: int | None = None
        """Under which number it has asked for the newest events."""
        self.refusal: IonbusError | None = None
        """Why it is not in force, if it is not."""
        self._subscriptions = subscriptions
        self._decode = decode
        self._habit = Habit()
        self._answer: asyncio.Future[None] | None = None
        self._is_answered = False
        super().__init__(registry, wanted, listener, **options)

    async def confirmed(self) -> None:
        """Wait until the broker says that it is in force. There is no need to before a call: order is kept.

        Raises:
            IonbusError: the broker refuses it, or it is closed or the session ends first.
        """
        if not self._is_answered:
            self._answer = self._answer or self._subscriptions.peer.loop.create_future()
            await asyncio.shield(self._answer)
        if self.refusal is not None:
            raise type(self.refusal)(self.refusal.message)

    # For the peer.

    def decode(self, name: str, payload: bytes) -> Any:
        """What the listener is given."""
        return self._decode(name, payload)

    def hand(self, value: Any) -> Kept | None:
        """Start the listener."""
        self.calls += 1
        call, listeners = self.call, self._subscriptions.peer.listeners
        if self.is_once:
            self.close()
        if not self.is_async:
            result = call(value)
            if result is not None:
                tracked = self.is_tracked and isawaitable(result)
                listeners.listen(self.watch(result) if tracked else result, self._habit)
        elif self.is_tracked or self._habit.waits:
            listeners.listen(self.run(call, value), self._habit)
        else:
            listeners.begin(_Turn(self, call, value, self._habit))
        return None

    def answered(self, error: IonbusError | None) -> None:
        """SUBSCRIBED has arrived, or will never."""
        if self._is_answered:
            return
        self._is_answered = True
        self.refusal = error
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)


class _Turn:
    """A listener that is called when it is its turn, unless it was closed by then."""

    __slots__ = ("_call", "_habit", "_subscription", "_value")

    def __init__(self, subscription: BusSubscription, call: Listener, value: Any, habit: Habit) -> None:
        self._subscription: BusSubscription | None = subscription
        self._call = call
        self._value = value
        self._habit = habit

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Work, Habit]:
        subscription, self._subscription = self._subscription, None
        if subscription is None or not (subscription.is_open or subscription.is_once):
            raise StopIteration
        try:
            work: Any = self._call(self._value)
        except Exception:
            log.exception("a listener of %s failed", subscription.pattern)
            raise StopIteration from None
        if work is None:  # it was weak, and is gone
            raise StopIteration
        return work, self._habit

    def close(self) -> None:
        """It shall not be called."""
        self._subscription = None


class Wire:
    """One subscription at the broker, and the listeners that share it."""

    __slots__ = ("asked", "is_answered", "key", "listeners", "number", "pattern")

    def __init__(self, number: int, pattern: str, asked: Aggregation, key: object) -> None:
        self.number = number
        self.pattern = pattern
        self.asked = asked
        self.key = key
        self.listeners: dict[BusSubscription, None] = {}
        self.is_answered = False


class Subscriptions:
    """All subscriptions of a bus.

    Args:
        peer: tells the broker.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.handouts = Handouts(peer.listeners, peer.consumed, peer.refuse)
        # Those that get an event each time; and those that ask for some only, whose events are addressed to them.
        self._each: Registry[BusSubscription] = self._registry()
        self._some: Registry[BusSubscription] = self._registry()
        self.matching = self._each.matching
        """Those that want an event each time."""
        self._wires: dict[object, Wire] = {}
        self._by_number: dict[int, Wire] = {}
        self._snapshots: dict[int, BusSubscription] = {}
        self._last = 0
        self.readers: set[EventReader[Any]] = set()
        """Those that are inside their block."""

    @property
    def infos(self) -> list[SubscriptionInfo]:
        """What is in force."""
        return self._each.infos + self._some.infos

    def numbered(self, numbers: Sequence[int]) -> list[BusSubscription]:
        """Those that events with these numbers are for."""
        found: list[BusSubscription] = []
        for number in numbers:
            wire = self._by_number.get(number)
            if wire is not None:
                found += wire.listeners
            elif number in self._snapshots:
                found.append(self._snapshots[number])
        return found

    def add(
        self,
        wanted: Wanted,
        decode: Decode,
        listener: Listener,
        kind: type[BusSubscription] = BusSubscription,
        asked: Aggregation = EVERYTHING,
        *,
        has_newest: bool = True,
        **options: Any,
    ) -> BusSubscription:
        """Listen, and tell the broker, unless it knows.

        Args:
            wanted: what for.
            decode: reads what the listener is given.
            listener: what is called.
            kind: what to make.
            asked: what it wants of the events.
            has_newest: whether there may be `latest` events among them.
            options: `once`, `weak` and `until`.
        """
        subscription = kind(self, self._some if asked else self._each, wanted, decode, listener, **options)
        if not subscription.is_open:  # what it was to last until is over
            subscription.answered(_closed(subscription))
            return subscription
        try:
            self.peer.raise_if_ended()
        except IonbusError as error:
            subscription.answered(error)
        else:
            self._join(subscription, asked, has_newest=has_newest)
        return subscription

    def off(self, wanted: Wanted, listener: object | None) -> int:
        """Close those for exactly this; gives how many."""
        return self._each.off(wanted, listener) + self._some.off(wanted, listener)

    def answered(self, number: int, error: IonbusError | None) -> bool:
        """SUBSCRIBED has arrived; gives whether anybody waited for it."""
        wire = self._by_number.get(number)
        if wire is None:
            return number in self._snapshots
        wire.is_answered = True
        if error is not None:
            self._forget(wire)
        for subscription in tuple(wire.listeners):
            subscription.answered(error)
            if error is not None:
                subscription.close()
        return True

    def tell_again(self) -> None:
        """A new session knows none of them."""
        for subscription in self._snapshots.values():
            subscription.snapshot = None
        self._snapshots.clear()
        for wire in self._by_number.values():
            self._tell(wire)

    def end(self, error: IonbusError) -> None:
        """The session has ended for good."""
        for wire in tuple(self._by_number.values()):
            for subscription in tuple(wire.listeners):
                subscription.answered(error)
                subscription.refusal = error
                subscription.close()
        for reader in self.readers:
            reader.end()

    # Inside.

    def _registry(self) -> Registry[BusSubscription]:
        return Registry(on_closed=self._left, on_vanished=self._sweep_soon)

    def _sweep_soon(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self.peer.loop.call_soon_threadsafe(self._sweep)

    def _sweep(self) -> None:
        self._each.sweep()
        self._some.sweep()

    def _join(self, subscription: BusSubscription, asked: Aggregation, *, has_newest: bool) -> None:
        """Take part in what the broker knows, or tell it."""
        pattern = subscription.pattern
        key = (pattern, asked)
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = Wire(self._next(), pattern, asked, key)
            self._by_number[wire.number] = wire
            self._tell(wire)
        elif wire.is_answered:
            subscription.answered(None)
            if has_newest:
                subscription.snapshot = self._next()
                self._snapshots[subscription.snapshot] = subscription
                options = {**asked.to_wire(), "snapshot": True}
                self.peer.send(encode_message(Message.SUBSCRIBE, subscription.snapshot, pattern, options))
        wire.listeners[subscription] = None
        subscription.wire = wire

    def _left(self, subscription: BusSubscription) -> None:
        """A listener was closed."""
        if subscription.snapshot is not None:
            self._snapshots.pop(subscription.snapshot, None)
        wire, subscription.wire = subscription.wire, None
        if wire is not None:
            subscription.answered(_closed(subscription))
            del wire.listeners[subscription]
            if not wire.listeners and wire.number in self._by_number:
                self._forget(wire)
                if not self.peer.is_ended:
                    self.peer.send(encode_message(Message.UNSUBSCRIBE, wire.number))

    def _forget(self, wire: Wire) -> None:
        del self._by_number[wire.number], self._wires[wire.key]

    def _tell(self, wire: Wire) -> None:
        self.peer.send(
            encode_message(Message.SUBSCRIBE, wire.number, wire.pattern, wire.asked.to_wire() or None)
        )

    def _next(self) -> int:
        self._last += 1
        return self._last


def _closed(subscription: BusSubscription) -> CallCancelled:
    return CallCancelled(f"{subscription.pattern}: closed before the broker confirmed it")


class _Queued(BusSubscription):
    """Keeps the events until they are taken: the credit for each returns only then."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        registry: Registry[BusSubscription],
        wanted: Wanted,
        decode: Decode,
        listener: Listener,
        **options: Any,
    ) -> None:
        self.events: deque[Kept] = deque()
        self._woken = listener
        super().__init__(subscriptions, registry, wanted, decode, listener, **options)

    def hand(self, value: Any) -> Kept | None:
        kept = Kept(value)
        self.calls += 1
        self.events.append(kept)
        self._woken(None)
        return kept

    def answered(self, error: IonbusError | None) -> None:
        super().answered(error)
        self._woken(None)

    def raise_if_refused(self) -> None:
        """Raise why the broker refuses it, if it does."""
        if self.refusal is not None:
            raise type(self.refusal)(self.refusal.message)


class EventReader(Generic[P]):
    """Events one at a time, with back-pressure: `async with bus.events(...) as events: async for event in events`."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        wanted: Wanted,
        decode: Decode,
        asked: Aggregation = EVERYTHING,
        *,
        has_newest: bool = True,
    ) -> None:
        self._asked = asked
        self._subscriptions = subscriptions
        self._wanted = wanted
        self._has_newest = has_newest
        self._decode = decode
        self._queue: _Queued | None = None
        self._waiters: Waiters = set()

    async def __aenter__(self) -> Self:
        queue = self._subscriptions.add(
            self._wanted, self._decode, self._wake, _Queued, self._asked, has_newest=self._has_newest
        )
        assert isinstance(queue, _Queued)
        self._queue = queue
        try:
            await queue.confirmed()
        except BaseException:
            queue.close()
            raise
        self._subscriptions.readers.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._subscriptions.readers.discard(self)
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()
            while queue.events:
                self._subscriptions.handouts.taken(queue.events.popleft())
            self._wake()

    def __aiter__(self) -> AsyncIterator[P]:
        return self

    async def __anext__(self) -> P:
        """The next event.

        Raises:
            RuntimeError: outside `async with`.
            IonbusError: the connection is closed.
        """
        peer = self._subscriptions.peer
        while (queue := self._queue) is not None and not queue.events:
            peer.raise_if_ended()
            queue.raise_if_refused()
            await wait_with(self._waiters, peer.loop)
        if queue is None:
            raise RuntimeError("events are read inside `async with`")
        kept = queue.events.popleft()
        self._subscriptions.handouts.taken(kept)
        event: P = kept.value
        return event

    def end(self) -> None:
        """The connection is closed: whoever waits is told."""
        self._wake()

    def _wake(self, _: object = None) -> None:
        wake(self._waiters)
