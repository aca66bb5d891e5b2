"""Time that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time

import pytest

from ionbus import CallTimeout, ConnectionState, connect
from ionbus.generated.protocol import Limits
from ionbus.testing import FakeClock, Recorder, pair
from workshop import Pair as Two, Workshop, make_broker


async def test_what_falls_due_runs_in_its_order_at_its_own_time() -> None:
    with FakeClock() as clock:
        loop, seen = asyncio.get_running_loop(), list[tuple[str, float]]()

        def note(name: str) -> None:
            seen.append((name, clock.elapsed))

        async def chain() -> None:
            for number in range(3):
                await asyncio.sleep(10)
                note(f"chain {number}")

        task = asyncio.create_task(chain())
        loop.call_later(25, note, "b")
        loop.call_later(15, note, "a")
        loop.call_later(5, note, "cancelled").cancel()
        await clock.advance(0)
        assert seen == []
        await clock.advance(30)
        assert seen == [("chain 0", 10), ("a", 15), ("chain 1", 20), ("b", 25), ("chain 2", 30)]
        assert task.done()
        assert clock.next_due() is None
        assert clock.elapsed == 30
        assert loop.time() == clock.now


async def test_a_minute_is_no_time() -> None:
    with FakeClock() as clock:
        began = time.perf_counter()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.1)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await clock.drive(asyncio.sleep(60.05))
        assert ticks == 600
        ticking.cancel()
        assert time.perf_counter() - began < 60


async def test_timeouts_and_what_follows_from_them() -> None:
    with FakeClock() as clock:
        gave_up: list[float] = []

        async def patient() -> None:
            try:
                async with asyncio.timeout(5):
                    await asyncio.Event().wait()
            except TimeoutError:
                await asyncio.sleep(0)
                gave_up.append(clock.elapsed)

        task = asyncio.create_task(patient())
        await clock.advance(4.999)
        assert not task.done()
        await clock.advance(0.001)
        assert gave_up == [5]


async def test_driving_ends_with_the_result_the_error_or_the_limit() -> None:
    with FakeClock() as clock:
        assert await clock.drive(asyncio.sleep(3, "done")) == "done"
        assert clock.elapsed == 3
        with pytest.raises(TimeoutError, match="not over within 10 s by the fake clock"):
            await clock.drive(asyncio.Event().wait(), limit=10)
        assert clock.elapsed == 13

        async def fail() -> None:
            await asyncio.sleep(1)
            raise ValueError("as it should")

        with pytest.raises(ValueError, match="as it should"):
            await clock.drive(fail())


async def test_two_that_advance_do_not_run_away_from_each_other() -> None:
    with FakeClock() as clock:

        async def nested() -> str:
            await clock.advance(5)
            return await clock.drive(asyncio.sleep(5, "inner"))

        assert await clock.drive(nested()) == "inner"
        assert clock.elapsed == 10
        await asyncio.gather(clock.advance(7), clock.advance(3))
        assert clock.elapsed == 17


async def test_a_call_that_times_out() -> None:
    with FakeClock() as clock:
        async with pair(make_broker()) as at:
            with pytest.raises(CallTimeout):
                await clock.drive(at.bus.call(Workshop.wait, "x", timeout=30))
            assert clock.elapsed == 30
            assert at.state.ended == ["x"]


async def test_heartbeats_keep_a_session_and_silence_is_noticed() -> None:
    with FakeClock() as clock:
        async with pair(make_broker()) as at:
            recorder = Recorder()
            recorder.record(at.bus)
            await clock.advance(3600)
            assert recorder.recorded == []
            at.half_open()
            await clock.advance(10)
            assert recorder.recorded == []
            await clock.advance(10)
            assert [change.after for change in recorder.states] == [ConnectionState.UNRESPONSIVE]


async def test_back_off_and_absence() -> None:
    limits = Limits(absence_ms=60_000)
    with FakeClock() as clock:
        async with pair(make_broker(limits)) as at:
            at.listener.is_refusing = True
            at.cut()
            await clock.advance(50)
            assert at.listener.attempts > 5
            assert len(at.broker.sessions) == 1
            await clock.advance(12)
            assert at.broker.sessions == []
            at.listener.is_refusing = False
            recorder = Recorder()
            recorder.record(at.bus)
            change = await recorder.wait_for(ConnectionState.OPEN, timeout=10.0)
            assert (change.outcome, change.code) == ("lost", "absent")


async def test_real_sockets_work_while_the_time_stands_still() -> None:
    broker = make_broker()
    with FakeClock() as clock:
        serving = broker.serve("ws://127.0.0.1:0")
        async with serving as (endpoint,), connect(endpoint.url, token=endpoint.token) as bus:
            assert await bus.call(Workshop.add, Two(left=1, right=2)) == 3
            recorder = Recorder()
            recorder.record(bus)
            await clock.advance(60)  # heartbeats cross in both directions
            assert recorder.recorded == []
            with pytest.raises(CallTimeout):
                await clock.drive(bus.call(Workshop.wait, "x", timeout=30))


async def test_threads_are_waited_for() -> None:
    with FakeClock(thread_grace=0.5) as clock:  # more than a busy machine needs to wake a thread
        async with pair(make_broker()) as at:
            call = asyncio.create_task(at.bus.call(Workshop.block, "x"))
            await clock.settle()
            assert at.state.started == ["x"]
            at.state.thread_gate("x").set()
            await clock.settle()
            assert call.done()
            assert await call == "x"
        release = threading.Event()
        waiting = asyncio.create_task(asyncio.to_thread(release.wait, 10))
        await clock.settle()
        assert not waiting.done()
        release.set()
        await clock.settle()
        assert waiting.done()


async def test_a_thread_that_waits_for_time_to_pass_does_not_hold_it_up() -> None:
    with FakeClock() as clock:
        loop = asyncio.get_running_loop()

        def nap() -> float:
            began = loop.time()
            asyncio.run_coroutine_threadsafe(asyncio.sleep(30), loop).result(10)
            return loop.time() - began

        assert await clock.drive(asyncio.to_thread(nap)) == pytest.approx(30)
        assert clock.elapsed == pytest.approx(30)


async def test_settling_sees_what_comes_over_a_descriptor() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    heard: list[bytes] = []

    async def listen() -> None:
        while data := await reader.read(100):
            heard.append(data)
            await asyncio.sleep(1)

    task = asyncio.create_task(listen())
    with FakeClock() as clock:
        theirs.send(b"1")
        await clock.settle()
        assert heard == [b"1"]
        theirs.send(b"2")
        await clock.settle()
        assert heard == [b"1"]
        await clock.advance(1)
        assert heard == [b"1", b"2"]
        theirs.close()
        await clock.drive(task)
    writer.close()
    await writer.wait_closed()


async def test_the_loop_gets_its_clock_back() -> None:
    loop = asyncio.get_running_loop()
    with FakeClock() as clock:
        assert FakeClock.of() is clock
        await clock.advance(1000)
        assert loop.time() > time.monotonic() + 900
    assert abs(loop.time() - time.monotonic()) < 60
    assert FakeClock.of() is None
    assert "time" not in vars(loop)


async def test_timers_that_still_wait_keep_what_was_left_of_their_time() -> None:
    loop = asyncio.get_running_loop()
    rang = asyncio.Event()
    with FakeClock() as clock:
        loop.call_later(1000.01, rang.set)
        await clock.advance(1000)
        before = clock.now
    assert loop.time() >= before  # it never goes back
    async with asyncio.timeout(5):
        await rang.wait()
    with FakeClock() as clock:  # on the same loop, once more
        await clock.drive(asyncio.sleep(1))
    async with asyncio.timeout(5):
        await asyncio.sleep(0.001)


async def test_a_loop_that_never_settles_is_an_error() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110 - that is what it is about
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    with FakeClock(patience=0.05) as clock:
        with pytest.raises(RuntimeError, match=r"not settled within 0\.05 real seconds: .*spin"):
            await clock.advance(1)
        with pytest.raises(RuntimeError, match="not settled"):
            await clock.drive(asyncio.sleep(1))
    task.cancel()


async def test_waiting_for_a_moment_in_a_loop_comes_to_an_end() -> None:
    """As `while now < then: sleep(then - now)` does: rounding may let it sleep for nothing again and again."""
    with FakeClock() as clock:
        loop = asyncio.get_running_loop()

        async def until_just_after(moment: float) -> None:
            while loop.time() <= moment:  # noqa: ASYNC110 - the same
                await asyncio.sleep(max(1e-300, moment - loop.time()))

        await clock.drive(until_just_after(loop.time() + 5))
        assert clock.elapsed == pytest.approx(5, abs=0.001)


async def test_it_says_where_it_cannot_be_used() -> None:
    clock = FakeClock()
    with pytest.raises(RuntimeError, match="drives no loop"):
        await clock.advance(1)
    assert repr(clock) == "<FakeClock not installed>"
    with clock:
        with pytest.raises(RuntimeError, match="has a fake clock already"), FakeClock():
            pass
        with pytest.raises(ValueError, match="at least 0, not -1"):
            await clock.advance(-1)
        assert repr(clock) == "<FakeClock at 0 s>"
        await asyncio.to_thread(_use_elsewhere, clock)


def _use_elsewhere(clock: FakeClock) -> None:
    with pytest.raises(RuntimeError, match="drives another loop"):
        asyncio.run(clock.advance(1))


def test_it_needs_a_running_loop_that_can_be_driven() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        FakeClock().install()

    class Loop:
        """As uvloop's: no timers that Python can reach."""

    async def use() -> None:
        with FakeClock():
            pass

    asyncio.events._set_running_loop(Loop())  # type: ignore[arg-type] # it only has to be seen
    try:
        with pytest.raises(RuntimeError, match=r"Loop cannot be driven by a fake clock"):
            FakeClock().install()
    finally:
        asyncio.events._set_running_loop(None)
    asyncio.run(use())


def test_python_keeps_its_timers_where_the_clock_looks() -> None:
    """Where a newer Python does not, this says so before a user does."""
    loop = asyncio.new_event_loop()
    try:
        assert isinstance(loop, asyncio.BaseEventLoop), sys.version
        assert {"_ready", "_scheduled"} <= set(vars(loop))
    finally:
        loop.close()
