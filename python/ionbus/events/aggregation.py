"""Values in, fewer values out: one subscription's share of the values of one event (docs/aggregation.md).

Values pass four stations in this order, each where it is asked for:

1. `where`: what does not pass the filter is as if it had never been.
2. `every`: the first value goes on at once and opens a period; of those that come while it lasts the newest waits, of each key
   where there are keys, and goes on when it ends, which opens the next. Where none waits then, the next value goes on at once.
3. `distinct`: what is the same as the last value that was given, of its key, goes no further.
4. `batch`: values wait until there are so many, or until the first has waited so long, and go out together. Where there are keys, a
   batch holds the newest of each.

Values of several keys go on in the order in which they came. Nothing here has a clock, or knows what a value is: times go in and the next deadline comes out, in milliseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from ionbus.events.options import Aggregation

__all__ = ["Aggregate", "Bounds", "Reading"]

T = TypeVar("T")


class Reading(NamedTuple, Generic[T]):
    """How an aggregate looks at values.

    Attributes:
        passes: whether the filter lets it pass; None: there is no filter.
        key: tells it apart; None: there are no keys.
        content: what two values are compared by.
        size: about how many bytes are kept for it.
    """

    passes: Callable[[T], bool] | None
    key: Callable[[T], Hashable] | None
    content: Callable[[T], object]
    size: Callable[[T], int]


class Bounds(NamedTuple):
    """How much an aggregate keeps.

    Attributes:
        keys: for so many the newest waits, and the last that was given is known; the oldest is forgotten.
        bytes: of what waits for a period to end, likewise.
        batch_bytes: a batch that has so many goes out.
    """

    keys: int
    bytes: int
    batch_bytes: int


class Aggregate(Generic[T]):
    """See the module. Each list that a method gives goes out together; without `batch` each has one value.

    Args:
        options: what is asked for.
        reading: how to look at values.
        bounds: how much is kept.

    Attributes:
        deadline: when `tick` is to be called, in milliseconds; None: nothing waits.
        held_bytes: of what waits and what is compared with.
        forgotten: how many values that waited were forgotten for others.
    """

    __slots__ = (
        "_batch",
        "_batch_bytes",
        "_batch_ends",
        "_bounds",
        "_every",
        "_given",
        "_given_bytes",
        "_is_distinct",
        "_key",
        "_most",
        "_passes",
        "_period_ends",
        "_reading",
        "_waiting",
        "_waiting_bytes",
        "deadline",
        "forgotten",
    )

    def __init__(self, options: Aggregation, reading: Reading[T], bounds: Bounds) -> None:
        self._passes = reading.passes
        self._key = reading.key
        self._reading = reading
        self._bounds = bounds
        self._every = options.every_ms
        self._is_distinct = options.is_distinct
        self._most = options.batch
        self._period_ends = float("-inf")
        self._waiting: OrderedDict[Hashable, T] = OrderedDict()
        self._waiting_bytes = 0
        self._given: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._given_bytes = 0
        self._batch: OrderedDict[Hashable, T] = OrderedDict()
        self._batch_bytes = 0
        self._batch_ends = 0.0
        self.deadline: float | None = None
        self.forgotten = 0

    @property
    def held_bytes(self) -> int:
        """See the class."""
        return self._waiting_bytes + self._batch_bytes + self._given_bytes

    def add(self, value: T, now: float) -> Sequence[list[T]]:
        """A value has come; gives what goes out by that.

        Args:
            value: the next.
            now: milliseconds, never less than before.
        """
        if self._passes is not None and not self._passes(value):
            return ()
        every = self._every
        if every is None:
            given = self._go_on((value,), now)
        elif now >= self._period_ends:
            given = self.tick(now) if self._waiting else ()
            if now >= self._period_ends:
                self._period_ends = now + every
                given = self._go_on((value,), now)
            else:
                self._wait(value)
        else:
            self._wait(value)
            return ()
        self._look_ahead()
        return given

    def begin(self, values: Iterable[T], now: float) -> Sequence[list[T]]:
        """These are the newest values, for one who has just come: what passes goes out at once, and opens the first period."""
        passes = self._passes
        passing = [value for value in values if passes is None or passes(value)]
        key = self._key
        if key is not None:
            newest: dict[Hashable, T] = {}
            for value in passing:
                newest.pop(key(value), None)
                newest[key(value)] = value
            passing = list(newest.values())
        elif self._every is not None:
            passing = passing[-1:]
        if not passing:
            return ()
        if self._every is not None:
            self._period_ends = now + self._every
        given = [*self._go_on(passing, now), *self._close_batch()]
        self._look_ahead()
        return given

    def tick(self, now: float) -> Sequence[list[T]]:
        """It is `deadline`, or later; gives what goes out by that."""
        given: list[list[T]] = []
        if self._waiting and now >= self._period_ends:
            assert self._every is not None
            self._period_ends = now + self._every
            given += self._go_on(self._take_waiting(), now)
        if self._batch and now >= self._batch_ends:
            given += self._close_batch()
        self._look_ahead()
        return given

    def flush(self, now: float) -> Sequence[list[T]]:
        """Give what waits, before its time."""
        given = [*self._go_on(self._take_waiting(), now), *self._close_batch()]
        self._look_ahead()
        return given

    # Inside.

    def _wait(self, value: T) -> None:
        """Keep the newest for the end of the period."""
        waiting = self._waiting
        key = None if self._key is None else self._key(value)
        size = self._reading.size
        before = waiting.pop(key, None)
        if before is None:
            if not waiting:
                self.deadline = (
                    self._period_ends if self.deadline is None else min(self.deadline, self._period_ends)
                )
        else:
            self._waiting_bytes -= size(before)
        waiting[key] = value
        self._waiting_bytes += size(value)
        while len(waiting) > 1 and (
            len(waiting) > self._bounds.keys or self._waiting_bytes > self._bounds.bytes
        ):
            _, oldest = waiting.popitem(last=False)
            self._waiting_bytes -= size(oldest)
            self.forgotten += 1

    def _take_waiting(self) -> list[T]:
        values = list(self._waiting.values())
        self._waiting.clear()
        self._waiting_bytes = 0
        return values

    def _go_on(self, values: Sequence[T], now: float) -> Sequence[list[T]]:
        """These have passed `every`."""
        if self._most is None:
            if not self._is_distinct:
                return [[value] for value in values]
            return [[value] for value in values if self._is_news(value)]
        given: list[list[T]] = []
        for value in values:
            given += self._collect(value, now)
        return given

    def _collect(self, value: T, now: float) -> Sequence[list[T]]:
        """Put a value into the batch."""
        assert self._most is not None
        batch, size = self._batch, self._reading.size
        count, wait = self._most
        is_first = not batch
        if self._key is None:
            if self._is_distinct and not self._is_news(value):
                return ()
            key: Hashable = len(batch)
        else:
            key = self._key(value)
            replaced = batch.pop(key, None)
            if replaced is not None:
                is_first = False
                self._batch_bytes -= size(replaced)
            if self._is_distinct and self._is_given(key, value):
                return ()
        if is_first:
            self._batch_ends = now + wait
        batch[key] = value
        self._batch_bytes += size(value)
        if len(batch) >= count or self._batch_bytes >= self._bounds.batch_bytes:
            return self._close_batch()
        return ()

    def _close_batch(self) -> Sequence[list[T]]:
        if not self._batch:
            return ()
        values = list(self._batch.values())
        if self._key is not None and self._is_distinct:
            for key, value in self._batch.items():
                self._remember(key, value)
        self._batch.clear()
        self._batch_bytes = 0
        return [values]

    def _is_news(self, value: T) -> bool:
        """Whether it is another than the last of its key, which it is from now on."""
        key = None if self._key is None else self._key(value)
        if self._is_given(key, value):
            return False
        self._remember(key, value)
        return True

    def _is_given(self, key: Hashable, value: T) -> bool:
        given = self._given.get(key)
        try:
            return given is not None and bool(given[0] == self._reading.content(value))
        except ArithmeticError:  # a signaling NaN somewhere in it, which equals nothing
            return False

    def _remember(self, key: Hashable, value: T) -> None:
        """It is the last that was given; of what is forgotten, an equal one may be given again."""
        given = self._given
        before = given.pop(key, None)
        size = self._reading.size(value)
        given[key] = (self._reading.content(value), size)
        self._given_bytes += size - (0 if before is None else before[1])
        while len(given) > 1 and (len(given) > self._bounds.keys or self._given_bytes > self._bounds.bytes):
            _, (_, size) = given.popitem(last=False)
            self._given_bytes -= size

    def _look_ahead(self) -> None:
        deadline = self._period_ends if self._waiting else None
        if self._batch and (deadline is None or self._batch_ends < deadline):
            deadline = self._batch_ends
        self.deadline = deadline
