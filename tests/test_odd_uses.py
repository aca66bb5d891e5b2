"""What users do at odd moments and in odd ways: each works, or is told what is wrong and what to do."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import BaseModel, ConfigDict

from ionbus import (
    Broker,
    Call,
    CallTimeout,
    ConnectionLost,
    Context,
    Contract,
    ContractError,
    Event,
    Handlers,
    InternalError,
    NotFound,
    Stream,
    ThreadContext,
    TooLarge,
    Unauthenticated,
    connect,
)
from ionbus.generated.protocol import Limits
from workshop import Pair, Workshop, eventually, rig


class Odd(ContractError):
    """The number is odd."""

    code = "odd"
    number: int


class VeryOdd(Odd):
    """The number is very odd."""

    code = "very_odd"


class Numbers(Contract, name="numbers"):
    half = Call(int, int, raises=[Odd])
    wait = Call(float, None)
    upto = Stream(int, int, raises=[Odd])
    told = Event(int)
    said = Event(int, source="client")


class Letters(Contract, name="letters"):
    told = Event(str)

    class Inner(Contract):
        told = Event(str)


# What a handler raises.


def _with_another_field(number: int) -> Odd:
    error = Odd(number=number)
    error.number = "no number"  # type: ignore[assignment]
    return error


def _without_its_field(number: int) -> Odd:
    error = Odd(number=number)
    del error.number
    return error


@pytest.mark.parametrize("make", [_with_another_field, _without_its_field, VeryOdd])
async def test_an_error_that_cannot_travel_is_an_internal_one(make: Callable[..., ContractError]) -> None:
    broker = Broker(Numbers)

    @broker.handle(Numbers.half)
    async def half(number: int) -> int:
        raise make(number=number)

    @broker.handle(Numbers.upto)
    def upto(number: int) -> Iterator[int]:
        yield 1
        raise make(number=number)

    async with connect(broker) as bus:
        with pytest.raises(InternalError) as caught:
            await bus.call(Numbers.half, 3, timeout=5)
        assert caught.value.incident_id
        with pytest.raises(InternalError):
            async with bus.stream(Numbers.upto, 3, timeout=5) as items:
                assert [item async for item in items] == [1]


# What a handler is.


class _Items:
    """An asynchronous iterator that is no generator: it has no `aclose`."""

    def __init__(self, upto: int) -> None:
        self._numbers = iter(range(upto))

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        try:
            return next(self._numbers)
        except StopIteration:
            raise StopAsyncIteration from None


async def test_a_stream_may_be_any_asynchronous_iterator() -> None:
    broker = Broker(Numbers)

    @broker.handle(Numbers.upto)
    def upto(number: int) -> AsyncIterator[int]:
        return _Items(number)

    async with connect(broker) as bus, bus.stream(Numbers.upto, 3) as items:
        assert [item async for item in items] == [0, 1, 2]


async def test_a_def_function_that_returns_an_iterator_runs_on_a_thread() -> None:
    broker = Broker(Numbers)
    loops = threading.get_ident()

    @broker.handle(Numbers.upto)
    def upto(number: int, ctx: ThreadContext) -> Iterator[int]:
        ctx.emit(Numbers.told, number)
        return iter([threading.get_ident() == loops, number])

    async with connect(broker) as bus, bus.stream(Numbers.upto, 3) as items:
        assert [item async for item in items] == [0, 3]


async def test_a_partial_of_an_async_function_is_async() -> None:
    async def part(divisor: int, number: int, ctx: Context) -> int:
        return number // divisor

    broker = Broker(Numbers)
    broker.handle(Numbers.half)(partial(part, 2))
    async with connect(broker) as bus:
        assert await bus.call(Numbers.half, 8) == 4


async def test_a_listener_that_comes_late_hears_what_comes_then() -> None:
    heard: list[int] = []
    broker = Broker(Numbers)
    async with connect(broker) as bus:

        @broker.on(Numbers.said)
        async def said(number: int) -> None:
            heard.append(number)

        await bus.emit(Numbers.said, 1)
        await eventually(lambda: heard == [1])


# Starting and stopping.


async def test_those_who_leave_it_at_once_stop_it_once() -> None:
    life: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Broker[None]) -> AsyncIterator[None]:
        await asyncio.sleep(0.01)
        yield
        await asyncio.sleep(0.01)
        life.append("down")

    broker = Broker(Numbers, lifespan=lifespan)

    async def use() -> None:
        async with broker.opened():
            pass  # who waited for the start leaves before the first one has its turn to stop

    await asyncio.gather(use(), use())
    assert life == ["down"]


async def test_those_who_open_it_at_once_share_one_lifespan() -> None:
    life: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Broker[str]) -> AsyncIterator[str]:
        life.append("up")
        await asyncio.sleep(0.02)
        yield "state"
        await asyncio.sleep(0.02)
        life.append("down")

    broker = Broker(Numbers, lifespan=lifespan)

    @broker.handle(Numbers.half)
    async def half(number: int, ctx: Context[str]) -> int:
        assert ctx.state == "state"
        return number // 2

    async def use(delay: float) -> int:
        await asyncio.sleep(delay)
        async with connect(broker) as bus:
            return await bus.call(Numbers.half, 8)

    assert await asyncio.gather(*(use(0) for _ in range(3))) == [4, 4, 4]
    assert life == ["up", "down"]
    delays = [0.005 * step for step in range(20)]  # some come while it stops
    assert await asyncio.gather(*map(use, delays)) == [4] * 20
    assert life == ["up", "down"] * (len(life) // 2)


async def test_a_broker_belongs_to_one_loop_at_a_time() -> None:
    broker = Broker(Numbers)

    async def elsewhere() -> None:
        async with connect(broker):
            pass

    async with connect(broker):
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())
    await asyncio.to_thread(asyncio.run, elsewhere())


# Waiting.


@pytest.mark.parametrize("kind", ["call", "stream"])
async def test_a_timeout_counts_while_a_request_waits_for_its_turn(kind: str) -> None:
    async with rig(limits=Limits(max_requests=1)) as at:
        first = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.started == ["x"])
        if kind == "call":
            work: Coroutine[Any, Any, Any] = at.bus.call(Workshop.wait, "y", timeout=0.05)
        else:
            work = at.bus.stream(Workshop.count, 1, timeout=0.05).__aenter__()
        with pytest.raises(CallTimeout, match="1 requests are under way"):
            await work
        at.bench.gate("x").set()
        assert await first == "x"
        assert at.bench.started == ["x"]


async def test_a_turn_that_is_not_taken_is_the_next_ones() -> None:
    async with rig(limits=Limits(max_requests=1)) as at:
        first = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.started == ["x"])
        second = asyncio.create_task(at.bus.call(Workshop.wait, "y"))
        third = asyncio.create_task(at.bus.call(Workshop.total, timeout=None))
        await asyncio.sleep(0)
        first.add_done_callback(lambda _: second.cancel())  # in the very turn in which it is woken
        at.bus.handle(Workshop.numbers)(_nothing)
        at.bench.gate("x").set()
        assert await asyncio.wait_for(third, 5) == 0
        assert await first == "x"
        await asyncio.gather(second, return_exceptions=True)


async def test_a_request_that_is_too_large_when_its_turn_comes_leaves_it_to_the_next_one() -> None:
    async with rig(limits=Limits(max_requests=1)) as at:
        first = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.started == ["x"])
        at.bus._session.peer.max_message_bytes = 300_000
        second = asyncio.create_task(at.bus.call(Workshop.echo, bytes(400_000)))
        third = asyncio.create_task(at.bus.call(Workshop.add, Pair(left=1, right=2)))
        await asyncio.sleep(0)
        at.bench.gate("x").set()
        assert await asyncio.wait_for(third, 5) == 3
        assert await first == "x"
        with pytest.raises(TooLarge):
            await second


async def _nothing(_: int) -> AsyncIterator[int]:
    for number in range(0):
        yield number


async def test_events_may_be_taken_by_several_and_end_with_their_block() -> None:
    async with rig() as at:
        reader = at.bus.events(Workshop.noticed)
        async with reader as events:
            tasks = [asyncio.create_task(anext(events)) for _ in range(3)]
            await asyncio.sleep(0)
            await at.bus.call(Workshop.report, 2)
            await eventually(lambda: sum(task.done() for task in tasks) == 2)
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert sorted(map(str, results)) == ["events are read inside `async with`", "step 0", "step 1"]
        with pytest.raises(RuntimeError, match="async with"):
            await asyncio.wait_for(anext(reader), 5)


async def test_a_stream_may_be_read_by_several() -> None:
    async with rig() as at, at.bus.stream(Workshop.count, 3) as items:
        tasks = [asyncio.create_task(anext(items, -1)) for _ in range(4)]
        assert sorted(await asyncio.wait_for(asyncio.gather(*tasks), 5)) == [-1, 0, 1, 2]


# What is not right.


@pytest.mark.parametrize("timeout", ["5", math.nan])
async def test_what_is_no_time_is_refused(timeout: Any) -> None:
    async with rig() as at:
        with pytest.raises(TypeError, match=r"workshop.wait: timeout=.* is not a time"):
            await at.bus.call(Workshop.wait, "x", timeout=timeout)


@pytest.mark.parametrize("timeout", [math.inf, 1e18])
async def test_a_timeout_without_end_is_none(timeout: float) -> None:
    async with connect(Broker(Numbers)) as bus:
        with pytest.raises(NotFound):
            await bus.call(Numbers.half, 1, timeout=timeout)


async def test_emitting_an_event_of_another_contract_is_refused() -> None:
    broker = Broker(Numbers)

    @broker.handle(Numbers.half)
    async def half(number: int, ctx: Context) -> int:
        with pytest.raises(TypeError, match="the contract letters, which is not served here"):
            await ctx.emit(Letters.told, "a")
        return number // 2

    async with connect(broker) as bus:
        with pytest.raises(TypeError, match="the contract letters, which is not served here"):
            await broker.emit(Letters.told, "a")
        assert await bus.call(Numbers.half, 8) == 4


async def test_listening_to_no_contract_is_refused() -> None:
    async with connect(Broker(Numbers)) as bus:
        with pytest.raises(TypeError, match="an event, a contract or a pattern"):
            bus.on(Contract, print)


@pytest.mark.parametrize(
    ("where", "options", "problem"),
    [
        ("ws://127.0.0.1:1", {"stdio": ["python"]}, "one of them"),
        (5, {}, "takes a URL"),
        (None, {"contracts": Numbers}, r"contracts=\[Numbers\]"),
        ("ws://127.0.0.1:1", {"contracts": [Letters.Inner]}, "outermost"),
        ("ws://127.0.0.1:1", {"contracts": ["numbers"]}, "outermost"),
    ],
)
async def test_what_connect_cannot_use_is_refused(where: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        async with connect(where, **options):
            pass


async def test_after_closing_events_and_subscriptions_say_so() -> None:
    async with connect(Broker(Numbers)) as bus:
        pass
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(bus.events(Numbers.told).__aenter__(), 5)
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(bus.on(Numbers.told, print).confirmed(), 5)


async def test_what_is_no_function_cannot_listen() -> None:
    nothing: Any = None
    async with connect(Broker(Numbers)) as bus:
        with pytest.raises(TypeError, match=r"numbers.told: a listener is a function, not None"):
            bus.on(Numbers.told, nothing)
        with pytest.raises(TypeError, match="a watcher is a function"):
            bus.on_state(nothing)


async def test_a_watcher_that_was_added_twice_is_removed_once() -> None:
    told: list[object] = []
    async with connect(Broker(Numbers)) as bus:
        stop, _ = bus.on_state(told.append), bus.on_state(told.append)
        stop()
        stop()
    assert len(told) == 1


@pytest.mark.parametrize("mock", [AsyncMock, Mock])
async def test_a_mock_can_stand_for_a_handler(mock: type[Mock]) -> None:
    broker = Broker(Numbers)
    fake = mock(return_value=4)
    async with connect(broker) as bus:
        with broker.override(Numbers.half, fake):
            assert await bus.call(Numbers.half, 8) == 4
    fake.assert_called_once_with(8)


def test_handlers_are_included_all_or_none() -> None:
    handlers, broker = Handlers(Numbers), Broker(Numbers)

    @handlers.handle(Numbers.half)
    async def half(number: int) -> int:
        return number

    @handlers.handle(Numbers.upto)
    def upto(number: int) -> Iterator[int]:
        yield number

    broker.handle(Numbers.upto)(upto)
    with pytest.raises(TypeError, match=r"numbers.upto is handled by"):
        broker.include(handlers)
    assert list(broker.handled) == ["numbers.upto"]
    with pytest.raises(TypeError, match=r"include\(\) takes the Handlers of another file"):
        broker.include(broker)


class Colour(Enum):
    RED = "red"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    colour: Colour
    numbers: tuple[int, ...]
    words: frozenset[str]


async def test_a_strict_model_takes_what_arrives_for_it() -> None:
    class Picky(Contract, name="picky"):
        echo = Call(Strict, Strict)

    broker = Broker(Picky)

    @broker.handle(Picky.echo)
    async def echo(value: Strict) -> Strict:
        return value

    value = Strict(colour=Colour.RED, numbers=(1, 2), words=frozenset({"a"}))
    async with connect(broker) as bus:
        assert await bus.call(Picky.echo, value) == value


# Who may connect.


async def _broken_off(_: str | None) -> str:
    raise asyncio.CancelledError


@pytest.mark.parametrize("authenticate", [lambda token: token == "right", _broken_off])
async def test_false_and_what_breaks_off_let_nobody_in(authenticate: Any) -> None:
    broker = Broker(Letters)
    async with broker.serve("ws://127.0.0.1:0", authenticate=authenticate) as (endpoint,):
        with pytest.raises(Unauthenticated):
            async with asyncio.timeout(5), connect(endpoint.url, token="wrong"):
                pass
        if authenticate is not _broken_off:
            async with connect(endpoint.url, token="right"):
                pass


@pytest.mark.parametrize(
    ("urls", "options", "kind", "problem"),
    [
        (["wss://127.0.0.1:0"], {}, ValueError, "needs a certificate"),
        ([5], {}, TypeError, "takes URLs"),
        (["ws://127.0.0.1:0"], {"authenticate": "secret"}, TypeError, "authenticate is a function"),
    ],
)
def test_what_cannot_be_served_is_refused(
    urls: list[Any], options: dict[str, Any], kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        Broker(Letters).serve(*urls, **options)


@pytest.mark.parametrize(("token", "kind"), [("\ud800", ValueError), (5, TypeError)])
async def test_a_token_that_cannot_travel_is_refused_at_once(token: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="token"):
        async with asyncio.timeout(5), connect("ws://127.0.0.1:1", token=token):
            pass


async def test_a_function_that_gives_no_token_fails_the_attempt() -> None:
    async with Broker(Letters).serve("ws://127.0.0.1:0") as (endpoint,):
        with pytest.raises(ConnectionLost, match="gives the token failed"):
            async with asyncio.timeout(5), connect(endpoint.url, token=lambda: "\ud800"):
                pass


# Contracts.


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Call(int, int, raises=Odd), r"^X\.a: raises=.*Odd.* is no list; write raises=\["),  # type: ignore[call-overload]
        (lambda: Call(int, int, timeout="5"), r"^X\.a: timeout='5' is not a time"),  # type: ignore[call-overload]
        (
            lambda: Call(int, int, roles="admin"),  # type: ignore[call-overload]
            r"^X\.a: roles='admin' is no set of roles; write roles=\{'admin'\}",
        ),
        (lambda: Event(int, roles=set()), r"^X\.a: roles= is empty, so that nobody could use it"),
        (lambda: Stream(int, int, roles={"a b"}), r"^X\.a: roles= names 'a b'; a role is 1 to 64 letters"),
        (
            lambda: Call(int, int, served_by="client", roles={"admin"}),  # type: ignore[call-overload]
            r"^X\.a: roles= says which client may ask the broker; what the client serves only the broker asks for",
        ),
        (lambda: Event(Strict, delivery="latest", key=5), r"^X\.a: key=5 is neither a field nor a tuple"),  # type: ignore[call-overload]
    ],
)
def test_a_wrong_argument_of_a_member_is_refused_with_its_name(
    make: Callable[[], object], problem: str
) -> None:
    kind: Any = type
    with pytest.raises(TypeError, match=problem):
        kind("X", (Contract,), {"__qualname__": "X", "a": make()}, name="x")


@pytest.mark.parametrize("options", [{"name": 5}, {"name": "x", "version": 1}])
def test_a_name_or_version_that_is_no_text_is_refused(options: dict[str, Any]) -> None:
    kind: Any = type
    with pytest.raises(TypeError, match=r"^X: "):
        kind("X", (Contract,), {"__qualname__": "X"}, **options)


def test_a_type_that_never_becomes_known_is_refused_with_its_members_name() -> None:
    kind: Any = type
    unknown: Any = "Unknown"
    contract = kind("X", (Contract,), {"__qualname__": "X", "a": Event(unknown)}, name="x")
    with pytest.raises(TypeError, match=r"^x\.a: the type 'Unknown' names what is not known"):
        contract.a.payload.encode(1)
    with pytest.raises(TypeError, match=r"^x\.a: the type 'Unknown' names what is not known"):
        assert contract.__contract__.fingerprint
