"""A proxy whose connections fail, between a broker and its clients: sessions go on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from chores import Chores
from ionbus import Broker, Bus, ConnectionState, IonbusError, connect
from ionbus.broker.endpoints import Endpoint
from ionbus.generated.protocol import Limits
from ionbus.session.connection import StateChange
from ionbus.testing import FaultProxy, Faults, ProxyConnection
from ionbus.testing.faults import Direction
from ionbus.testing.proxy import How
from workshop import Bench, Pair, Workshop, eventually, make_broker

BRISK = Limits(retry_base_ms=1, retry_cap_ms=20)


@dataclass
class Setup:
    broker: Broker[Bench]
    endpoint: Endpoint
    proxy: FaultProxy
    bus: Bus
    changes: list[StateChange]


@asynccontextmanager
async def setup(
    faults: Faults | None = None, *, limits: Limits = BRISK, wait: bool = True
) -> AsyncIterator[Setup]:
    broker = make_broker(limits)
    async with (
        broker.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,),
        FaultProxy(endpoint.url, faults) as proxy,
        connect(proxy.url, token=endpoint.token, limits=limits, wait=wait) as bus,
    ):
        changes: list[StateChange] = []
        bus.on_state(changes.append)
        yield Setup(broker, endpoint, proxy, bus, changes)


def outcomes(changes: list[StateChange]) -> list[str]:
    return [change.outcome for change in changes if change.outcome is not None]


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_client_that_is_cut_resumes(how: How) -> None:
    async with setup() as at:
        heard: list[str] = []
        at.bus.on(Workshop.noticed, heard.append)
        for number in range(5):
            call = asyncio.create_task(at.bus.call(Workshop.report, 3))
            await asyncio.sleep(0)
            at.proxy.cut(how=how, after_bytes=20 * number, direction="to_client")
            assert await call == "done"
        assert heard == ["step 0", "step 1", "step 2"] * 5
        assert outcomes(at.changes) == ["resumed"] * (at.proxy.opened - 1)


async def test_a_broker_that_sees_its_client_gone_while_that_sees_nothing() -> None:
    quick = Limits(retry_base_ms=1, retry_cap_ms=20, heartbeat_ms=50, silence_ms=150)
    async with setup(limits=quick) as at:
        assert await at.bus.call(Workshop.add, Pair(left=1, right=2)) == 3
        [session] = at.broker.sessions
        at.proxy.half_open("client")
        await eventually(lambda: not session.is_connected)
        assert at.bus.state == ConnectionState.OPEN
        assert (
            await at.bus.call(Workshop.add, Pair(left=2, right=2)) == 4
        )  # it notices the silence and resumes
        assert outcomes(at.changes) == ["resumed"]
        assert at.broker.sessions == [session]


async def test_a_client_that_sees_its_broker_gone_evicts_the_channel_that_is_still_open() -> None:
    async with setup() as at:
        [session] = at.broker.sessions
        before = session.carrier
        at.proxy.half_open("broker")
        assert await at.bus.call(Workshop.add, Pair(left=2, right=2)) == 4
        assert outcomes(at.changes) == ["resumed"]
        assert at.broker.sessions == [session]
        assert session.carrier is not before


async def test_a_network_that_is_down_for_a_while() -> None:
    async with setup() as at:
        at.proxy.down()
        await eventually(lambda: at.bus.state == ConnectionState.RECONNECTING)
        call = asyncio.create_task(at.bus.call(Workshop.add, Pair(left=2, right=2)))
        opened = at.proxy.opened
        assert at.proxy.opened == opened
        at.proxy.up()
        assert await call == 4
        assert outcomes(at.changes) == ["resumed"]


async def test_a_flipped_bit_costs_a_channel_at_most() -> None:
    async with (
        setup(Faults(seed=3, flip=0.3, after=3)) as at,
        connect(at.endpoint.url, token=at.endpoint.token) as other,
    ):

        async def call_on() -> None:
            while True:
                with suppress(IonbusError):  # a changed frame that can be read is another message
                    await at.bus.call(Workshop.add, Pair(left=1, right=0), timeout=0.1)

        calling = asyncio.create_task(call_on())
        await eventually(lambda: at.proxy.faults.counts["flip"] > 20)
        calling.cancel()
        await asyncio.wait([calling])
        at.proxy.faults.set(flip=0)
        assert await other.call(Workshop.add, Pair(left=1, right=1)) == 2
        assert await at.bus.call(Workshop.add, Pair(left=1, right=2), timeout=5) == 3


async def test_fifty_clients_are_each_cut_at_bytes_of_their_own() -> None:
    def plan(connection: ProxyConnection) -> None:
        if connection.number <= 150:
            direction: Direction = "to_broker" if connection.random() < 0.5 else "to_client"
            connection.cut(
                after_bytes=1 + int(connection.random() * 1500),
                direction=direction,
                how="reset" if connection.random() < 0.5 else "close",
            )

    broker = make_broker()

    async def work(url: str, token: str | None) -> list[int]:
        async with connect(url, token=token, limits=BRISK, wait=False) as bus:
            return [await bus.call(Workshop.add, Pair(left=number, right=1)) for number in range(20)]

    async with (
        broker.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,),
        FaultProxy(endpoint.url, seed=1, on_connection=plan) as proxy,
    ):
        sums = await asyncio.gather(*(work(proxy.url, endpoint.token) for _ in range(50)))
        assert sums == [list(range(1, 21))] * 50
        assert proxy.faults.counts["cut"] > 50
        assert proxy.opened > 100


async def test_a_broker_in_another_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent.parent / "chores.py"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        said = ""
        while "serving ws://" not in said:
            said = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
        *_, url, _, token = said.split()  # ionbus: serving URL token TOKEN
        async with FaultProxy(url) as proxy, connect(proxy.url, token=token, limits=BRISK) as bus:
            for after in (1, 30, 60):
                proxy.cut(after_bytes=after, direction="to_broker")
                assert await bus.call(Chores.add, [1, after]) == 1 + after
    finally:
        process.kill()
        await process.wait()
