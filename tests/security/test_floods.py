"""An authenticated client that asks for much with little: what it costs the broker is bounded, and others are served meanwhile.

What each of these took before it was bounded is minutes: the time-out of a test is what tells.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from ionbus import Broker, Bus, Call, Contract, Event, connect
from ionbus.broker import agreement
from ionbus.broker.agreement import Agreements
from ionbus.channels.memory import MemoryListener
from ionbus.events.patterns import PatternTable, matcher, pattern_problem
from ionbus.generated.protocol import Limits, Message
from ionbus.session.transfers import Incoming
from ionbus.wire.frames import MalformedFrame
from raw_client import Raw, hello
from workshop import eventually

LARGE = Limits().transfer_threshold_bytes + 1


class Reading(BaseModel):
    sensor: int


make: Any = type
SENSORS = 40
EVENTS = {
    f"reading_{number:02}": Event(Reading, delivery="latest", key="sensor") for number in range(SENSORS)
}
Plant: Any = make(
    "Plant",
    (Contract,),
    {"__qualname__": "Plant", "ping": Call(None, int), **EVENTS},
    name="plant",
    version="1.0",
)


@pytest.fixture
async def plant() -> AsyncIterator[tuple[Broker, Bus]]:
    broker: Broker = Broker(Plant, limits=Limits(max_newest_rate=2_000))

    async def ping() -> int:
        return 1

    broker.handle(Plant.ping)(ping)
    async with connect(broker) as bus:
        for event in EVENTS.values():
            for sensor in range(10):
                await broker.emit(event, Reading(sensor=sensor))
        yield broker, bus


async def hostile(broker: Broker) -> Raw:
    raw = Raw()
    raw.channel = (await MemoryListener(broker.accept_local()).open(raw)).channel
    raw.channel.max_frame_bytes = 1 << 20
    raw.send(1, hello(session=secrets.token_bytes(16)))
    await eventually(lambda: raw.frames)
    return raw


def elements(raw: Raw, kind: Message) -> list[Any]:
    sent = [element for frame in raw.frames if frame[0] == 0 for element in frame[3:]]
    return [element for element in sent if element[0] == kind]


# Transfers.


def test_transfers_that_wait_are_left_as_fast_as_they_were_begun() -> None:
    incoming = Incoming(Limits())
    count = 20_000  # as many as there may be
    for number in range(1, count + 1):
        incoming.begin(number, LARGE, b"x")
    with pytest.raises(MalformedFrame, match="under way"):
        incoming.begin(count + 1, LARGE, b"x")
    for number in range(count, 0, -1):
        incoming.abort(number)
    assert incoming.held_bytes == 0
    assert incoming.begin(count + 1, LARGE, b"x") is None
    assert decoded(incoming.replies[-1])[:2] == [Message.GRANT, count + 1]  # nothing is reserved any more


def decoded(message: bytes) -> list[Any]:
    """A message as a list."""
    found: list[Any] = msgpack.unpackb(message)
    return found


async def test_a_client_that_only_begins_transfers_loses_its_channel(plant: tuple[Broker, Bus]) -> None:
    broker, good = plant
    raw = await hostile(broker)
    first = 1
    for _ in range(40):
        raw.send(0, first, 0, *([18, number, LARGE, b"x"] for number in range(first, first + 4_000)))
        first += 4_000
        assert await good.call(Plant.ping) == 1
        if raw.end:
            break
    assert raw.end is not None
    assert raw.end[1] == "protocol_error"


# Subscriptions.


async def test_who_subscribes_again_and_again_is_given_so_many_newest_values_and_no_more(
    plant: tuple[Broker, Bus],
) -> None:
    broker, good = plant
    raw = await hostile(broker)
    raw.send(0, 1, 0, *([10, number, "**"] for number in range(1, 901)))
    await eventually(lambda: len(elements(raw, Message.SUBSCRIBED)) == 900)
    assert await good.call(Plant.ping) == 1
    answers = elements(raw, Message.SUBSCRIBED)
    accepted = [answer for answer in answers if len(answer) == 2]
    refused = [answer for answer in answers if len(answer) > 2]
    assert 5 <= len(accepted) <= 7  # each is given 400 values, and 2,000 are given a second
    assert {answer[2] for answer in refused} == {"too_large"}
    assert "subscribe again in" in refused[0][3]


async def test_subscriptions_that_come_and_go_do_not_cost_all_that_there_are(
    plant: tuple[Broker, Bus],
) -> None:
    broker, good = plant
    raw = await hostile(broker)
    raw.send(0, 1, 0, *([10, number, "plant.nothing.**"] for number in range(1, 901)))
    first, number = 901, 1_000
    for _ in range(3):
        turns: list[list[Any]] = []
        for _ in range(1_000):
            turns += [[10, number, "plant.*"], [12, number]]
            number += 1
        raw.send(0, first, 0, *turns)
        first += len(turns)
        assert await good.call(Plant.ping) == 1
    await eventually(lambda: len(elements(raw, Message.SUBSCRIBED)) == 3_900)


PATTERNS = ["a", "a.b", "a.*", "*.b", "a.**", "**", "*.*", "a.b.c", "*", "b.**"]
MALFORMED = ["", ".", "a.", "a..b", "a..*", "*..b"]
"""As a broker may say that it withholds them; a client's SUBSCRIBE is refused."""
NAMES = ["a", "a.b", "b.b", "a.c", "a.b.c", "b", "b.c", "", "a.", "a..b"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 5), st.sampled_from(PATTERNS + MALFORMED)),
            st.tuples(st.just("remove"), st.integers(0, 5), st.just("")),
            st.tuples(st.just("look"), st.just(0), st.sampled_from(NAMES)),
        ),
        max_size=40,
    )
)
def test_what_a_table_of_patterns_remembers_is_what_it_would_find(steps: list[tuple[str, int, str]]) -> None:
    assert not any(pattern_problem(pattern) for pattern in PATTERNS)
    assert all(pattern_problem(pattern) for pattern in MALFORMED)
    table: PatternTable[int] = PatternTable()
    plain: dict[int, tuple[str, int]] = {}
    for value, (what, key, text) in enumerate(steps):
        if what == "add":
            plain.pop(key, None)
            plain[key] = (text, value)
            table.add(key, text, value)
        elif what == "remove":
            entry = plain.pop(key, None)
            assert table.remove(key) == (None if entry is None else entry[1])
        else:
            assert table.matching(text) == tuple(
                kept for pattern, kept in plain.values() if matcher(pattern)(text)
            )
    assert table.values() == [value for _, value in plain.values()]
    assert len(table) == len(plain)


