"""The newest value of each key of `latest` events, for whoever subscribes later."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator
from itertools import count
from typing import NamedTuple

from ionbus.wire.pieces import Encoded

_order = count()


class Newest(NamedTuple):
    """One event as it was emitted last. `order` rises through the whole process."""

    order: int
    key: Hashable
    message: Encoded
    cost: int


class LatestValues:
    """Newest values by event name and key.

    Args:
        max_keys: how many keys of an event are kept; the one that was written longest ago is forgotten.
        max_bytes: how many bytes of messages, likewise.
    """

    def __init__(self, max_keys: int, max_bytes: int) -> None:
        self._max_keys = max_keys
        self._max_bytes = max_bytes
        self._events: dict[str, OrderedDict[Hashable, Newest]] = {}
        self._sizes: Counter[str] = Counter()
        self.held_bytes = 0
        """Bytes of all messages that are kept."""

    def keep(self, name: str, key: Hashable, message: Encoded, cost: int) -> None:
        """Remember an event in the place of the one with the same key."""
        values = self._events.setdefault(name, OrderedDict())
        before = values.pop(key, None)
        values[key] = Newest(next(_order), key, message, cost)
        size = before_size = self._sizes[name]
        size += len(message) - (0 if before is None else len(before.message))
        while len(values) > self._max_keys or size > self._max_bytes:
            _, oldest = values.popitem(last=False)
            size -= len(oldest.message)
        self._sizes[name] = size
        self.held_bytes += size - before_size

    def of(self, name: str) -> Iterator[Newest]:
        """The values of one event."""
        return iter(self._events.get(name, {}).values())


def newest(name: str, *stores: LatestValues) -> list[Newest]:
    """The newest of each key over several stores, oldest first."""
    by_key: dict[Hashable, Newest] = {}
    for store in stores:
        for value in store.of(name):
            other = by_key.get(value.key)
            if other is None or other.order < value.order:
                by_key[value.key] = value
    return sorted(by_key.values())


def hashable(key: object) -> Hashable:
    """A key that can be looked up: keys may hold lists."""
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key
