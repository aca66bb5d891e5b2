"""A client that loses its channel, its session or its broker: nothing is lost, doubled or reordered, or it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import pytest

from ionbus import (
    Broker,
    Bus,
    Call,
    ConnectionState,
    Contract,
    ContractMismatch,
    SessionLost,
    Unauthenticated,
    connect,
)
from ionbus.channels.base import Opened, Receiver
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.session.connection import StateChange
from ionbus.testing import FakeClock, Recorder, pair
from workshop import Bench, Pair, Progress, Rig, Workshop, eventually, make_broker, opened_bus, rig

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)


@pytest.fixture
async def at() -> AsyncIterator[Rig]:
    async with rig(limits=BRISK) as made:
        yield made


async def cut_again_and_again(at: Rig, until: asyncio.Event) -> int:
    """Cut the wire whenever it is open, every few turns of the loop."""
    cuts = 0
    while not until.is_set():
        for _ in range(7 + cuts % 5):
            await asyncio.sleep(0)
        if at.bus.state == ConnectionState.OPEN:
            at.wire.cut()
            cuts += 1
        await asyncio.sleep(0.003)
    return cuts


async def test_calls_survive_cuts_and_are_answered_once(at: Rig) -> None:
    over = asyncio.Event()
    cutting = asyncio.create_task(cut_again_and_again(at, over))
    for number in range(150):
        assert await at.bus.call(Workshop.add, Pair(left=1, right=number)) == number + 1
    over.set()
    assert await cutting > 2


async def test_events_survive_cuts_in_order_and_once(at: Rig) -> None:
    heard: list[str] = []
    at.bus.on(Workshop.noticed, heard.append)
    over = asyncio.Event()
    cutting = asyncio.create_task(cut_again_and_again(at, over))
    for batch in range(40):
        await at.bus.call(Workshop.report, 50, timeout=60)
        assert len(heard) == 50 * (batch + 1)
    over.set()
    assert await cutting > 2
    assert heard == [f"step {step}" for step in range(50)] * 40


async def test_what_a_client_emits_survives_cuts_in_order_and_once(at: Rig) -> None:
    over = asyncio.Event()
    cutting = asyncio.create_task(cut_again_and_again(at, over))
    for number in range(3000):
        await at.bus.emit(Workshop.said, str(number))
        if number % 20 == 0:
            await asyncio.sleep(0)
    await eventually(lambda: len(at.bench.heard) == 3000)
    over.set()
    await cutting
    assert at.bench.heard == [str(number) for number in range(3000)]


async def test_a_stream_survives_cuts(at: Rig) -> None:
    over = asyncio.Event()
    cutting = asyncio.create_task(cut_again_and_again(at, over))
    async with at.bus.stream(Workshop.count, 4000) as items:
        assert [item async for item in items] == list(range(4000))
    over.set()
    assert await cutting > 2


async def test_large_messages_survive_cuts(at: Rig) -> None:
    data = bytes(range(256)) * 8_000
    over = asyncio.Event()
    cutting = asyncio.create_task(cut_again_and_again(at, over))
    for _ in range(5):
        assert await at.bus.call(Workshop.echo, data) == data
    over.set()
    assert await cutting > 2


async def test_the_handler_does_not_notice_a_cut(at: Rig) -> None:
    changes: list[StateChange] = []
    at.bus.on_state(changes.append)
    task = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
    await eventually(lambda: at.bench.started)
    at.wire.cut()
    assert at.bus.state == ConnectionState.RECONNECTING
    await eventually(lambda: at.bus.state == ConnectionState.OPEN)
    at.bench.gate("x").set()
    assert await task == "x"
    assert at.bench.ended == ["x"]
    assert [(change.before, change.after, change.outcome) for change in changes] == [
        ("open", "reconnecting", None),
        ("reconnecting", "open", "resumed"),
    ]


async def test_a_session_that_was_away_for_too_long_is_replaced() -> None:
    with FakeClock() as clock:
        async with pair(make_broker()) as at:
            recorder = Recorder()
            recorder.record(at.bus, Workshop.noticed)
            bench = at.state
            task = asyncio.create_task(at.bus.call(Workshop.wait, "x", timeout=None))
            await clock.settle()
            assert bench.started == ["x"]
            at.listener.is_refusing = True
            at.cut()
            later = asyncio.create_task(at.bus.call(Workshop.add, Pair(left=2, right=2), timeout=120))
            await at.bus.emit(Workshop.said, "kept for later")
            await clock.advance(59)
            assert len(at.broker.sessions) == 1
            await clock.advance(2)
            assert at.broker.sessions == []
            assert bench.ended == ["x"]  # its handlers are cancelled
            at.listener.is_refusing = False
            await at.reconnected()
            with pytest.raises(SessionLost):
                await task
            assert await later == 4  # it had never left
            assert bench.heard == ["kept for later"]
            change = await recorder.wait_for(ConnectionState.OPEN)
            assert (change.outcome, change.code) == ("lost", "absent")
            await at.bus.call(Workshop.report, 1)
            assert await recorder.wait_for_all([Workshop.noticed]) == ["step 0"]  # it was subscribed to again


@asynccontextmanager
async def served(broker: Broker[Bench], port: int, token: str) -> AsyncIterator[None]:
    async with broker.serve(f"ws://127.0.0.1:{port}", token=token, grace=1.0):
        yield


async def test_a_restarted_broker_is_a_new_epoch(unused_tcp_port: int) -> None:
    heard: list[str] = []
    changes: list[StateChange] = []
    url = f"ws://127.0.0.1:{unused_tcp_port}"
    async with served(make_broker(), unused_tcp_port, "t"):
        bus_context = connect(url, token="t", limits=BRISK)
        bus = await bus_context.__aenter__()
        bus.on_state(changes.append)
        bus.on(Workshop.noticed, heard.append)
        await bus.call(Workshop.report, 1)
        waiting = asyncio.create_task(bus.call(Workshop.wait, "x"))
        await asyncio.sleep(0)
        await bus.call(Workshop.add, Pair(left=1, right=1))
    try:
        await eventually(lambda: bus.state == ConnectionState.RECONNECTING)
        later = asyncio.create_task(bus.call(Workshop.add, Pair(left=2, right=2)))
        async with served(make_broker(), unused_tcp_port, "t"):
            bus.reconnect()
            with pytest.raises(SessionLost):
                await waiting
            assert await later == 4
            await bus.call(Workshop.report, 1)
            assert heard == ["step 0", "step 0"]
            assert changes[-1].outcome == "lost"
            assert changes[0].code == "stopping"
            await bus.close()
    finally:
        await bus_context.__aexit__(None, None, None)


async def test_an_idempotent_call_is_sent_again_to_a_new_session() -> None:
    class Safe(Contract, name="safe"):
        get = Call(str, str, idempotent=True)

    runs: list[str] = []
    gate = asyncio.Event()
    brokers = []
    for name in ("first", "second"):
        broker = Broker(Safe)

        @broker.handle(Safe.get)
        async def get(key: str, name: str = name) -> str:
            runs.append(name)
            if name == "first":
                await gate.wait()
            return f"{key} from {name}"

        brokers.append(broker)
    async with brokers[0].opened(), brokers[1].opened():
        listeners = [MemoryListener(broker.accept_local()) for broker in brokers]
        now = 0

        async def open_there(receiver: Receiver) -> Opened:
            return await listeners[now].open(receiver)

        async with opened_bus(open_there, BRISK) as bus:
            task = asyncio.create_task(bus.call(Safe.get, "a"))
            await eventually(lambda: runs == ["first"])
            now = 1
            assert listeners[0].wire is not None
            listeners[0].wire.cut()
            assert await task == "a from second"
    assert runs == ["first", "second"]


class CuttingProxy:
    """A TCP proxy that drops its connections on command."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.opened = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        with suppress(OSError):
            onward, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers |= {writer, back}
            await asyncio.gather(self._copy(reader, back), self._copy(onward, writer))
            self._writers -= {writer, back}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