# The log.


async def test_a_client_that_refuses_everything_does_not_fill_the_log(
    plant: tuple[Broker, Bus], caplog: pytest.LogCaptureFixture
) -> None:
    broker, good = plant
    raw = await hostile(broker)
    raw.send(0, 1, 0, [10, 1, "plant.ping.*"])
    await eventually(lambda: elements(raw, Message.SUBSCRIBED))
    raw.send(0, 2, 1, *([14, 1, "wrong", "it is all wrong"] for _ in range(2_000)))
    raw.send(0, 2_002, 1, [2, 1, "plant.ping", msgpack.packb(None)])
    await eventually(lambda: elements(raw, Message.RESULT))
    assert await good.call(Plant.ping) == 1
    lines = [record for record in caplog.records if "has refused an event" in record.message]
    assert 1 <= len(lines) <= 40


# Comparing contracts.


class Clock:
    """An event loop's time, which comparing takes of."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *arguments: Any) -> None:
        self.due.append((when, partial(callback, *arguments)))

    def run_next(self) -> None:
        when, callback = self.due.pop(0)
        self.now = max(self.now, when)
        callback()


@dataclass
class Comparing:
    """The broker's comparisons, each of which takes a second."""

    clock: Clock
    agreements: Agreements
    answers: list[tuple[int, str | None, bool]] = field(default_factory=list)

    def ask(self, number: int) -> None:
        text = b'{"number": %d}' % number
        fingerprint = hashlib.sha256(text).hexdigest()[:32]
        self.agreements.judge_in_turn(
            ("plant", "1.0", fingerprint),
            text,
            lambda problem, is_late: self.answers.append((number, problem, is_late)),
        )


@pytest.fixture
def comparing(monkeypatch: pytest.MonkeyPatch) -> Comparing:
    clock = Clock()

    def compare(self: Agreements, name: str, text: bytes) -> None:
        clock.now += 1.0

    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    monkeypatch.setattr(Agreements, "_compare", compare)
    return Comparing(clock, Agreements({"plant": Plant.__contract__}))


def test_comparing_contracts_takes_a_fifth_of_the_time_at_most(comparing: Comparing) -> None:
    for number in range(4):
        comparing.ask(number)
    assert comparing.answers == [(0, None, False)]  # the first at once, the others in their turn
    began = comparing.clock.now
    while comparing.clock.due:
        comparing.clock.run_next()
    assert comparing.answers[1:] == [(1, None, True), (2, None, True), (3, None, True)]
    assert comparing.clock.now - began == pytest.approx(15.0)  # four seconds of rest before each
    comparing.clock.now += 4.0
    comparing.ask(4)
    assert comparing.answers[-1] == (4, None, False)


def test_what_was_compared_is_answered_at_once_also_while_it_rests(comparing: Comparing) -> None:
    comparing.ask(0)
    comparing.ask(0)
    assert comparing.answers == [(0, None, False), (0, None, False)]


def test_no_more_wait_than_there_may_be(comparing: Comparing) -> None:
    for number in range(1_003):
        comparing.ask(number)
    assert [answer[0] for answer in comparing.answers] == [0, 1_001, 1_002]
    assert "too many others are being compared" in (comparing.answers[1][1] or "")


async def test_a_client_of_another_form_waits_for_its_turn_and_is_served(
    plant: tuple[Broker, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, good = plant
    monkeypatch.setattr(agreement, "SHORT", -1.0)  # every comparison counts as long
    monkeypatch.setattr(agreement, "REST", 300.0)
    other: Any = make(
        "Plant",
        (Contract,),
        {"__qualname__": "Plant", "ping": Call(None, float)},
        name="plant",
        version="0.9",
    )
    another: Any = make(
        "Plant", (Contract,), {"__qualname__": "Plant", "ping": Call(None, int)}, name="plant", version="0.8"
    )
    async with connect(broker) as first, connect(broker) as second:
        assert await first.call(other.ping) == 1
        answer = asyncio.create_task(second.call(another.ping))
        assert await good.call(Plant.ping) == 1
        assert await answer == 1
