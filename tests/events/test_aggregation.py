"""The aggregation of one event's values against a model that keeps everything and looks at each millisecond."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings, strategies as st

from ionbus.events.aggregation import Aggregate, Bounds, Reading
from ionbus.events.filters import predicate, read_filter
from ionbus.events.options import Aggregation

Value = tuple[str, int]
"""A key and what it is of; the filter lets even contents pass."""

ROOMY = Bounds(keys=1_000, bytes=1_000_000, batch_bytes=1_000_000)


def reading(options: Aggregation) -> Reading[Value]:
    return Reading(
        passes=None if options.where is None else lambda value: value[1] % 2 == 0,
        key=(lambda value: value[0]) if options.latest_by else None,
        content=lambda value: value,
        size=lambda _: 10,
    )


@dataclass
class Model:
    """Says the same as docs/aggregation.md, without a thought for cost."""

    options: Aggregation
    now: int = 0
    period_ends: int | None = None
    waiting: list[Value] = field(default_factory=list)
    batch: list[Value] = field(default_factory=list)
    batch_ends: int = 0
    last: dict[str | None, Value] = field(default_factory=dict)
    out: list[tuple[int, list[Value]]] = field(default_factory=list)

    def key(self, value: Value) -> str | None:
        return value[0] if self.options.latest_by else None

    def pass_until(self, time: int) -> None:
        while self.now < time:
            self.now += 1
            self.time_passes()

    def time_passes(self) -> None:
        if self.period_ends == self.now:
            values, self.waiting = self.waiting, []
            self.period_ends = self.now + self.options.every_ms if values else None  # type: ignore[operator]
            self.sampled(values)
        if self.batch and self.batch_ends == self.now:
            self.give_batch()

    def add(self, value: Value) -> None:
        if self.options.where is not None and value[1] % 2:
            return
        if self.options.every_ms is not None:
            if self.period_ends is not None:
                self.waiting = [other for other in self.waiting if self.key(other) != self.key(value)]
                self.waiting.append(value)
                return
            self.period_ends = self.now + self.options.every_ms
        self.sampled([value])

    def sampled(self, values: list[Value]) -> None:
        for value in values:
            if self.options.batch is None:
                if not (self.options.is_distinct and self.last.get(self.key(value)) == value):
                    self.last[self.key(value)] = value
                    self.out.append((self.now, [value]))
            else:
                self.collect(value, *self.options.batch)

    def collect(self, value: Value, count: int, wait: int) -> None:
        was_empty = not self.batch
        if self.options.latest_by:
            self.batch = [other for other in self.batch if self.key(other) != self.key(value)]
            before = self.last.get(self.key(value))
        else:
            before = self.batch[-1] if self.batch else self.last.get(None)
        if self.options.is_distinct and before == value:
            return
        if was_empty:
            self.batch_ends = self.now + wait
        self.batch.append(value)
        if len(self.batch) == count:
            self.give_batch()

    def give_batch(self) -> None:
        for value in self.batch:
            self.last[self.key(value)] = value
        self.out.append((self.now, self.batch))
        self.batch = []


values = st.tuples(st.sampled_from("abc"), st.integers(0, 3))
options = st.builds(
    Aggregation,
    every_ms=st.none() | st.integers(1, 9),
    latest_by=st.sampled_from([(), (("key",),)]),
    batch=st.none() | st.tuples(st.integers(1, 4), st.integers(1, 9)),
    where=st.sampled_from([None, b""]),
    is_distinct=st.booleans(),
)


@settings(max_examples=1_500)
@given(options, st.lists(st.tuples(st.integers(0, 12), values), max_size=40))
def test_it_gives_what_the_model_gives_and_when(asked: Aggregation, steps: list[tuple[int, Value]]) -> None:
    model = Model(asked)
    aggregate = Aggregate(asked, reading(asked), ROOMY)
    out: list[tuple[int, list[Value]]] = []
    now = 0

    def pass_until(time: int) -> None:
        while aggregate.deadline is not None and aggregate.deadline <= time:
            at = int(aggregate.deadline)
            out.extend((at, each) for each in aggregate.tick(at))

    for wait, value in steps:
        now += wait
        model.pass_until(now)
        model.add(value)
        pass_until(now)
        out.extend((now, each) for each in aggregate.add(value, now))
    model.pass_until(now + 30)
    pass_until(now + 30)
    assert out == model.out
    assert aggregate.deadline is None
    if not asked.is_distinct:
        assert aggregate.held_bytes == 0


@settings(max_examples=500)
@given(
    options,
    st.lists(st.tuples(st.integers(0, 12), st.tuples(st.text("abcdefgh", max_size=2), st.integers(0, 3)))),
    st.integers(1, 5),
)
def test_it_keeps_no_more_than_it_may(asked: Aggregation, steps: list[tuple[int, Value]], keys: int) -> None:
    aggregate = Aggregate(asked, reading(asked), Bounds(keys, bytes=30, batch_bytes=20))
    now = 0
    given_out = 0
    for wait, value in steps:
        now += wait
        for each in aggregate.add(value, now):
            assert len(each) <= 2  # batch_bytes
            given_out += len(each)
        assert aggregate.held_bytes <= 30 + 30 + 20
    assert aggregate.forgotten + given_out <= len(steps)


@given(options, st.lists(values, max_size=20))
def test_late_ticks_lose_nothing(asked: Aggregation, given_values: list[Value]) -> None:
    """A loop that was blocked calls `tick` long after the deadline, or adds before it does."""
    aggregate = Aggregate(asked, reading(asked), ROOMY)
    out: list[Value] = []
    for index, value in enumerate(given_values):
        for each in aggregate.add(value, index * 100.0):
            out += each
    for each in aggregate.flush(1e6):
        out += each
    if asked.every_ms and not asked.latest_by and not asked.is_distinct and given_values:
        passing = [each for each in given_values if asked.where is None or each[1] % 2 == 0]
        assert out == passing  # they are further apart than any period
    assert aggregate.deadline is None


def test_a_newcomer_is_given_the_newest_at_once_and_then_waits() -> None:
    asked = Aggregation(every_ms=100, latest_by=(("key",),))
    aggregate = Aggregate(asked, reading(asked), ROOMY)
    assert aggregate.begin([("a", 1), ("b", 2), ("a", 3)], 0) == [[("b", 2)], [("a", 3)]]
    assert aggregate.add(("a", 4), 50) == ()
    assert aggregate.deadline == 100
    assert aggregate.tick(100) == [[("a", 4)]]


def test_a_newcomer_gets_the_newest_in_one_batch() -> None:
    asked = Aggregation(batch=(10, 50))
    aggregate = Aggregate(asked, reading(asked), ROOMY)
    assert aggregate.begin([("a", 1), ("b", 2)], 0) == [[("a", 1), ("b", 2)]]
    assert aggregate.deadline is None


def test_what_is_forgotten_is_counted() -> None:
    asked = Aggregation(every_ms=100, latest_by=(("key",),))
    aggregate = Aggregate(asked, reading(asked), Bounds(keys=2, bytes=1_000, batch_bytes=1_000))
    aggregate.add(("x", 0), 0)
    for key in "abc":
        aggregate.add((key, 0), 1)
    assert aggregate.forgotten == 1
    assert aggregate.tick(100) == [[("b", 0)], [("c", 0)]]


def test_a_signaling_nan_equals_nothing_and_breaks_nothing() -> None:
    odd, other = {"value": Decimal("sNaN")}, {"value": Decimal("sNaN")}
    assert not predicate(read_filter(["value", "==", 1]))(odd)
    assert predicate(read_filter({"not": ["value", "in", [1, None]]}))(odd)
    read: Reading[object] = Reading(passes=None, key=None, content=lambda value: value, size=lambda _: 10)
    aggregate = Aggregate(Aggregation(is_distinct=True), read, ROOMY)
    assert [len(aggregate.add(value, now)) for now, value in enumerate((odd, other))] == [1, 1]