async def test_a_real_websocket_that_is_cut_loses_nothing() -> None:
    broker = make_broker()
    # The proxy has another port than the broker, which therefore has to know it by name.
    async with CuttingProxy(0) as proxy:
        serving = broker.serve("ws://127.0.0.1:0", hosts=[f"127.0.0.1:{proxy.port}"])
        async with serving as (endpoint,):
            proxy.target = int(endpoint.url.rpartition(":")[2])
            heard: list[str] = []
            async with connect(f"ws://127.0.0.1:{proxy.port}", token=endpoint.token, limits=BRISK) as bus:
                bus.on(Workshop.noticed, heard.append)
                cuts = 0
                for batch in range(30):
                    await asyncio.gather(
                        bus.call(Workshop.report, 100, timeout=60),
                        *(bus.emit(Workshop.said, f"{batch} {number}") for number in range(20)),
                    )
                    if batch % 3 == 0 and bus.state == ConnectionState.OPEN:
                        proxy.cut()
                        cuts += 1
                assert heard == [f"step {step}" for step in range(100)] * 30
                said = [f"{batch} {number}" for batch in range(30) for number in range(20)]
                await eventually(lambda: broker.state.heard == said)
                assert proxy.opened > 5


async def test_url_and_token_functions_are_asked_before_each_attempt() -> None:
    asked: list[str] = []
    first, second = make_broker(), make_broker()
    stack = first.serve("ws://127.0.0.1:0")
    (endpoint,) = await stack.__aenter__()
    where = endpoint

    def url() -> str:
        asked.append("url")
        return where.url

    async def token() -> str | None:
        asked.append("token")
        return where.token

    async with connect(url, token=token, limits=BRISK) as bus:
        assert await bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        assert asked == ["url", "token"]
        async with second.serve("ws://127.0.0.1:0") as (moved,):
            where = moved
            await stack.__aexit__(None, None, None)
            assert await bus.call(Workshop.add, Pair(left=1, right=2)) == 3
            assert asked[2:4] == ["url", "token"]
            await bus.close()


