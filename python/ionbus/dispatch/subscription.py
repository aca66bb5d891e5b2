"""A client's subscriptions: what it listens to, and how the broker is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from ionbus.dispatch.handouts import Handouts, Kept
from ionbus.dispatch.runner import Habit
from ionbus.dispatch.waiting import Waiters, wait_with, wake
from ionbus.errors import CallCancelled, IonbusError
from ionbus.events.options import Aggregation
from ionbus.events.patterns import PatternTable
from ionbus.generated.protocol import Message
from ionbus.session.outbox import Entry
from ionbus.wire.messages import encode_message

if TYPE_CHECKING:
    from ionbus.dispatch.peer import Peer

P = TypeVar("P")

EVERYTHING: Final = Aggregation()
"""Every event, each time, one by one."""

Decode = Callable[[str, bytes], Any]
"""From an event's name and payload to what its listener is given."""


class Subscription:
    """One listener. Calling it, `close()` and leaving its `with` block all end it."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        number: int,
        pattern: str,
        decode: Decode,
        function: Callable[..., Any],
        asked: Aggregation,
    ) -> None:
        self.asked = asked
        """What it wants of the events."""
        self.pattern = pattern
        self.number = number
        self._subscriptions = subscriptions
        self._decode = decode
        self._function = function
        self._habit = Habit()
        self._answer: asyncio.Future[None] = subscriptions.peer.loop.create_future()

    def __repr__(self) -> str:
        return f"<Subscription {self.number} {self.pattern}{'' if self.is_open else ' closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether it still listens."""
        return self in self._subscriptions

    def close(self) -> None:
        """Listen no more; a second time changes nothing."""
        self._subscriptions.remove(self)

    def __call__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def confirmed(self) -> None:
        """Wait until the broker says that it is in force. There is no need to before a call: order is kept.

        Raises:
            IonbusError: the broker refuses it, or it is closed or the session ends first.
        """
        await asyncio.shield(self._answer)

    # For the peer.

    def decode(self, name: str, payload: bytes) -> Any:
        """What the listener is given."""
        return self._decode(name, payload)

    def hand(self, value: Any) -> Kept | None:
        """Start the listener."""
        self._subscriptions.peer.listeners.listen(self._function(value), self._habit)
        return None

    def answered(self, error: IonbusError | None) -> None:
        """SUBSCRIBED has arrived, or will never."""
        if self._answer.done():
            return
        if error is None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)
            self._answer.exception()  # whoever does not wait for it learns it from on_error


class Subscriptions:
    """All subscriptions of a bus.

    Args:
        peer: tells the broker.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.handouts = Handouts(peer.listeners, peer.consumed, peer.refuse)
        self._table: PatternTable[Subscription] = PatternTable()
        self._by_number: dict[
            int, Subscription
        ] = {}  # also those that ask for some only, whose events are addressed to them
        self._last = 0
        self.readers: set[EventReader[Any]] = set()
        """Those that are inside their block."""

    def __contains__(self, subscription: Subscription) -> bool:
        return subscription.number in self._by_number

    def matching(self, name: str) -> tuple[Subscription, ...]:
        """Those that want an event each time."""
        return self._table.matching(name)

    def numbered(self, numbers: list[int]) -> list[Subscription]:
        """Those with these numbers that still listen."""
        found = [self._by_number.get(number) for number in numbers]
        return [subscription for subscription in found if subscription is not None]

    def add(
        self,
        pattern: str,
        decode: Decode,
        function: Callable[..., Any],
        kind: type[Subscription] = Subscription,
        asked: Aggregation = EVERYTHING,
    ) -> Subscription:
        """Listen to a pattern, and tell the broker."""
        self._last += 1
        subscription = kind(self, self._last, pattern, decode, function, asked)
        self._by_number[subscription.number] = subscription
        if not asked:
            self._table.add(subscription.number, pattern, subscription)
        try:
            self.peer.raise_if_ended()
        except IonbusError as error:
            subscription.answered(error)
        else:
            self._tell(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Listen no more, and tell the broker."""
        if self._by_number.pop(subscription.number, None) is None:
            return
        self._table.remove(subscription.number)
        subscription.answered(CallCancelled(f"{subscription.pattern}: closed before the broker confirmed it"))
        if not self.peer.is_ended:
            self.peer.send(encode_message(Message.UNSUBSCRIBE, subscription.number))

    def answered(self, number: int, error: IonbusError | None) -> str | None:
        """SUBSCRIBED has arrived; gives the pattern of a subscription that was refused."""
        subscription = self._by_number.get(number)
        if subscription is None:
            return None
        if error is not None:
            del self._by_number[number]
            self._table.remove(number)
        subscription.answered(error)
        return None if error is None else subscription.pattern

    def tell_again(self) -> None:
        """A new session knows none of them."""
        for subscription in self._by_number.values():
            self._tell(subscription)

    def end(self, error: IonbusError) -> None:
        """The session has ended for good."""
        for subscription in self._by_number.values():
            subscription.answered(type(error)(error.message))
        for reader in self.readers:
            reader.end()

    def _tell(self, subscription: Subscription) -> Entry:
        options = subscription.asked.to_wire() or None
        return self.peer.send(
            encode_message(Message.SUBSCRIBE, subscription.number, subscription.pattern, options)
        )


class _Queued(Subscription):
    """Keeps the events until they are taken: the credit for each returns only then."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.events: deque[Kept] = deque()
        self._refused: IonbusError | None = None

    def hand(self, value: Any) -> Kept | None:
        kept = Kept(value)
        self.events.append(kept)
        self._function()
        return kept

    def answered(self, error: IonbusError | None) -> None:
        super().answered(error)
        self._refused = error
        self._function()

    def raise_if_refused(self) -> None:
        """Raise why the broker refuses it, if it does."""
        if self._refused is not None:
            raise type(self._refused)(self._refused.message)


class EventReader(Generic[P]):
    """Events one at a time, with back-pressure: `async with bus.events(...) as events: async for event in events`."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        pattern: str,
        decode: Decode,
        asked: Aggregation = EVERYTHING,
    ) -> None:
        self._asked = asked
        self._subscriptions = subscriptions
        self._pattern = pattern
        self._decode = decode
        self._queue: _Queued | None = None
        self._waiters: Waiters = set()

    async def __aenter__(self) -> Self:
        queue = self._subscriptions.add(self._pattern, self._decode, self._wake, _Queued, self._asked)
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

    def _wake(self) -> None:
        wake(self._waiters)
