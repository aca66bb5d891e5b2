"""The broker: registration, who may connect, emitting to many, and how it starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from ionbus import (
    Broker,
    Bus,
    Call,
    ConnectionState,
    Context,
    Contract,
    Event,
    Handlers,
    InternalError,
    InvalidPayload,
    Received,
    SessionLost,
    Stream,
    ThreadContext,
    Unauthenticated,
    connect,
)
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.testing import FakeClock, Recorder, pair
from workshop import Pair, Progress, TooBig, Workshop, end_sessions, eventually, make_broker, opened_bus, rig


class Small(Contract, name="small"):
    add = Call(Pair, int)
    ping = Call(None, None)
    logs = Stream(str, int)
    there = Call(None, int, served_by="client")
    said = Event(str, source="client")
    told = Event(str)


class Elsewhere(Contract, name="elsewhere"):
    ping = Call(None, None)
    said = Event(str, source="client")


# Registration.


async def takes_another_request(request: str) -> int:
    return 0


async def gives_another_answer(pair: Pair) -> str:
    return ""


async def takes_a_thread_context(pair: Pair, ctx: ThreadContext) -> int:
    return 0


def takes_an_async_context(pair: Pair, ctx: Context) -> int:
    return 0


async def takes_too_much(pair: Pair, other: int) -> int:
    return 0


async def takes_nothing() -> int:
    return 0


async def wants_a_keyword(pair: Pair, *, key: int) -> int:
    return 0


async def yields(pair: Pair) -> AsyncIterator[int]:
    yield 0


class Outer(Contract, name="outer"):
    class inner(Contract):  # noqa: N801 - a member's name
        ping = Call(None, None)


@pytest.mark.parametrize(
    ("contracts", "problem"),
    [
        ((Outer, Outer), "two contracts are named 'outer'"),
        ((Outer.inner,), r"outer.inner is a part of outer: give Broker the outermost contract"),
        ((Pair,), "Broker takes contracts, not"),
    ],
    ids=["two of a name", "a nested one", "no contract"],
)
def test_what_a_broker_cannot_serve_is_refused(contracts: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        Broker(*contracts)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (takes_another_request, "takes str; the contract says Pair"),
        (gives_another_answer, "returns str; the contract says int"),
        (takes_a_thread_context, "async handler takes Context, not ThreadContext"),
        (takes_an_async_context, "def handler takes ThreadContext, not Context"),
        (takes_too_much, "parameter other is neither"),
        (takes_nothing, "takes no payload"),
        (wants_a_keyword, "needs key by keyword"),
        (yields, "only a stream's handler"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_handler_that_does_not_fit_is_refused(handler: object, problem: str) -> None:
    with pytest.raises(TypeError, match=rf"small.add: .*{problem}"):
        Broker(Small).handle(Small.add)(handler)  # type: ignore[call-overload]


def test_a_streams_handler_yields_what_the_contract_says() -> None:
    broker = Broker(Small)

    async def once(query: str) -> int:
        return 0

    async def others(query: str) -> AsyncIterator[str]:
        yield ""

    with pytest.raises(TypeError, match="yields its items"):
        broker.handle(Small.logs)(once)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="yields str; the contract says int"):
        broker.handle(Small.logs)(others)  # type: ignore[arg-type]


def test_a_second_handler_for_a_call_is_refused() -> None:
    broker = Broker(Small)

    @broker.handle(Small.ping)
    async def ping() -> None: ...

    with pytest.raises(TypeError, match=r"small.ping is handled by .*ping\(\) already"):
        broker.handle(Small.ping)(ping)


def test_what_is_not_the_brokers_is_refused() -> None:
    broker = Broker(Small)
    with pytest.raises(TypeError, match="served by the client"):
        broker.handle(Small.there)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="published by the broker"):
        broker.on(Small.told)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="belongs to the contract elsewhere; this has small"):
        broker.handle(Elsewhere.ping)
    with pytest.raises(TypeError, match="elsewhere"):
        broker.on(Elsewhere.said)
    with pytest.raises(TypeError, match="takes contracts"):
        Broker(Pair)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="two contracts"):
        Broker(Small, Small)


def test_handlers_of_another_file_are_included() -> None:
    broker, handlers = Broker(Small), Handlers(Small)

    @handlers.handle(Small.ping)
    async def ping() -> None: ...

    @handlers.on(Small.said)
    def said(text: str) -> None: ...

    broker.include(handlers)
    assert "small.ping" in broker.handled
    with pytest.raises(TypeError, match="already"):
        broker.include(handlers)
    with pytest.raises(TypeError, match="elsewhere"):
        broker.include(_handlers_of_elsewhere())


def _handlers_of_elsewhere() -> Handlers:
    handlers = Handlers(Elsewhere)

    @handlers.handle(Elsewhere.ping)
    async def ping() -> None: ...

    return handlers


def test_serving_is_refused_while_a_call_has_no_handler() -> None:
    with pytest.raises(TypeError, match=r"small.add, small.ping, small.logs"):
        Broker(Small).serve("ws://127.0.0.1:0")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:0", "ws://", "ws://127.0.0.1:0/path", "stdio", "ws://127.0.0.1:x"]
)
def test_a_url_that_cannot_be_served_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no URL to serve at"):
        make_broker().serve(url)


async def test_only_loopback_is_served_without_a_certificate() -> None:
    with pytest.raises(ValueError, match="ssl"):
        async with make_broker().serve("ws://0.0.0.0:0"):
            pass


async def test_a_broker_that_is_not_served_says_so() -> None:
    broker = make_broker()
    with pytest.raises(RuntimeError, match="not served"):
        await broker.emit(Workshop.pinged)
    assert broker.sessions == []


async def test_an_override_answers_instead() -> None:
    broker = make_broker()

    async def always_seven(pair: Pair) -> int:
        return 7

    async with connect(broker) as bus:
        with broker.override(Workshop.add, always_seven):
            assert await bus.call(Workshop.add, Pair(left=1, right=1)) == 7
        assert await bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        with pytest.raises(TypeError), broker.override(Workshop.add, takes_nothing):
            pass


async def test_a_handler_that_returns_what_its_contract_does_not_say_is_an_internal_error() -> None:
    broker = make_broker()

    async def lies(pair: Pair) -> Any:
        return "no number"

    async with connect(broker) as bus:
        with broker.override(Workshop.add, lies), pytest.raises(InternalError):
            await bus.call(Workshop.add, Pair(left=1, right=1))


# Life.


async def test_lifespan_surrounds_the_service_and_gives_the_state() -> None:
    told: list[str] = []

    @asynccontextmanager
    async def lifespan(broker: Broker[str]) -> AsyncIterator[str]:
        told.append("up")
        yield "the state"
        told.append("down")

    broker = Broker(Elsewhere, lifespan=lifespan)

    @broker.handle(Elsewhere.ping)
    async def ping(ctx: Context[str]) -> None:
        told.append(ctx.state)

    for _ in range(2):  # it can be served again
        async with connect(broker) as first, connect(broker) as second:
            await first.call(Elsewhere.ping)
            await second.call(Elsewhere.ping)
            assert broker.state == "the state"
    assert told == ["up", "the state", "the state", "down"] * 2


async def test_a_lifespan_that_fails_leaves_nothing_behind() -> None:
    @asynccontextmanager
    async def lifespan(broker: Broker[None]) -> AsyncIterator[None]:
        if broker.sessions == []:
            raise RuntimeError("no database")
        yield

    broker = Broker(lifespan=lifespan)
    with pytest.raises(RuntimeError, match="no database"):
        async with broker.serve("ws://127.0.0.1:0"):
            pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_stopping_tells_the_clients_and_cancels_the_handlers() -> None:
    broker = make_broker()
    serving = broker.serve("ws://127.0.0.1:0", grace=1.0)
    (endpoint,) = await serving.__aenter__()
    async with connect(endpoint.url, token=endpoint.token) as bus:
        codes: list[str] = []
        bus.on_state(lambda change: codes.append(change.code))
        task = asyncio.create_task(bus.call(Workshop.wait, "x"))
        state = broker.state
        await eventually(lambda: state.started)
        await serving.__aexit__(None, None, None)
        assert state.ended == ["x"]
        await eventually(lambda: codes)
        assert codes[0] == "stopping"
        assert bus.state == ConnectionState.RECONNECTING
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_token_stays_out_of_what_is_printed() -> None:
    async with make_broker().serve("ws://127.0.0.1:0") as (endpoint,):
        assert endpoint.token is not None
        assert endpoint.token not in repr(endpoint)
        assert endpoint.token not in endpoint.url


# Who may connect.


@pytest.mark.parametrize("is_async", [False, True])
async def test_authenticate_decides_and_its_answer_is_the_principal(is_async: bool) -> None:
    def check(token: str | None) -> str | None:
        if token == "broken":
            raise RuntimeError("the directory is down")
        return {"a": "anna", "b": "bert"}.get(token or "")

    async def check_later(token: str | None) -> str | None:
        await asyncio.sleep(0)
        return check(token)

    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0", authenticate=check_later if is_async else check) as (
        endpoint,
    ):
        assert endpoint.token is None
        async with connect(endpoint.url, token="a"), connect(endpoint.url, token="b"):
            assert sorted(session.principal for session in broker.sessions) == ["anna", "bert"]
        for token in ("c", "broken", None):
            with pytest.raises(Unauthenticated):
                async with connect(endpoint.url, token=token):
                    pass


# Emitting to many.


async def test_emit_reaches_those_that_subscribed() -> None:
    async with AsyncExitStack() as stack:
        broker = make_broker()
        heard: list[list[str]] = [[], [], []]
        for index in range(3):
            bus = await stack.enter_async_context(connect(broker))
            if index < 2:
                await bus.on(Workshop.noticed, heard[index].append).confirmed()
        for number in range(100):
            await broker.emit(Workshop.noticed, str(number))
        await eventually(lambda: len(heard[1]) == len(heard[0]) == 100)
        assert heard[0] == heard[1] == [str(number) for number in range(100)]
        assert heard[2] == []


async def test_an_invalid_event_is_refused_before_it_is_sent() -> None:
    async with rig() as at:
        with pytest.raises(InvalidPayload, match="percent"):
            await at.broker.emit(Workshop.progress, {"job": "a", "percent": "much"})  # type: ignore[misc]


async def test_a_new_subscriber_is_given_the_newest_of_each_key() -> None:
    async with rig() as at:
        for percent in range(3):
            await at.broker.emit(Workshop.progress, Progress(job="a", percent=percent))
            await at.broker.emit(Workshop.progress, Progress(job="b", percent=percent * 10))
        first: list[tuple[str, float]] = []
        second: list[tuple[str, float]] = []
        await at.bus.on(Workshop.progress, lambda p: first.append((p.job, p.percent))).confirmed()
        await eventually(lambda: first == [("a", 2.0), ("b", 20.0)])
        # A second subscription of the same client gets them as well, and the first one does not get them again.
        at.bus.on(Workshop, lambda received: second.append(_job(received)))
        await eventually(lambda: second == [("a", 2.0), ("b", 20.0)])
        assert len(first) == 2


def _job(received: Received[object]) -> tuple[str, float]:
    assert Workshop.progress.matches(received)
    return received.payload.job, received.payload.percent


async def test_what_was_emitted_to_one_session_is_kept_for_that_one() -> None:
    broker = make_broker()

    async def tell(number: int, ctx: Context) -> str:
        await ctx.emit(Workshop.progress, Progress(job="mine", percent=number))
        return ""

    with broker.override(Workshop.report, tell):
        async with connect(broker) as first, connect(broker) as second:
            mine: list[float] = []
            others: list[float] = []
            await first.call(Workshop.report, 5)
            await second.on(Workshop.progress, lambda p: others.append(p.percent)).confirmed()
            await first.on(Workshop.progress, lambda p: mine.append(p.percent)).confirmed()
            await eventually(lambda: mine == [5.0])
            assert others == []


async def test_a_volatile_event_is_dropped_for_who_is_away() -> None:
    async with rig(limits=Limits(retry_base_ms=1)) as at:
        heard: list[str] = []
        await at.bus.on(Workshop.glimpsed, heard.append).confirmed()
        await at.broker.emit(Workshop.glimpsed, "seen")
        await eventually(lambda: heard == ["seen"])
        at.listener.is_refusing = True
        at.wire.cut()
        await at.broker.emit(Workshop.glimpsed, "missed")
        at.listener.is_refusing = False
        at.bus.reconnect()
        await at.bus.call(Workshop.add, Pair(left=1, right=1))
        await at.broker.emit(Workshop.glimpsed, "seen again")
        await eventually(lambda: len(heard) == 2)
        assert heard == ["seen", "seen again"]


async def test_a_reader_that_is_behind_makes_emit_wait_and_loses_nothing() -> None:
    async with rig(limits=Limits(credit_messages=20)) as at:
        seen: list[str] = []
        async with at.bus.events(Workshop.noticed) as events:
            emitting = asyncio.create_task(_emit_many(at.broker, 300))
            async for event in events:
                seen.append(event)
                if len(seen) == 300:
                    break
            await emitting
        assert seen == [str(number) for number in range(300)]


async def test_one_that_reads_nothing_costs_the_others_a_second_at_most_then_is_ended() -> None:
    with FakeClock() as clock:
        async with pair(make_broker(Limits(max_queued_bytes=20_000))) as at:
            stuck = await at.connect(limits=Limits(credit_messages=10))
            recorder = Recorder()
            await recorder.record(at.bus, Workshop.noticed)
            recorder.record(stuck.bus)
            began = clock.elapsed
            async with stuck.bus.events(Workshop.noticed):
                for _ in range(300):
                    await clock.drive(at.broker.emit(Workshop.noticed, "x" * 200))
                assert clock.elapsed - began <= 1
                await recorder.wait_for_all([Workshop.noticed] * 300)
                change = await recorder.wait_for(ConnectionState.RECONNECTING, bus=stuck.bus)
                assert change.code == "slow_consumer"
            assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
            change = await recorder.wait_for(ConnectionState.OPEN, bus=stuck.bus)
            assert change.outcome == "lost"


async def test_one_that_is_away_for_too_many_events_is_ended() -> None:
    broker = make_broker(Limits(max_queued_bytes=20_000))
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        # Its window is smaller than what the broker queues: what is emitted while it is away goes beyond it.
        async with opened_bus(listener.open, Limits(credit_messages=10, retry_base_ms=1)) as bus:
            await bus.on(Workshop.noticed, str).confirmed()
            changes: list[tuple[str, object]] = []
            bus.on_state(lambda change: changes.append((change.code, change.outcome)))
            listener.is_refusing = True
            assert listener.wire is not None
            listener.wire.cut()
            waiting = asyncio.create_task(broker.call(broker.sessions[0], Workshop.question, "?"))
            await asyncio.sleep(0)
            for _ in range(300):
                await broker.emit(Workshop.noticed, "x" * 200)
            assert broker.sessions == []
            with pytest.raises(SessionLost):
                await waiting
            listener.is_refusing = False
            bus.reconnect()
            await eventually(lambda: bus.state == ConnectionState.OPEN)
            assert changes[-1] == ("absent", "lost")


async def _emit_many(broker: Broker, count: int) -> None:
    for number in range(count):
        await broker.emit(Workshop.noticed, str(number))


# Requests are bounded.


async def test_more_requests_than_may_be_under_way_wait_their_turn() -> None:
    async with rig(limits=Limits(max_requests=10)) as at:
        tasks = [asyncio.create_task(at.bus.call(Workshop.wait, str(number))) for number in range(25)]
        await eventually(lambda: len(at.bench.started) == 10)
        await asyncio.sleep(0)
        assert len(at.bench.started) == 10
        for number in range(25):
            at.bench.gate(str(number)).set()
        assert await asyncio.gather(*tasks) == [str(number) for number in range(25)]


async def test_a_client_that_sends_more_is_told() -> None:
    from ionbus import TooLarge

    async with rig(make_broker(Limits(max_requests=10))) as at:
        tasks = [asyncio.create_task(at.bus.call(Workshop.wait, str(number))) for number in range(12)]
        await eventually(lambda: len(at.bench.started) == 10)
        for task in tasks[10:]:
            with pytest.raises(TooLarge, match="under way"):
                await task
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_declared_error_of_a_listener_of_the_broker_harms_nobody() -> None:
    broker = make_broker()

    @broker.on(Workshop.said)
    async def broken(text: str) -> None:
        raise TooBig(limit=1)

    async with connect(broker) as bus:
        await bus.emit(Workshop.said, "a")
        await eventually(lambda: broker.state.heard == ["a"])
        assert isinstance(bus, Bus)


async def test_a_def_listener_runs_on_a_thread_with_its_context() -> None:
    import threading

    broker = make_broker()
    seen: list[tuple[str, bool, str]] = []

    @broker.on(Workshop.shouted)
    def shouted(text: str, ctx: ThreadContext) -> None:
        ctx.emit(Workshop.noticed, f"heard {text}")
        seen.append((text, threading.current_thread() is threading.main_thread(), ctx.session.id))

    async with connect(broker) as bus:
        noticed: list[str] = []
        bus.on(Workshop.noticed, noticed.append)
        await bus.emit(Workshop.shouted, "hey")
        await eventually(lambda: noticed == ["heard hey"])
        assert seen[0][:2] == ("hey", False)
        assert seen[0][2] == broker.sessions[0].id


@pytest.mark.parametrize(
    "ending", ["the client closes", "the client closes and the broker stops", "the session is lost"]
)
async def test_events_that_came_before_the_end_of_a_session_are_listened_to(ending: str) -> None:
    broker = make_broker(Limits(max_listeners=4))
    heard: list[str] = []

    @broker.on(Workshop.said)
    async def listen(text: str) -> None:
        await asyncio.sleep(0.0001)
        heard.append(text)

    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as bus:
            for number in range(200):
                await bus.emit(Workshop.said, str(number))
            await bus.call(Workshop.add, Pair(left=1, right=1))  # they have arrived
            if ending == "the session is lost":
                end_sessions(broker)
        if ending == "the client closes and the broker stops":
            await broker.stop()
        await eventually(lambda: len(heard) == 200)
        assert heard == [str(number) for number in range(200)]


async def test_a_listener_that_does_not_end_is_cancelled_when_the_broker_stops() -> None:
    broker = make_broker()
    ends: list[str] = []

    @broker.on(Workshop.said)
    async def listen(text: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(text)

    with FakeClock() as clock:
        async with pair(broker) as at:
            await at.bus.emit(Workshop.said, "for ever")
            await at.bus.call(Workshop.add, Pair(left=1, right=1))
            await clock.drive(broker.stop())
            assert ends == ["for ever"]