async def test_a_wrong_token_is_refused_for_good() -> None:
    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        for token in (None, "wrong", "ü"):
            with pytest.raises(Unauthenticated):
                async with connect(endpoint.url, token=token):
                    pass
        async with connect(endpoint.url, token=endpoint.token) as bus:
            assert await bus.call(Workshop.add, Pair(left=1, right=1)) == 2


async def test_a_contract_that_differs_is_refused_at_once_or_when_it_is_used() -> None:
    class Changed(Contract, name="workshop", version="2.0"):
        add = Call(Pair, str)

    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0") as (endpoint,):
        with pytest.raises(ContractMismatch, match=r"workshop.*2\.0.*1\.0"):
            async with connect(endpoint.url, token=endpoint.token, contracts=[Changed]):
                pass
        async with connect(endpoint.url, token=endpoint.token) as bus:
            with pytest.raises(ContractMismatch):
                await bus.call(Changed.add, Pair(left=1, right=1))
            assert bus.state == ConnectionState.OPEN
        async with connect(endpoint.url, token=endpoint.token, contracts=[Workshop]) as other:
            assert await other.call(Workshop.add, Pair(left=1, right=1)) == 2


async def test_an_evicted_client_does_not_come_back_by_itself(at: Rig) -> None:
    """Two processes with one session's secret: the newer channel carries it."""
    first = at.bus._session.link.connection
    async with opened_bus(at.listener.open, BRISK) as thief:
        taken = thief._session.link.connection
        taken._id, taken._secret, taken._attempt = first._id, first._secret, first._attempt
        taken.session = first.session
        taken.epoch = first.epoch
        at_open = [at.bus.state]
        at.wire.cut()  # the thief's own channel: it now comes back as the first
        await eventually(lambda: at.bus.state == ConnectionState.CLOSED)
        assert at_open == [ConnectionState.OPEN]
        with pytest.raises(SessionLost, match="evicted"):
            await at.bus.call(Workshop.add, Pair(left=1, right=1))


async def test_latest_values_wait_through_an_absence_as_one(at: Rig) -> None:
    heard: list[float] = []
    at.bus.on(Workshop.progress, lambda progress: heard.append(progress.percent))
    await at.bus.call(Workshop.add, Pair(left=1, right=1))
    at.listener.is_refusing = True
    at.wire.cut()
    for percent in range(1000):
        await at.broker.emit(Workshop.progress, Progress(job="a", percent=percent))
    at.listener.is_refusing = False
    at.bus.reconnect()
    await eventually(lambda: heard)
    await at.bus.call(Workshop.add, Pair(left=1, right=1))
    assert heard == [999.0]


async def test_the_bus_does_not_matter_to_its_broker_after_its_session(at: Rig) -> None:
    assert isinstance(at.bus, Bus)
    await at.bus.close()
    async with opened_bus(at.listener.open) as other:
        assert await other.call(Workshop.add, Pair(left=1, right=1)) == 2
        assert len(at.broker.sessions) == 1
