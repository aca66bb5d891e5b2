"""The listeners of one emitter, bus or broker: which there are, which are called for an event, and whether they pile up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic

from typing_extensions import TypeVar

from ionbus.contract.received import Received
from ionbus.events.call_sites import counted
from ionbus.events.failures import ListenerFailure, OnError, report, summary
from ionbus.events.names import Wanted
from ionbus.events.patterns import PatternTable
from ionbus.events.subscription import Subscription, SubscriptionInfo

log = logging.getLogger("ionbus")

MAX_LISTENERS: Final = 100
"""More for one thing are taken for a leak."""

S = TypeVar("S", bound=Subscription, default=Subscription)


class Registry(Generic[S]):
    """See the module.

    Args:
        max_listeners: more for one event or pattern are told of in the log, once.
        on_error: told of a listener's failure; None: it is logged.
        on_closed: told of each subscription that is closed.
        on_vanished: called when a weak listener is gone, by whichever thread has let it go; `sweep` then closes its subscription.
    """

    def __init__(
        self,
        max_listeners: int = MAX_LISTENERS,
        on_error: OnError | None = None,
        on_closed: Callable[[S], object] | None = None,
        on_vanished: Callable[[], object] | None = None,
    ) -> None:
        self._max_listeners = max_listeners
        self._on_error = on_error
        self._on_closed = on_closed
        self._on_vanished = on_vanished
        self._table: PatternTable[S] = PatternTable()
        self._told: set[str] = set()
        self._vanished: deque[S] = deque()
        self.matching = self._table.matching
        """The subscriptions that an event of a name is for, in the order in which they were added."""

    def __len__(self) -> int:
        return len(self._table)

    def add(self, subscription: S) -> None:
        """Keep one."""
        self.sweep()
        self._table.add(subscription, subscription.pattern, subscription)
        count = self._table.count(subscription.pattern)
        if count > self._max_listeners and subscription.pattern not in self._told:
            self._tell_of_leak(subscription.pattern, count)

    def remove(self, subscription: S) -> None:
        """One was closed; `Subscription.close` comes here."""
        self._table.remove(subscription)
        if self._on_closed is not None:
            self._on_closed(subscription)

    def off(self, wanted: Wanted, listener: object | None) -> int:
        """Close those for exactly this; gives how many.

        Args:
            wanted: what they are for.
            listener: whose; None: all.
        """
        self.sweep()  # those whose objects are gone are closed already, and do not count
        found = [
            each
            for each in self._table.under(wanted.pattern)
            if each.takes_received == wanted.takes_received and (listener is None or each.is_of(listener))
        ]
        for each in found:
            each.close()
        return len(found)

    def close(self) -> None:
        """Close all."""
        for each in self._table.values():
            each.close()

    def vanished(self, subscription: S) -> None:
        """The object of a weak listener is gone. This may be in the midst of anything, and on any thread."""
        if not subscription.is_open:
            return
        subscription.is_open = False
        self._vanished.append(subscription)
        if self._on_vanished is not None:
            self._on_vanished()

    def sweep(self) -> None:
        """Close those whose objects are gone."""
        while self._vanished:
            self._vanished.popleft().let_go()

    @property
    def infos(self) -> list[SubscriptionInfo]:
        """What is in force."""
        self.sweep()
        return [each.info for each in self._table.values()]

    def failed(self, subscription: S, value: Any, error: BaseException) -> None:
        """Tell of a listener that failed."""
        is_named = subscription.takes_received and isinstance(value, Received)
        name, payload = (value.name, value.payload) if is_named else (subscription.pattern, value)
        failure = ListenerFailure(name, subscription.name, summary(payload), error, subscription.pattern)
        report(failure, self._on_error)

    def _tell_of_leak(self, pattern: str, count: int) -> None:
        self._told.add(pattern)
        log.warning(
            "%d listeners for %s, more than max_listeners=%d: are some never closed? They were added: %s",
            count,
            pattern,
            self._max_listeners,
            counted(each.added_at for each in self._table.under(pattern)),
        )
