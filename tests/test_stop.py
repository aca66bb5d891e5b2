"""A broker that stops lets what runs finish, begins nothing new, and its clients go on at the next one without losing a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ionbus import Broker, CallCancelled, CallTimeout, ConnectionLost, ConnectionState, Ionbus, connect
from ionbus.channels.websocket_client import websocket_opener
from ionbus.generated.protocol import Limits
from ionbus.session.connection import StateChange
from test_discontinuity import Restarting
from workshop import Bench, Pair, Workshop, eventually, make_broker, opened_bus, rig

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)


async def test_what_runs_finishes_and_what_comes_meanwhile_goes_to_the_next_broker() -> None:
    first, second = make_broker(), make_broker()
    place = Restarting()
    async with first.opened(), second.opened():
        place.serve(first)
        async with opened_bus(place.open, BRISK) as bus:
            running = asyncio.create_task(bus.call(Workshop.wait, "running"))
            await eventually(lambda: first.state.started)
            stopping = asyncio.create_task(first.stop(drain=10))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(bus.call(Workshop.add, Pair(left=1, right=2)))
            stream = bus.stream(Workshop.count, 3)
            async with stream as items:
                for _ in range(20):
                    await asyncio.sleep(0)
                assert not waiting.done()
                assert not stopping.done()
                place.serve_next(second)
                first.state.gate("running").set()
                assert await running == "running"
                await stopping
                assert await waiting == 3
                assert [item async for item in items] == [0, 1, 2]


async def test_at_the_deadline_what_still_runs_is_cancelled_and_its_caller_is_told() -> None:
    async with rig(limits=BRISK) as at:
        running = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        on_thread = asyncio.create_task(at.bus.call(Workshop.block, "y"))
        await eventually(lambda: len(at.bench.started) == 2)
        await at.broker.stop(drain=0.05)
        for task in (running, on_thread):
            with pytest.raises(CallCancelled, match="the broker stops"):
                await task
        assert at.bench.ended == ["x"]
        at.bench.thread_gate("y").set()


async def test_without_a_drain_clients_are_told_at_once() -> None:
    async with rig(limits=BRISK) as at:
        changes: list[StateChange] = []
        at.bus.on_state(changes.append)
        await at.broker.stop(retry_after=30)
        await eventually(lambda: changes)
        assert (changes[0].after, changes[0].code) == (ConnectionState.RECONNECTING, "stopping")
        assert at.broker.sessions == []


async def test_a_session_may_come_back_during_the_drain_and_a_new_one_may_not() -> None:
    async with rig(limits=BRISK) as at:
        running = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.started)
        stopping = asyncio.create_task(at.broker.stop(drain=10))
        await asyncio.sleep(0)
        at.wire.cut()
        await eventually(lambda: at.bus.state == ConnectionState.OPEN)
        with pytest.raises(ConnectionLost, match="the broker stops"):
            async with opened_bus(at.listener.open):
                pass
        at.bench.gate("x").set()
        assert await running == "x"
        await stopping


async def test_a_call_that_waits_for_the_next_broker_times_out_in_its_time_and_may_be_given_up() -> None:
    async with rig(limits=BRISK) as at:
        running = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.started)
        stopping = asyncio.create_task(at.broker.stop(drain=10))
        await asyncio.sleep(0)
        with pytest.raises(CallTimeout):
            await at.bus.call(Workshop.add, Pair(left=1, right=2), timeout=0.05)
        given_up = asyncio.create_task(at.bus.call(Workshop.add, Pair(left=1, right=2)))
        await asyncio.sleep(0.02)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        at.bench.gate("x").set()
        assert await running == "x"
        await stopping


async def test_a_handler_may_stop_its_broker() -> None:
    broker = make_broker()

    async def stop() -> int:
        stops.append(asyncio.create_task(broker.stop(drain=5)))
        return 7

    stops: list[asyncio.Task[None]] = []
    async with rig(broker, BRISK) as at:
        with broker.override(Workshop.total, stop):
            assert await at.bus.call(Workshop.total) == 7
        await stops[0]
        assert broker.sessions == []


async def test_a_handler_that_waits_for_the_stop_is_not_waited_for() -> None:
    broker = make_broker()

    async def stop() -> int:
        await broker.stop(drain=30)
        return 7

    async with rig(broker, BRISK) as at:
        with broker.override(Workshop.total, stop), pytest.raises(CallCancelled):
            await at.bus.call(Workshop.total)
        await broker.stopped()


async def test_it_may_be_asked_twice_and_needs_a_broker_that_is_served() -> None:
    broker = make_broker()
    with pytest.raises(RuntimeError, match="not served"):
        await broker.stop()
    async with broker.opened():
        await asyncio.gather(broker.stop(drain=1), broker.stop())
        await broker.stop()


@asynccontextmanager
async def served(broker: Broker[Bench]) -> AsyncIterator[str]:
    async with broker.serve("ws://127.0.0.1:0", token="secret") as endpoints:
        yield endpoints[0].url


async def test_clients_on_websocket_go_elsewhere_and_come_back_there() -> None:
    first, second = make_broker(), make_broker()
    async with (
        served(first) as url,
        served(second) as successor,
        connect(url, token="secret", limits=BRISK) as bus,
    ):
        assert await bus.call(Workshop.add, Pair(left=1, right=2)) == 3
        told: list[str] = []
        bus.on(Ionbus.discontinuity, lambda each: told.append(each.reason))
        await first.stop(drain=1, elsewhere=successor)
        assert await bus.call(Workshop.add, Pair(left=2, right=2)) == 4
        assert told == ["new_epoch"]
        [session] = second.sessions
        session.close_channel("protocol_error", "cut, in a test")
        assert await bus.call(Workshop.add, Pair(left=3, right=2)) == 5
        assert second.sessions == [session]


async def test_a_large_answer_is_there_before_the_broker_goes() -> None:
    broker = make_broker()
    started, gate = asyncio.Event(), asyncio.Event()

    async def large(_: bytes) -> bytes:
        started.set()
        await gate.wait()
        return bytes(30_000_000)

    async with served(broker) as url, connect(url, token="secret", limits=BRISK) as bus:
        with broker.override(Workshop.echo, large):
            asking = asyncio.create_task(bus.call(Workshop.echo, b"", timeout=15))
            await started.wait()
            stopping = asyncio.create_task(broker.stop(drain=10))
            await asyncio.sleep(0)
            gate.set()
            assert len(await asking) == 30_000_000
            await stopping


async def test_a_client_that_closes_while_its_channel_is_behind_ends_its_session_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = make_broker()
    async with served(broker) as url:
        async with connect(url, token="secret") as bus:
            assert await bus.call(Workshop.add, Pair(left=1, right=2)) == 3
            channel = bus._session.link.pump.channel
            monkeypatch.setattr(channel, "is_writable", False)
        await eventually(lambda: broker.sessions == [])


async def test_where_nobody_answers_elsewhere_a_client_returns() -> None:
    broker, again = make_broker(), make_broker()
    opener = websocket_opener("ws://127.0.0.1:1", "secret")
    async with served(again) as url:
        opener = websocket_opener(url, "secret")
        async with opened_bus(opener, BRISK) as bus:
            assert await bus.call(Workshop.add, Pair(left=1, right=2)) == 3
            opener.redirect("ws://127.0.0.1:1")
            [session] = again.sessions
            session.close_channel("stopping", "in a test")
            assert await bus.call(Workshop.add, Pair(left=2, right=2)) == 4
    assert broker.sessions == []


@pytest.mark.parametrize(
    "unsafe", ["ws://example.com:80", "http://127.0.0.1", "ws://127.0.0.1.example.com", "nonsense"]
)
async def test_a_client_does_not_go_where_its_token_would_be_seen(
    unsafe: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker()
    async with served(broker) as url, connect(url, token="secret", limits=BRISK) as bus:
        assert await bus.call(Workshop.add, Pair(left=1, right=2)) == 3
        with caplog.at_level(logging.WARNING, "ionbus"):
            [session] = broker.sessions
            session.close_channel("stopping", "in a test", {"elsewhere": unsafe})
            assert await bus.call(Workshop.add, Pair(left=2, right=2)) == 4
        assert "not safe" in caplog.text
