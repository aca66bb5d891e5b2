"""A Python client of a broker: calls, events and streams in both directions, as a user sees them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ionbus import (
    Broker,
    Bus,
    Call,
    CallCancelled,
    CallTimeout,
    ConnectionLost,
    ConnectionState,
    Context,
    Contract,
    InternalError,
    InvalidPayload,
    IonbusError,
    NotAllowed,
    NotFound,
    Received,
    Stream,
    TooLarge,
    connect,
)
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Frame, Limits
from ionbus.session import acceptor
from ionbus.testing import FakeClock
from ionbus.wire.frames import encode_control
from workshop import Pair, Progress, Rig, TooBig, Workshop, eventually, make_broker, opened_bus, rig


@pytest.fixture
async def at() -> AsyncIterator[Rig]:
    async with rig() as made:
        yield made


async def test_a_call_is_answered(at: Rig) -> None:
    assert await at.bus.call(Workshop.add, Pair(left=1, right=2)) == 3


async def test_many_calls_at_once_each_get_their_own_answer(at: Rig) -> None:
    pairs = [Pair(left=1, right=number) for number in range(500)]
    assert await asyncio.gather(*(at.bus.call(Workshop.add, pair) for pair in pairs)) == list(range(1, 501))


async def test_a_declared_error_comes_with_its_fields(at: Rig) -> None:
    with pytest.raises(TooBig, match="too big") as raised:
        await at.bus.call(Workshop.add, Pair(left=1001, right=2))
    assert raised.value.limit == 1000


@pytest.mark.parametrize("kind", ["plain", "undeclared", "exit"])
async def test_any_other_error_comes_without_detail_and_is_logged(
    at: Rig, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(InternalError) as raised:
        await at.bus.call(Workshop.fail, kind)
    assert "secret" not in str(raised.value)
    assert len(raised.value.incident_id) == 12
    assert raised.value.incident_id in caplog.text
    assert "Traceback" in caplog.text
    assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2


async def test_an_invalid_request_is_refused_before_it_is_sent(at: Rig) -> None:
    with pytest.raises(InvalidPayload, match=r"workshop\.add: right") as raised:
        await at.bus.call(Workshop.add, {"left": 1, "right": "x"})  # type: ignore[misc]
    assert [path for path, _ in raised.value.paths] == ["right"]


async def test_an_invalid_request_is_refused_on_arrival_with_its_path(at: Rig) -> None:
    class Other(Contract, name="workshop"):
        add = Call(dict[str, int | str], int)

    listener = at.listener
    async with opened_bus(listener.open) as bus:
        bus._session._announced["workshop"] = (
            Other.__contract__
        )  # a client that does not say what it was built with
        sent: dict[str, int | str] = {"left": 1, "right": "x"}
        with pytest.raises(InvalidPayload, match="right") as raised:
            await bus.call(Other.add, sent)
    assert [path for path, _ in raised.value.paths] == ["right"]


async def test_an_unknown_name_is_not_found(at: Rig) -> None:
    class Other(Contract, name="nowhere"):
        add = Call(None, int)
        count = Stream(None, int)

    with pytest.raises(NotFound, match=r"nowhere\.add"):
        await at.bus.call(Other.add)
    with pytest.raises(NotFound, match=r"nowhere\.count"):
        async with at.bus.stream(Other.count) as items:
            await anext(items)


async def test_in_memory_a_call_without_a_handler_is_not_found() -> None:
    async with connect(Broker(Workshop)) as bus:
        with pytest.raises(NotFound, match="no handler"):
            await bus.call(Workshop.add, Pair(left=1, right=1))


async def test_each_side_may_only_do_its_own(at: Rig) -> None:
    with pytest.raises(NotAllowed):
        await at.bus.call(Workshop.question, "?")  # type: ignore[arg-type]
    with pytest.raises(NotAllowed):
        await at.bus.emit(Workshop.noticed, "?")  # type: ignore[arg-type]
    with pytest.raises(NotAllowed):
        await at.broker.emit(Workshop.said, "?")  # type: ignore[arg-type]


# Time and cancellation.


async def test_a_call_times_out_and_stops_its_handler(at: Rig) -> None:
    with pytest.raises(TimeoutError, match=r"workshop.hurried: not answered within 0.05 s") as raised:
        await at.bus.call(Workshop.hurried)
    assert isinstance(raised.value, CallTimeout)
    await eventually(lambda: at.bench.ended == ["hurried"])


async def test_a_timeout_of_the_caller_replaces_the_contracts(at: Rig) -> None:
    with pytest.raises(CallTimeout, match=r"0\.02 s"):
        await at.bus.call(Workshop.wait, "x", timeout=0.02)


async def test_the_deadline_is_known_to_the_handler(at: Rig) -> None:
    task = asyncio.create_task(at.bus.call(Workshop.wait, "x", timeout=20))
    await eventually(lambda: at.bench.contexts)
    deadline = at.bench.contexts[0].deadline
    assert deadline is not None
    assert 15 < deadline - asyncio.get_running_loop().time() < 20.1
    at.bench.gate("x").set()
    assert await task == "x"


async def test_cancelling_a_call_cancels_its_handler(at: Rig) -> None:
    task = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
    await eventually(lambda: at.bench.started)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: at.bench.ended == ["x"])
    assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2


async def test_a_call_that_was_cancelled_before_it_left_never_starts(at: Rig) -> None:
    at.listener.is_refusing = True
    at.wire.cut()
    task = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    at.listener.is_refusing = False
    at.bus.reconnect()
    assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
    assert at.bench.started == []


async def test_a_def_handler_whose_caller_gave_up_runs_on_and_is_told(at: Rig) -> None:
    timeout = 0.05
    while not at.bench.started:  # a busy machine may need longer to start it
        with pytest.raises(CallTimeout):
            await at.bus.call(Workshop.block, "x", timeout=timeout)
        timeout *= 2
    assert at.bench.started == ["x"]
    assert at.bench.ended == []
    at.bench.thread_gate("x").set()
    await eventually(lambda: at.bench.ended == ["x True"])


async def test_a_def_handler_does_not_hold_up_others(at: Rig) -> None:
    task = asyncio.create_task(at.bus.call(Workshop.block, "x"))
    await eventually(lambda: at.bench.started)
    assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
    at.bench.thread_gate("x").set()
    assert await task == "x"


async def test_closing_fails_what_waits_and_cancels_the_handlers(at: Rig) -> None:
    task = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
    await eventually(lambda: at.bench.started)
    await at.bus.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await task
    await eventually(lambda: at.bench.ended == ["x"])
    assert at.bus.state == ConnectionState.CLOSED
    with pytest.raises(ConnectionLost):
        await at.bus.call(Workshop.add, Pair(left=1, right=1))
    await eventually(lambda: at.broker.sessions == [])


# The broker calls the client.


async def test_the_broker_calls_the_client(at: Rig) -> None:
    @at.bus.handle(Workshop.question)
    async def question(text: str) -> str:
        if text == "big":
            raise TooBig(limit=7)
        return text.upper()

    assert await at.bus.call(Workshop.ask_back, "why") == "WHY"
    (session,) = at.broker.sessions
    assert await at.broker.call(session, Workshop.question, "how") == "HOW"
    with pytest.raises(TooBig) as raised:
        await at.broker.call(session, Workshop.question, "big")
    assert raised.value.limit == 7
    with pytest.raises(TypeError, match="already"):
        at.bus.handle(Workshop.question)(question)


async def test_a_client_without_a_handler_says_so(at: Rig) -> None:
    (session,) = at.broker.sessions
    with pytest.raises(NotFound, match=r"workshop\.question"):
        await at.broker.call(session, Workshop.question, "how")


async def test_a_clients_def_handler_runs_on_a_thread(at: Rig) -> None:
    @at.bus.handle(Workshop.question)
    def question(text: str) -> str:
        return text[::-1]

    assert await at.bus.call(Workshop.ask_back, "abc") == "cba"


async def test_cancelling_travels_on_through_the_handler_to_the_client(at: Rig) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    @at.bus.handle(Workshop.question)
    async def question(text: str) -> str:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return text

    task = asyncio.create_task(at.bus.call(Workshop.ask_back, "?"))
    await started.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await ended.wait()


async def test_the_broker_reads_a_stream_of_the_client(at: Rig) -> None:
    @at.bus.handle(Workshop.numbers)
    async def numbers(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    assert await at.bus.call(Workshop.total) == sum(range(100))


# Streams.


async def test_a_stream_gives_all_its_items(at: Rig) -> None:
    async with at.bus.stream(Workshop.count, 1000) as items:
        assert [item async for item in items] == list(range(1000))
    assert at.bench.ended == ["count"]


async def test_a_stream_on_a_thread_gives_all_its_items(at: Rig) -> None:
    async with at.bus.stream(Workshop.count_on_thread, 1000) as items:
        assert [item async for item in items] == list(range(1000))
    assert at.bench.ended == ["count_on_thread"]


@pytest.mark.parametrize("stream", [Workshop.count, Workshop.count_on_thread], ids=lambda stream: stream.name)
async def test_a_slow_reader_holds_the_handler_up_and_leaving_ends_it(
    at: Rig, stream: Stream[int, int, Any]
) -> None:
    async with at.bus.stream(stream, 100_000) as items:
        assert await anext(items) == 0
        await eventually(lambda: len(at.bench.started) >= 64)
        assert len(at.bench.started) <= 130
    await eventually(lambda: at.bench.ended)
    assert len(at.bench.started) < 1000
    assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2


async def test_a_declared_error_ends_a_stream_after_its_items(at: Rig) -> None:
    seen: list[int] = []
    async with at.bus.stream(Workshop.count, 6000) as items:
        while len(seen) < 5000:
            seen.append(await anext(items))
        with pytest.raises(TooBig):
            await anext(items)
    assert seen == list(range(5000))


async def test_a_stream_has_its_own_timeout(at: Rig) -> None:
    with FakeClock() as clock:
        async with at.bus.stream(Workshop.count, 100_000, timeout=60) as items:
            await clock.advance(60)
            with pytest.raises(CallTimeout):
                assert [item async for item in items] == []
        await clock.settle()
        assert at.bench.ended == ["count"]


async def test_reading_outside_the_block_is_a_mistake(at: Rig) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await anext(at.bus.stream(Workshop.count, 3))


# Events.


async def test_a_subscription_made_before_a_call_is_in_force_when_its_handler_runs(at: Rig) -> None:
    heard: list[str] = []
    at.bus.on(Workshop.noticed, heard.append)
    assert await at.bus.call(Workshop.report, 3) == "done"
    assert heard == ["step 0", "step 1", "step 2"]


async def test_a_time_out_without_a_connection_tells_why() -> None:
    async with connect("ws://127.0.0.1:1", wait=False) as bus:
        with pytest.raises(
            CallTimeout,
            match=r"within 0.2 s; there is no connection: ws://127.0.0.1:1: nothing listens there",
        ):
            await bus.call(Workshop.add, Pair(left=1, right=2), timeout=0.2)


async def test_a_result_never_overtakes_an_event_that_its_handler_emitted(at: Rig) -> None:
    heard: list[str] = []
    at.bus.on(Workshop.noticed, heard.append)
    await at.bus.call(Workshop.report, 10_000, timeout=60)
    assert len(heard) == 10_000


async def test_a_result_never_overtakes_a_large_event_that_its_handler_emitted(at: Rig) -> None:
    heard: list[int] = []
    at.bus.on(Workshop.noticed, lambda text: heard.append(len(text)))

    async def report(steps: int, ctx: Context[Any]) -> str:
        for _ in range(steps):
            await ctx.emit(Workshop.noticed, "x" * 1_000_000)
        return "done"

    with at.broker.override(Workshop.report, report):
        assert await at.bus.call(Workshop.report, 3) == "done"
    assert heard == [1_000_000] * 3


async def test_closing_a_subscription_ends_it(at: Rig) -> None:
    heard: list[str] = []
    first = at.bus.on(Workshop.noticed, heard.append)
    with at.bus.on(Workshop.noticed, heard.append) as second:
        await at.bus.call(Workshop.report, 1)
        assert second.is_open
    assert heard == ["step 0", "step 0"]
    first()
    first.close()
    await at.bus.call(Workshop.report, 1)
    assert len(heard) == 2
    assert not at.broker.sessions[0].subscribes("workshop.noticed")


async def test_nobody_waits_for_the_confirmation_of_what_was_closed(at: Rig) -> None:
    subscription = at.bus.on(Workshop.noticed, print)
    subscription.close()
    with pytest.raises(CallCancelled, match=r"workshop\.noticed: closed"):
        await subscription.confirmed()


async def test_patterns_and_contracts_give_name_and_payload(at: Rig) -> None:
    by_pattern: list[Received[object]] = []
    by_contract: list[Received[object]] = []
    at.bus.on("workshop.*", by_pattern.append)
    at.bus.on(Workshop, by_contract.append)
    await at.bus.call(Workshop.report, 1)
    await at.broker.emit(Workshop.progress, Progress(job="a", percent=1))
    await eventually(lambda: len(by_pattern) == 2)
    assert by_pattern == [
        Received("workshop.noticed", "step 0"),
        Received("workshop.progress", {"job": "a", "percent": 1.0}),
    ]
    assert Workshop.progress.matches(by_contract[1])
    assert by_contract[1].payload == Progress(job="a", percent=1)
    with pytest.raises(ValueError, match=r"\*\*"):
        at.bus.on("a.**.b", by_pattern.append)


async def test_an_event_without_payload_arrives(at: Rig) -> None:
    heard: list[None] = []
    subscription = at.bus.on(Workshop.pinged, heard.append)
    await subscription.confirmed()
    await at.broker.emit(Workshop.pinged)
    await eventually(lambda: heard == [None])


async def test_subscribing_to_what_is_not_there_is_refused(at: Rig) -> None:
    refused: list[IonbusError] = []
    stop = at.bus.on_error(refused.append)
    subscription = at.bus.on("workshop.nothing", print)
    with pytest.raises(NotFound, match=r"workshop\.nothing"):
        await subscription.confirmed()
    assert not subscription.is_open
    assert isinstance(refused[0], NotFound)
    stop()
    with pytest.raises(NotFound):
        async with at.bus.events("workshop.add"):
            pass


async def test_listeners_start_in_order_and_do_not_wait_for_one_another(at: Rig) -> None:
    started: list[str] = []
    gate = asyncio.Event()

    async def slow(text: str) -> None:
        started.append(text)
        await gate.wait()

    at.bus.on(Workshop.noticed, slow)
    await at.bus.call(Workshop.report, 200)
    await eventually(lambda: len(started) == 200)
    assert started == [f"step {step}" for step in range(200)]
    gate.set()


async def test_no_more_listeners_run_at_a_time_than_are_allowed(at: Rig) -> None:
    started: list[str] = []
    gate = asyncio.Event()

    async def slow(text: str) -> None:
        started.append(text)
        await gate.wait()

    at.bus.on(Workshop.noticed, slow)
    await at.bus.call(Workshop.report, 300)
    await eventually(lambda: len(started) >= 256)
    await at.bus.call(Workshop.add, Pair(left=1, right=1))
    assert len(started) == 256
    gate.set()
    await eventually(lambda: len(started) == 300)
    assert started == [f"step {step}" for step in range(300)]


async def test_what_waited_for_a_subscription_does_not_come_after_it_has_closed(at: Rig) -> None:
    heard: list[str] = []
    gate = asyncio.Event()

    async def slow(_: str) -> None:
        await gate.wait()

    at.bus.on(Workshop.noticed, slow)
    closed = at.bus.on(Workshop.noticed, heard.append)
    await at.bus.call(Workshop.report, 300)
    await at.bus.call(Workshop.add, Pair(left=1, right=1))
    assert len(heard) == 256  # no more listeners run at a time: the others wait
    closed.close()
    gate.set()
    await at.bus.call(Workshop.report, 1)
    assert len(heard) == 256


async def test_a_listener_that_fails_harms_nobody(at: Rig, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(_: str) -> None:
        raise RuntimeError("broken listener")

    async def broken_later(_: str) -> None:
        raise RuntimeError("broken later")

    at.bus.on(Workshop.noticed, broken)
    at.bus.on(Workshop.noticed, broken_later)
    at.bus.on(Workshop.noticed, heard.append)
    await at.bus.call(Workshop.report, 2)
    assert heard == ["step 0", "step 1"]
    await eventually(lambda: "broken later" in caplog.text)
    assert "broken listener" in caplog.text


async def test_events_come_one_at_a_time_and_hold_their_sender_up() -> None:
    limits = Limits(credit_messages=10)
    async with rig(limits=limits) as at, at.bus.events(Workshop.noticed) as events:
        task = asyncio.create_task(at.bus.call(Workshop.report, 100))
        assert await anext(events) == "step 0"
        assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        assert not task.done()
        for step in range(1, 100):
            assert await anext(events) == f"step {step}"
        assert await task == "done"


async def test_leaving_the_events_gives_their_credit_back() -> None:
    async with rig(limits=Limits(credit_messages=10)) as at:
        async with at.bus.events(Workshop.noticed):
            task = asyncio.create_task(at.bus.call(Workshop.report, 100))
            await at.bus.call(Workshop.add, Pair(left=1, right=1))
        assert await task == "done"


async def test_closing_ends_the_events(at: Rig) -> None:
    async with at.bus.events(Workshop.noticed) as events:
        task = asyncio.create_task(anext(events))
        await asyncio.sleep(0)
        await at.bus.close()
        with pytest.raises(ConnectionLost):
            await task


# What a client publishes.


async def test_the_broker_hears_what_a_client_says(at: Rig) -> None:
    await at.bus.emit(Workshop.said, "hello")
    await eventually(lambda: at.bench.heard == ["hello"])


async def test_other_clients_hear_it_and_the_sender_does_not(at: Rig) -> None:
    mine: list[str] = []
    others: list[str] = []
    at.bus.on(Workshop.shouted, mine.append)
    async with opened_bus(at.listener.open) as other:
        await other.on(Workshop.shouted, others.append).confirmed()
        await at.bus.emit(Workshop.shouted, "hey")
        await eventually(lambda: others == ["hey"])
        await at.broker.emit(Workshop.shouted, "all")
        await eventually(lambda: others == ["hey", "all"] and mine == ["all"])


async def test_an_event_that_the_broker_refuses_comes_back_as_an_error(at: Rig) -> None:
    from ionbus.wire.messages import encode_event

    refused: list[IonbusError] = []
    at.bus.on_error(refused.append)
    peer = at.bus._session.peer
    await peer.emit(encode_event("workshop.said", b"\x01"), 1, "session")  # not a text
    await peer.emit(encode_event("workshop.noticed", b"\xa1x"), 2, "session")  # the broker's
    await peer.emit(encode_event("workshop.nothing", b"\xa1x"), 2, "session")
    await eventually(lambda: len(refused) == 3)
    assert [type(error) for error in refused] == [InvalidPayload, NotAllowed, NotFound]
    await at.bus.emit(Workshop.said, "still here")
    await eventually(lambda: at.bench.heard == ["still here"])


async def test_what_is_emitted_before_closing_still_leaves(at: Rig) -> None:
    await at.bus.emit(Workshop.said, "last words")
    await at.bus.close()
    await eventually(lambda: at.bench.heard == ["last words"])


async def test_a_large_event_that_is_on_its_way_leaves_before_closing(at: Rig) -> None:
    emitting = asyncio.create_task(at.bus.emit(Workshop.said, "x" * 1_000_000))
    await asyncio.sleep(0)  # it has begun
    await at.bus.close()
    await eventually(lambda: [len(text) for text in at.bench.heard] == [1_000_000])
    await emitting


# Large messages.


async def test_a_large_request_and_answer_travel_in_parts(at: Rig) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB
    assert await at.bus.call(Workshop.echo, data) == data


async def test_a_message_above_the_others_limit_is_refused_at_once() -> None:
    async with rig(make_broker(Limits(max_message_bytes=300_000))) as at:
        with pytest.raises(TooLarge, match="300000"):
            await at.bus.call(Workshop.echo, bytes(400_000))
        assert await at.bus.call(Workshop.echo, b"small") == b"small"


async def test_an_answer_above_the_callers_limit_fails_that_call() -> None:
    async with rig(limits=Limits(max_message_bytes=300_000)) as at:
        with pytest.raises(TooLarge):
            await at.bus.call(Workshop.echo, bytes(400_000))
        assert await at.bus.call(Workshop.echo, b"small") == b"small"


async def test_a_cancelled_transfer_is_given_up(at: Rig) -> None:
    task = asyncio.create_task(at.bus.call(Workshop.echo, bytes(20_000_000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await at.bus.call(Workshop.echo, b"small") == b"small"


async def test_the_rights_that_the_broker_gives_are_kept_without_asking_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_rights(kind: Frame, *fields: Any) -> bytes:
        return encode_control(kind, {**fields[0], "rights": {"withheld": ["workshop.echo", "workshop.said"]}})

    monkeypatch.setattr(acceptor, "encode_control", with_rights)
    async with rig(make_broker()) as at:
        assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        with pytest.raises(NotAllowed, match=r"workshop\.echo: the broker gave no right to use it"):
            await at.bus.call(Workshop.echo, b"")
        with pytest.raises(NotAllowed, match=r"workshop\.said: the broker gave no right to publish it"):
            await at.bus.emit(Workshop.said, "hello")


# Connecting.


async def test_connecting_to_nothing_says_what_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IONBUS_URL", raising=False)
    with pytest.raises(ConnectionLost, match="IONBUS_URL"):
        async with connect():
            pass


async def test_connecting_where_nobody_listens_says_so(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionLost, match=str(unused_tcp_port)):
        async with connect(f"ws://127.0.0.1:{unused_tcp_port}"):
            pass


async def test_connecting_to_what_never_answers_is_a_lost_connection() -> None:
    class Deaf:
        def frame_received(self, frame: bytes) -> None: ...
        def writable(self) -> None: ...
        def closed(self, over: bool, code: str, message: str) -> None: ...

    listener = MemoryListener(lambda _channel, _identity: Deaf())
    with pytest.raises(ConnectionLost, match="no WELCOME within 50 ms"):
        async with opened_bus(listener.open, Limits(handshake_ms=50)):
            pass


async def test_not_waiting_enters_at_once_and_connects_later() -> None:
    broker = make_broker()
    async with broker.opened():
        listener_is_there = asyncio.Event()

        async def open_later(receiver: object) -> object:
            if not listener_is_there.is_set():
                raise ConnectionLost("not yet")
            return await MemoryListener(broker.accept_local()).open(receiver)  # type: ignore[arg-type]

        from ionbus.client.client_session import ClientSession

        session = ClientSession(
            open_later,  # type: ignore[arg-type]
            contracts=(),
            limits=Limits(),
            agent="tests",
            may_renew_token=False,
        )
        await session.start(wait=False)
        bus = Bus(session)
        task = asyncio.create_task(bus.call(Workshop.add, Pair(left=1, right=1)))
        await asyncio.sleep(0)
        assert bus.state == ConnectionState.CONNECTING
        listener_is_there.set()
        bus.reconnect()
        assert await task == 2
        await bus.close()


async def test_cancelled_calls_are_answered_as_cancelled_by_the_other_side(at: Rig) -> None:
    # A handler that is cancelled by itself: its caller learns that, and does not hang.
    @at.bus.handle(Workshop.question)
    async def question(text: str) -> str:
        raise asyncio.CancelledError

    (session,) = at.broker.sessions
    with pytest.raises(CallCancelled):
        await at.broker.call(session, Workshop.question, "?")
