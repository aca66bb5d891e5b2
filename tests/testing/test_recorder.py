"""Recording what buses hear, and waiting for it with an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ionbus import ConnectionState, Ionbus, Received
from ionbus.testing import FakeClock, NotRecorded, Pair, Recorder, Wanted, pair
from workshop import Bench, Progress, Workshop, make_broker


@pytest.fixture
async def at() -> AsyncIterator[Pair[Bench]]:
    async with pair(make_broker()) as made:
        yield made


@pytest.fixture
async def recorder(at: Pair[Bench]) -> Recorder:
    recorder = Recorder()
    await recorder.record(at.bus, Workshop.noticed, Workshop.progress)
    return recorder


async def test_it_finds_what_was_and_what_will_be(at: Pair[Bench], recorder: Recorder) -> None:
    await at.bus.call(Workshop.report, 2)
    assert await recorder.wait_for(Workshop.noticed) == "step 0"
    later = asyncio.create_task(recorder.wait_for(Workshop.progress, where=lambda made: made.percent == 50))
    for percent in (20, 50, 80):
        await at.broker.emit(Workshop.progress, Progress(job="a", percent=percent))
        await recorder.wait_for(Workshop.progress, where=lambda made: made.percent == percent)  # noqa: B023
    assert await later == Progress(job="a", percent=50)


async def test_each_of_all_is_another_one(at: Pair[Bench], recorder: Recorder) -> None:
    await at.bus.call(Workshop.report, 2)
    assert await recorder.wait_for_all([Workshop.noticed, Workshop.noticed]) == ["step 0", "step 1"]
    with pytest.raises(NotRecorded):
        await recorder.wait_for_all([Workshop.noticed] * 3, timeout=0.01)
    last = Wanted(Workshop.noticed, where=lambda text: text.endswith("1"))
    assert await recorder.wait_for_all([Workshop.noticed, last]) == ["step 0", "step 1"]
    assert await recorder.wait_for_all([last, Workshop.noticed]) == ["step 1", "step 0"]


async def test_order_counts_where_it_is_asked_for(at: Pair[Bench], recorder: Recorder) -> None:
    await at.broker.emit(Workshop.noticed, "before")
    await recorder.wait_for(Workshop.noticed)
    at.cut()
    await at.reconnected()
    await at.broker.emit(Workshop.noticed, "after")
    first, opened, second = await recorder.wait_for_all(
        [Workshop.noticed, ConnectionState.OPEN, Workshop.noticed], in_order=True
    )
    assert (first, opened.outcome, second) == ("before", "resumed", "after")
    opened_first = (ConnectionState.OPEN, Workshop.noticed, Workshop.noticed)
    await recorder.wait_for_all(opened_first)
    with pytest.raises(NotRecorded):
        await recorder.wait_for_all(opened_first, in_order=True, timeout=0.01)


async def test_what_must_not_happen_is_bounded_by_an_event(at: Pair[Bench], recorder: Recorder) -> None:
    await at.bus.call(Workshop.report, 3)
    third = Wanted(Workshop.noticed, where=lambda text: text == "step 2")
    await recorder.wait_for_none(Workshop.progress, until=third)
    await recorder.wait_for_none(Workshop.noticed, where=lambda text: text == "step 3", until=third)
    with pytest.raises(NotRecorded, match=r"workshop\.noticed .* was not to happen"):
        await recorder.wait_for_none(Workshop.noticed, where=lambda text: text == "step 1", until=third)
    with pytest.raises(NotRecorded, match=r"not recorded within 0\.01 s: the state 'closed'"):
        await recorder.wait_for_none(Workshop.progress, until=ConnectionState.CLOSED, timeout=0.01)


async def test_what_must_not_happen_is_bounded_by_time(at: Pair[Bench], recorder: Recorder) -> None:
    await recorder.wait_for_none(Workshop.noticed, until=0.01)
    waiting = asyncio.create_task(recorder.wait_for_none(Workshop.noticed, until=60.0))
    await at.bus.call(Workshop.report, 1)
    with pytest.raises(NotRecorded):
        await waiting


async def test_waiting_lets_the_time_of_a_fake_clock_pass() -> None:
    with FakeClock() as clock:
        async with pair(make_broker()) as at:
            recorder = Recorder()
            recorder.record(at.bus)
            at.half_open()
            await recorder.wait_for_none(ConnectionState.UNRESPONSIVE, until=14.0)
            assert clock.elapsed == 14
            change = await recorder.wait_for(ConnectionState.UNRESPONSIVE)
            assert change.reason == "nothing heard for 15000 ms"
            assert clock.elapsed == 15
            assert recorder.recorded[0].at == pytest.approx(15)


async def test_an_error_shows_what_was_recorded_instead(at: Pair[Bench], recorder: Recorder) -> None:
    await at.bus.call(Workshop.report, 1)
    await at.broker.emit(Workshop.progress, Progress(job="a" * 300, percent=1))
    await recorder.wait_for(Workshop.progress)
    at.cut()
    with pytest.raises(NotRecorded) as caught:
        await recorder.wait_for(Workshop.noticed, where=lambda text: text == "step 9", timeout=0.01)
    head, *lines = str(caught.value).splitlines()
    assert 'workshop.noticed where lambda text: text == "step 9"' in head
    assert "test_recorder.py:" in head
    assert lines[0].startswith("! ")
    assert lines[0].endswith("bus  workshop.noticed  'step 0'")
    assert lines[1].startswith("  ")
    assert lines[1].endswith("a…")
    assert "open -> reconnecting (connection_lost, " in lines[2]


async def test_several_buses_in_one_order(at: Pair[Bench], recorder: Recorder) -> None:
    window = await at.connect()
    await recorder.record(window.bus, Workshop.noticed, name="window")
    await at.broker.emit(Workshop.noticed, "to both")
    await recorder.wait_for_all([Wanted(Workshop.noticed, bus=bus) for bus in (at.bus, window.bus)])
    assert {each.label for each in recorder.events} == {"bus", "window"}
    await window.bus.call(Workshop.report, 1)
    assert await recorder.wait_for(Workshop.noticed, bus=window.bus, since=2) == "step 0"
    with pytest.raises(NotRecorded):
        await recorder.wait_for(Workshop.noticed, bus=at.bus, since=2, timeout=0.01)


async def test_contracts_and_patterns_give_what_was_received(at: Pair[Bench]) -> None:
    recorder = Recorder()
    recorder.record(at.bus, Workshop)
    other = await at.connect()
    recorder.record(other.bus, "workshop.*")
    await other.bus.call(Workshop.report, 1)
    assert await recorder.wait_for("workshop.*") == Received("workshop.noticed", "step 0")
    await at.bus.call(Workshop.report, 1)
    assert await recorder.wait_for(Workshop, bus=at.bus) == Received("workshop.noticed", "step 0")


async def test_marks_clearing_and_closing(at: Pair[Bench], recorder: Recorder) -> None:
    await at.bus.call(Workshop.report, 1)
    mark = recorder.mark()
    await at.bus.call(Workshop.report, 1)
    await recorder.wait_for_all([Workshop.noticed], since=mark)
    with pytest.raises(NotRecorded, match="Nothing was recorded"):
        await recorder.wait_for(Workshop.noticed, since=mark + 1, timeout=0.01)
    recorder.clear()
    recorder.close()
    await at.bus.call(Workshop.report, 1)
    at.cut()
    assert recorder.recorded == []


async def test_what_nobody_records_is_not_waited_for(at: Pair[Bench], recorder: Recorder) -> None:
    with pytest.raises(RuntimeError, match=r"workshop\.glimpsed is not recorded"):
        await recorder.wait_for(Workshop.glimpsed)
    with pytest.raises(RuntimeError, match="nothing is recorded"):
        await Recorder().wait_for(ConnectionState.OPEN)
    with pytest.raises(TypeError, match="always recorded"):
        recorder.record(at.bus, ConnectionState.OPEN)
    with pytest.raises(TypeError, match="can be waited for"):
        await recorder.wait_for(Workshop.add)  # type: ignore[call-overload]


async def test_a_discontinuity_is_an_event_like_others(at: Pair[Bench]) -> None:
    recorder = Recorder()
    await recorder.record(at.bus, Ionbus.discontinuity)
    await at.restart()
    gap = await recorder.wait_for(Ionbus.discontinuity)
    assert gap.reason == "new_epoch"
