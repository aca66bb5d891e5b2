"""Sessions over channels that fail, of every kind: nothing is lost, doubled or reordered."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from ionbus import Broker, Bus, ConnectionState, IonbusError, connect
from ionbus.broker.tokens import no_token
from ionbus.channels.websocket_server import serve_websocket
from ionbus.generated.protocol import Limits
from ionbus.testing import FakeClock, Faults, Recorder, faulty, faulty_accept, pair
from ionbus.testing.faults import Settings
from workshop import Bench, Pair as Two, Workshop, make_broker

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)
TESTS = Path(__file__).resolve().parents[1]
COMMAND = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(TESTS)!r}); import workshop; workshop.make_broker().run()",
]

Connected = Callable[[Faults], AbstractAsyncContextManager[Bus]]


@asynccontextmanager
async def over_memory(faults: Faults) -> AsyncIterator[Bus]:
    async with pair(make_broker(), faults=faults, limits=BRISK) as at:
        yield at.bus


@asynccontextmanager
async def over_websocket(faults: Faults) -> AsyncIterator[Bus]:
    async with make_broker().serve("ws://127.0.0.1:0") as (endpoint,):
        through = partial(faulty, faults=faults)
        async with connect(
            endpoint.url, token=endpoint.token, limits=BRISK, through=through, wait=False
        ) as bus:
            yield bus


@asynccontextmanager
async def over_websocket_at_the_broker(faults: Faults) -> AsyncIterator[Bus]:
    broker: Broker[Bench] = make_broker()
    async with broker.opened() as serving:
        accept = faulty_accept(serving.accept(no_token), faults)
        server = await serve_websocket("127.0.0.1", 0, accept, limits=serving.limits)
        async with connect(server.url, limits=BRISK, wait=False) as bus:
            yield bus
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def over_stdio(faults: Faults) -> AsyncIterator[Bus]:
    through = partial(faulty, faults=faults)
    async with connect(stdio=COMMAND, limits=BRISK, through=through, wait=False) as bus:
        yield bus


@pytest.mark.parametrize(
    "connected",
    [over_memory, over_websocket, over_websocket_at_the_broker, over_stdio],
    ids=lambda connected: connected.__name__,
)
async def test_nothing_is_lost_doubled_or_reordered(connected: Connected) -> None:
    faults = Faults(seed=5, jitter=0.002, drop=0.04, duplicate=0.04)
    async with connected(faults) as bus:
        heard: list[str] = []
        bus.on(Workshop.noticed, heard.append)
        for number in range(100):
            assert await bus.call(Workshop.add, Two(left=1, right=number), timeout=20) == number + 1
            assert await bus.call(Workshop.report, 5, timeout=20) == "done"
        assert heard == [f"step {step}" for step in range(5)] * 100
        async with bus.stream(Workshop.count, 300) as items:
            assert [item async for item in items] == list(range(300))
        faults.set(drop=0, duplicate=0)
    assert faults.counts["drop"] > 3
    assert faults.counts["duplicate"] > 3
    assert faults.channels == []


@pytest.mark.parametrize("settings", [{"truncate": 0.2}, {"flip": 0.2}, {"cut": 0.2}], ids=str)
async def test_damaged_frames_neither_crash_nor_hang(settings: Settings) -> None:
    with FakeClock() as clock:
        for seed in range(10):
            faults = Faults(seed=seed)
            broker = make_broker()
            async with pair(broker, faults=faults) as at, pair(broker) as sound:
                faults.set(**settings)
                for number in range(20):
                    with suppress(IonbusError):  # nothing but an answer or one of ours
                        await clock.drive(at.bus.call(Workshop.add, Two(left=1, right=number), timeout=10))
                assert faults.counts.total() > 0
                assert await sound.bus.call(Workshop.add, Two(left=1, right=1)) == 2


async def test_a_half_open_websocket_is_given_up_and_the_session_resumes() -> None:
    faults = Faults(seed=1)
    recorder = Recorder()
    with FakeClock() as clock:
        async with make_broker().serve("ws://127.0.0.1:0") as (endpoint,):
            through = partial(faulty, faults=faults)
            async with connect(endpoint.url, token=endpoint.token, through=through) as bus:
                recorder.record(bus)
                faults.half_open()
                await clock.advance(10)
                assert recorder.states == []
                change = await recorder.wait_for(ConnectionState.OPEN, timeout=30.0)
                assert change.outcome == "resumed"
                assert await bus.call(Workshop.add, Two(left=1, right=1)) == 2
            faults.close()


async def test_the_seed_repeats_all_that_happens_in_memory() -> None:
    async def run(seed: int) -> list[str]:
        faults = Faults(seed=seed, jitter=0.05, drop=0.1, duplicate=0.1, stall=0.05)
        with FakeClock() as clock:
            async with pair(make_broker(), faults=faults) as at:
                recorder = Recorder()
                recorder.record(at.bus, Workshop.noticed)
                for _ in range(10):
                    await clock.drive(at.bus.call(Workshop.report, 10))
                return [*map(str, recorder.recorded), faults.report(), f"{clock.elapsed:.3f}"]

    first, again, other = [await run(seed) for seed in (1, 1, 2)]
    assert first == again
    assert first != other
