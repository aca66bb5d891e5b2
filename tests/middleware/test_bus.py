"""Middleware in a broker and in a bus: all that passes, both ways, in memory."""

from __future__ import annotations

import asyncio
import logging as std
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ionbus import (
    Broker,
    Call,
    Context,
    Contract,
    ContractError,
    Event,
    InternalError,
    InvalidPayload,
    IonbusError,
    NotAllowed,
    Stream,
    ThreadContext,
)
from ionbus.generated.protocol import Limits
from ionbus.middleware import Key, Message, MiddlewareError, drop, only, retry
from ionbus.testing import Pair, pair
from workshop import eventually

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
USER = Key[str]("user")


class Refused(ContractError):
    """It is refused."""

    code = "refused"
    why: str


class Post(Contract, name="post"):
    """One member of each kind and way."""

    echo = Call(str, str, raises=[Refused])
    once = Call(str, str, idempotent=True)
    block = Call(str, str)
    count = Stream(int, int)
    count_on_thread = Stream(int, int)
    said = Event(str, source="any")
    news = Event(str)
    ask = Call(str, str, served_by="client")
    files = Stream(int, str, served_by="client")

    class inner(Contract):  # noqa: N801 - as the contract spells it
        echo = Call(str, str)


def served(limits: Limits | None = None) -> tuple[Broker[Any], list[str]]:
    """A broker, and what its handlers and listeners note."""
    seen: list[str] = []
    broker: Broker[Any] = Broker(Post, limits=limits)

    @broker.handle(Post.echo)
    async def echo(text: str, ctx: Context) -> str:
        if text == "fail":
            raise NotAllowed("the handler's own")
        if text == "declared":
            raise Refused(why="so")
        if text == "ask":
            return await ctx.call(Post.ask, "what?")
        if text == "files":
            async with ctx.stream(Post.files, 2) as files:
                return ",".join([name async for name in files])
        if text == "news":
            await ctx.emit(Post.news, "for you")
        return f"{text} {ctx.passage.get(USER, 'nobody')} {ctx.trace}"

    @broker.handle(Post.once)
    async def once(text: str) -> str:
        seen.append(f"once {text}")
        return text

    @broker.handle(Post.block)
    def block(text: str, ctx: ThreadContext) -> str:
        if text == "files":
            with ctx.stream(Post.files, 3) as files:
                return next(files) + next(files) + ctx.call(Post.ask, "?")
        return f"{text} {ctx.passage.get(USER, 'nobody')} {ctx.trace}"

    @broker.handle(Post.inner.echo)
    async def inner(text: str) -> str:
        return text

    @broker.handle(Post.count)
    async def count(to: int) -> AsyncIterator[int]:
        try:
            for number in range(to):
                yield number
        finally:
            seen.append("count closed")

    @broker.handle(Post.count_on_thread)
    def count_on_thread(to: int) -> Iterator[int]:
        try:
            yield from range(to)
        finally:
            seen.append("thread closed")

    @broker.on(Post.said)
    async def said(text: str, ctx: Context) -> None:
        seen.append(f"said {text} {ctx.passage.get(USER, 'nobody')} {ctx.trace}")

    return broker, seen


def answering(at: Pair[Any]) -> None:
    @at.bus.handle(Post.ask)
    async def ask(text: str, ctx: Context) -> str:
        return f"{text} {ctx.trace}"

    @at.bus.handle(Post.files)
    async def files(count: int) -> AsyncIterator[str]:
        for number in range(count):
            yield f"file{number}"


def notes(seen: list[str], name: str = "") -> Any:
    async def noting(message: Message[Any], next: Any) -> Any:
        seen.append(f"{name}{message.direction} {message.kind} {message.name} {message.payload!r}")
        return await next(message)

    return noting


async def to_the_user(message: Message[Any], next: Any) -> Any:
    message.state[USER] = "ada"
    return await next(message)


# What passes, and what is known of it.


async def test_everything_passes_once_on_each_side() -> None:
    broker, _ = served()
    at_broker: list[str] = []
    at_client: list[str] = []
    broker.use(notes(at_broker))
    async with pair(broker) as at:
        at.bus.use(notes(at_client))
        answering(at)
        news: list[str] = []
        await at.bus.on(Post.news, news.append).confirmed()
        await at.bus.call(Post.echo, "ask")
        await at.bus.call(Post.echo, "files")
        async with at.bus.stream(Post.count, 2) as numbers:
            assert [number async for number in numbers] == [0, 1]
        await at.bus.emit(Post.said, "hello")
        await broker.emit(Post.news, "for all")
        await at.bus.call(Post.echo, "news")
        await eventually(lambda: news == ["for all", "for you"])
    assert sorted(at_client) == sorted(
        [
            "outbound call post.echo 'ask'",
            "inbound call post.ask 'what?'",
            "outbound call post.echo 'files'",
            "inbound stream post.files 2",
            "outbound stream post.count 2",
            "outbound event post.said 'hello'",
            "outbound call post.echo 'news'",
            "inbound event post.news 'for all'",
            "inbound event post.news 'for you'",
        ]
    )
    assert sorted(at_broker) == sorted(
        [
            "inbound call post.echo 'ask'",
            "outbound call post.ask 'what?'",
            "inbound call post.echo 'files'",
            "outbound stream post.files 2",
            "inbound stream post.count 2",
            "inbound event post.said 'hello'",
            "outbound event post.news 'for all'",
            "inbound call post.echo 'news'",
            "outbound event post.news 'for you'",
        ]
    )


async def test_the_order_is_everything_contract_nested_contract_member() -> None:
    broker, _ = served()
    seen: list[str] = []
    for name, what in (
        ("member2 ", Post.inner.echo),
        ("inner ", Post.inner),
        ("pattern ", "post.**"),
        ("all ", None),
        ("contract ", Post),
        ("member1 ", "post.inner.echo"),
    ):
        broker.use(notes(seen, name), what)
    broker.use(notes(seen, "never "), Post.inner, kind="stream")
    broker.use(notes(seen, "never "), Post.inner, direction="outbound")
    broker.use(only(Post.echo, notes(seen, "never ")))
    async with pair(broker) as at:
        await at.bus.call(Post.inner.echo, "x")
        assert [each.partition(" ")[0] for each in seen] == [
            "all", "pattern", "contract", "inner", "member2", "member1",
        ]  # fmt: skip
        broker.use(notes(seen, "late "))  # counts from now on
        seen.clear()
        await at.bus.call(Post.inner.echo, "x")
        assert seen[1].startswith("late ")


async def test_what_is_known_of_a_request() -> None:
    broker, _ = served()
    found: list[Any] = []

    async def looks(message: Message[Any], next: Any) -> Any:
        found.append(message)
        return await next(message)

    broker.use(looks, Post.echo)
    async with pair(broker) as at:
        await at.bus.call(Post.echo, "x", timeout=5.0)
        context, now = found[0].context, asyncio.get_running_loop().time()
        assert context.session is broker.sessions[0]
        assert context.request_id == 1
        assert 0 < context.deadline - now <= 5.0
        assert context.trace is None
        assert found[0].member is Post.echo


@pytest.mark.parametrize("call", [Post.echo, Post.block])
async def test_a_handler_sees_what_middleware_noted_and_the_trace(call: Call[str, str, Any]) -> None:
    broker, _ = served()
    broker.use(to_the_user)
    async with pair(broker) as at:

        async def traced(message: Message[Any], next: Any) -> Any:
            return await next(message.replace(trace=PARENT))

        assert await at.bus.call(call, "x") == "x ada None"
        at.bus.use(traced)
        assert await at.bus.call(call, "x") == f"x ada {PARENT}"


async def test_a_trace_crosses_the_wire_both_ways_without_middleware_at_its_end() -> None:
    broker, seen = served()

    async def traced(message: Message[Any], next: Any) -> Any:
        return await next(message.replace(trace=PARENT))

    async with pair(broker) as at:
        answering(at)
        assert await at.bus.call(Post.echo, "x") == "x nobody None"
        at.bus.use(traced, direction="outbound")
        assert await at.bus.call(Post.echo, "x") == f"x nobody {PARENT}"
        await at.bus.emit(Post.said, "hello")
        await eventually(lambda: seen == [f"said hello nobody {PARENT}"])
        broker.use(traced, direction="outbound")
        assert await at.bus.call(Post.echo, "ask") == f"what? {PARENT}"
        other = await at.connect()
        traces: list[str | None] = []

        async def looks(message: Message[Any], next: Any) -> Any:
            traces.append(message.context.trace)
            return await next(message)

        other.bus.use(looks, kind="event")
        await other.bus.on(Post.said, lambda _: None).confirmed()
        await other.bus.on(Post.news, lambda _: None).confirmed()
        await at.bus.emit(Post.said, "relayed")
        await broker.emit(Post.news, "mine")
        await eventually(lambda: traces == [PARENT, PARENT])


@pytest.mark.parametrize("trace", [7, "x" * 200, None])
async def test_what_is_no_trace_is_none(trace: Any) -> None:
    broker, _ = served()
    async with pair(broker) as at:

        async def traced(message: Message[Any], next: Any) -> Any:
            return await next(message.replace(trace=trace))

        at.bus.use(traced)
        assert await at.bus.call(Post.echo, "x") == "x nobody None"


# Changing, answering, refusing.


async def test_payloads_and_answers_may_be_changed() -> None:
    broker, seen = served()

    async def shouts(message: Message[str], next: Any) -> Any:
        answer = await next(message.replace(payload=message.payload.upper()))
        return None if answer is None else answer + "!"

    broker.use(shouts, Post.echo)
    broker.use(shouts, Post.said)
    async with pair(broker) as at:
        other = await at.connect()
        heard: list[str] = []
        await other.bus.on("post.*", lambda received: heard.append(str(received.payload))).confirmed()
        assert await at.bus.call(Post.echo, "x") == "X nobody None!"
        await at.bus.emit(Post.said, "hello")
        await eventually(lambda: heard == ["HELLO"])
        assert seen == ["said HELLO nobody None"]
        other.bus.use(shouts, Post.news)

        async def whispers(message: Message[str], next: Any) -> Any:
            return await next(message.replace(payload=message.payload.lower()))

        other.bus.use(whispers, "post.said")
        await at.bus.emit(Post.said, "bye")
        await eventually(lambda: heard == ["HELLO", "bye"])


async def test_an_answer_or_a_payload_that_does_not_fit_is_a_mistake_of_the_side_that_made_it() -> None:
    broker, _ = served()

    async def wrong(message: Message[Any], next: Any) -> Any:
        return 7

    async def wrong_payload(message: Message[Any], next: Any) -> Any:
        return await next(message.replace(payload=7))

    async with pair(broker) as at:
        at.bus.use(only(Post.inner.echo, wrong))
        at.bus.use(only(Post.once, wrong_payload))
        with pytest.raises(MiddlewareError, match=r"^post.inner.echo: what middleware gave does not fit"):
            await at.bus.call(Post.inner.echo, "x")
        with pytest.raises(MiddlewareError, match=r"^post.once: what middleware gave does not fit"):
            await at.bus.call(Post.once, "x")
        broker.use(wrong, Post.echo)
        broker.use(wrong_payload, Post.block)
        for call in (Post.echo, Post.block):
            with pytest.raises(InternalError):
                await at.bus.call(call, "x")


async def test_what_middleware_refuses_reaches_the_caller_and_what_a_handler_raises_stays_hidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, _ = served()

    async def guards(message: Message[Any], next: Any) -> Any:
        match message.payload:
            case "no":
                raise NotAllowed("not today")
            case "declared by all":
                raise Refused(why="middleware")
            case "bug":
                raise KeyError("secret")
            case "own code":
                error = IonbusError("in a moment")
                error.code = "rate_limited"
                raise error
        return await next(message)

    broker.use(guards)
    async with pair(broker) as at:
        with pytest.raises(NotAllowed, match=r"^not today$"):
            await at.bus.call(Post.echo, "no")
        with pytest.raises(Refused) as told:
            await at.bus.call(Post.echo, "declared by all")
        assert told.value.why == "middleware"
        with pytest.raises(InternalError):
            await at.bus.call(Post.once, "declared by all")  # which does not declare it
        with pytest.raises(IonbusError, match="in a moment") as coded:
            await at.bus.call(Post.echo, "own code")
        assert coded.value.code == "rate_limited"
        with pytest.raises(InternalError, match=r"post\.echo failed"):
            await at.bus.call(Post.echo, "fail")
        with pytest.raises(Refused):
            await at.bus.call(Post.echo, "declared")
        with pytest.raises(InternalError) as hidden:
            await at.bus.call(Post.echo, "bug")
        assert "secret" not in str(hidden.value)
        assert hidden.value.incident_id in caplog.text


async def test_a_mistake_in_middleware_is_an_incident_at_the_other_side(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker, _ = served()

    async def forgets(message: Message[Any], next: Any) -> Any:
        await next(message)

    broker.use(forgets, Post.echo)
    async with pair(broker) as at:
        with pytest.raises(InternalError):
            await at.bus.call(Post.echo, "x")
        assert "forgets returned nothing for post.echo; return what next gave" in caplog.text
        at.bus.use(forgets)
        with pytest.raises(MiddlewareError, match=r"^forgets returned nothing for post.once"):
            await at.bus.call(Post.once, "x")


# Events.


async def test_events_are_dropped_refused_and_counted() -> None:
    broker, seen = served()

    async def filters(message: Message[Any], next: Any) -> Any:
        if message.payload == "drop":
            return drop("unwanted")
        if message.payload == "refuse":
            raise NotAllowed("not today")
        return await next(message)

    async with pair(broker) as at:
        refused: list[IonbusError] = []
        at.bus.on_error(refused.append)
        broker.use(filters)
        for text in ("drop", "a", "refuse", "b"):
            await at.bus.emit(Post.said, text)
        await eventually(lambda: len(seen) == 2 and len(refused) == 1)
        assert [type(error) for error in refused] == [NotAllowed]
        assert broker.dropped == {"post.said": {"unwanted": 1}}
        await broker.emit(Post.news, "drop")
        assert broker.dropped["post.news"] == {"unwanted": 1}
        at.bus.use(filters, direction="outbound")
        await at.bus.emit(Post.said, "drop")
        with pytest.raises(NotAllowed):
            await at.bus.emit(Post.said, "refuse")
        assert at.bus.dropped == {"post.said": {"unwanted": 1}}
    assert seen == ["said a nobody None", "said b nobody None"]


async def test_events_that_middleware_delays_keep_their_order_and_their_senders_credit() -> None:
    broker, seen = served(Limits(credit_messages=4))
    gate = asyncio.Event()

    async def delays(message: Message[Any], next: Any) -> Any:
        if message.payload == "first":
            await gate.wait()
        return await next(message)

    broker.use(delays, Post.said)
    async with pair(broker) as at:
        heard: list[str] = []
        other = await at.connect()
        await other.bus.on(Post.said, heard.append).confirmed()
        for text in ("first", "second", "third"):
            await at.bus.emit(Post.said, text)
        await at.bus.call(Post.echo, "x")
        assert seen == []
        gate.set()
        await eventually(lambda: heard == ["first", "second", "third"])
        for number in range(20):  # more than there is credit for at a time
            await at.bus.emit(Post.said, str(number))
        await eventually(lambda: heard[3:] == [str(number) for number in range(20)])


async def waits_for_what_is_cancelled(message: Message[Any], next: Any) -> Any:
    if message.payload.startswith("lost"):
        waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waited.cancel()
        await waited
    return await next(message)


async def test_events_whose_middleware_waits_for_what_is_cancelled_fail_alone() -> None:
    broker, _ = served(Limits(credit_messages=4))
    broker.use(waits_for_what_is_cancelled, Post.said)
    async with pair(broker) as at:
        heard: list[str] = []
        other = await at.connect()
        await other.bus.on(Post.said, heard.append).confirmed()
        for number in range(20):  # more than there is credit for at a time
            await at.bus.emit(Post.said, f"lost {number}")
        await at.bus.emit(Post.said, "last")
        await eventually(lambda: heard == ["last"])
        assert [letter.reason for letter in broker.dead_letters] == ["failed"] * 20


async def test_so_do_those_that_reach_a_client() -> None:
    broker, _ = served()
    async with pair(broker, limits=Limits(credit_messages=4)) as at:
        heard: list[str] = []
        at.bus.use(waits_for_what_is_cancelled, Post.news)
        await at.bus.on(Post.news, heard.append).confirmed()
        for number in range(20):
            await broker.emit(Post.news, f"lost {number}")
        await broker.emit(Post.news, "last")
        await eventually(lambda: heard == ["last"])


async def test_a_client_hears_in_order_what_its_middleware_delays() -> None:
    broker, _ = served()
    gate = asyncio.Event()

    async def delays(message: Message[Any], next: Any) -> Any:
        if message.payload == "first":
            await gate.wait()
        return await next(message)

    async with pair(broker) as at:
        heard: list[str] = []
        at.bus.use(delays, Post.news)
        await at.bus.on("post.*", lambda received: heard.append(str(received.payload))).confirmed()
        async with at.bus.events(Post.news) as events:
            for text in ("first", "second"):
                await broker.emit(Post.news, text)
            other = await at.connect()
            await other.bus.emit(Post.said, "third")  # which nothing is around
            await at.bus.call(Post.echo, "x")
            assert heard == []
            gate.set()
            assert [await anext(events), await anext(events)] == ["first", "second"]
        await eventually(lambda: heard == ["first", "second", "third"])


async def test_each_event_of_a_batch_passes() -> None:
    broker, _ = served()
    dropped: list[Any] = []

    async def changes(message: Message[str], next: Any) -> Any:
        if message.payload in dropped:
            return drop("unwanted")
        return await next(message.replace(payload=message.payload.upper()) if dropped else message)

    async with pair(broker) as at:
        at.bus.use(changes, Post.news)
        heard: list[list[str]] = []
        await at.bus.on(Post.news, heard.append, batch=(2, 60.0)).confirmed()
        for text in ("a", "b"):
            await broker.emit(Post.news, text)
        await eventually(lambda: heard == [["a", "b"]])
        dropped.append("c")
        for text in ("c", "d", "c", "c"):
            await broker.emit(Post.news, text)
        await eventually(lambda: heard == [["a", "b"], ["D"]])
        await eventually(lambda: at.bus.dropped == {"post.news": {"unwanted": 3}})


async def test_an_event_that_passes_when_its_session_is_gone_harms_nothing() -> None:
    broker, seen = served()
    gate, began = asyncio.Event(), asyncio.Event()

    async def delays(message: Message[Any], next: Any) -> Any:
        began.set()
        await gate.wait()
        return await next(message)

    broker.use(delays, Post.said)
    async with pair(broker) as at:
        other = await at.connect()
        await other.bus.emit(Post.said, "last words")
        await began.wait()
        await other.close()
        gate.set()
        await eventually(lambda: seen == ["said last words nobody None"])


# Streams.


@pytest.mark.parametrize("stream", [Post.count, Post.count_on_thread])
async def test_a_stream_left_early_closes_its_handler_through_middleware(
    stream: Stream[int, int, Any],
) -> None:
    broker, seen = served()

    async def doubles(message: Message[int], next: Any) -> Any:
        items = await next(message)
        return (item * 2 async for item in items)

    broker.use(doubles, stream)
    async with pair(broker) as at:
        at.bus.use(doubles, stream)
        async with at.bus.stream(stream, 3) as numbers:
            assert [number async for number in numbers] == [0, 4, 8]
        await eventually(lambda: len(seen) == 1)
        async with at.bus.stream(stream, 1_000_000) as numbers:
            assert await anext(numbers) == 0
        await eventually(lambda: len(seen) == 2)


async def test_a_handler_on_a_thread_calls_and_reads_through_middleware() -> None:
    broker, _ = served()
    seen: list[str] = []
    broker.use(notes(seen), direction="outbound")
    async with pair(broker) as at:
        answering(at)
        closed: list[int] = []

        async def closes(message: Message[int], next: Any) -> Any:
            items = await next(message)

            async def noted() -> AsyncIterator[str]:
                try:
                    async for item in items:
                        yield item
                finally:
                    closed.append(message.payload)

            return noted()

        broker.use(closes, Post.files)
        assert await at.bus.call(Post.block, "files") == "file0file1? None"
        assert seen == ["outbound stream post.files 3", "outbound call post.ask '?'"]
        await eventually(lambda: closed == [3])


async def test_a_stream_may_be_answered_refused_and_fail_midway() -> None:
    broker, _ = served()

    async def instead(message: Message[int], next: Any) -> Any:
        if message.payload == 1:
            raise NotAllowed("not one")

        async def items() -> AsyncIterator[int]:
            yield 7
            if message.payload == 2:
                raise NotAllowed("no more")

        return items()

    broker.use(instead, Post.count)
    async with pair(broker) as at:
        async with at.bus.stream(Post.count, 0) as numbers:
            assert [number async for number in numbers] == [7]
        async with at.bus.stream(Post.count, 1) as numbers:
            with pytest.raises(NotAllowed, match="not one"):
                await anext(numbers)
        async with at.bus.stream(Post.count, 2) as numbers:
            assert await anext(numbers) == 7
            with pytest.raises(NotAllowed, match="no more"):
                await anext(numbers)
        with pytest.raises(InvalidPayload):
            at.bus.stream(Post.count, "x")  # type: ignore[misc] # that is the point
        at.bus.use(notes([]), Post.count)
        with pytest.raises(RuntimeError, match="read inside `async with`"):
            await anext(at.bus.stream(Post.count, 0))


# Retries, overrides, and what cannot be.


async def test_all_attempts_of_a_call_carry_one_key_so_that_it_runs_once() -> None:
    broker, seen = served()
    async with pair(broker) as at:
        tries: list[int] = []

        async def loses_the_first_answer(message: Message[str], next: Any) -> Any:
            answer = await next(message)
            tries.append(1)
            if len(tries) == 1:
                raise ConnectionError("the answer was lost on the way")
            return answer

        at.bus.use(retry(first=0.0), Post.once)
        at.bus.use(loses_the_first_answer, Post.once)
        assert await at.bus.call(Post.once, "x") == "x"
        assert len(tries) == 2
        assert seen == ["once x"]
        assert await at.bus.call(Post.once, "x") == "x"
        assert seen == ["once x", "once x"]


async def test_an_override_has_the_same_around_it() -> None:
    broker, _ = served()
    broker.use(to_the_user)

    async def fake(text: str, ctx: Context) -> str:
        return f"fake {ctx.passage[USER]}"

    async with pair(broker) as at:
        assert await at.bus.call(Post.echo, "x") == "x ada None"
        with broker.override(Post.echo, fake):
            assert await at.bus.call(Post.echo, "x") == "fake ada"
        assert await at.bus.call(Post.echo, "x") == "x ada None"


class Other(Contract, name="other"):
    call = Call(str, str)


@pytest.mark.parametrize(
    ("what", "options", "error", "text"),
    [
        ("post.**.x", {}, ValueError, "comes last"),
        ("pots.*", {}, ValueError, "'pots.*' matches nothing that is served here; did you mean post.*?"),
        ("post.ecko", {}, ValueError, "did you mean post.echo?"),
        (Contract, {}, TypeError, "for a contract, a member or a pattern"),
        (7, {}, TypeError, "for a contract, a member or a pattern, not 7"),
        (Other, {}, TypeError, "other belongs to no contract that is served here; those are post"),
        (Other.call, {}, TypeError, "other.call belongs to no contract"),
        (None, {"kind": "calls"}, ValueError, "kind='calls' is none of call, stream, event"),
        (None, {"direction": "in"}, ValueError, "direction='in' is none of inbound, outbound"),
        (
            Post.echo,
            {"kind": "event"},
            ValueError,
            "post.echo is of the kind 'call': kind='event' would never pass",
        ),
    ],
)
def test_what_use_cannot_take_is_refused(what: Any, options: Any, error: type[Exception], text: str) -> None:
    broker, _ = served()
    with pytest.raises(error) as raised:
        broker.use(notes([]), what, **options)
    assert text in str(raised.value)


def test_what_is_called_first_is_told_so() -> None:
    broker, _ = served()
    with pytest.raises(TypeError, match="awaits next: write async def"):
        broker.use(retry)  # type: ignore[arg-type] # that is the point


# Without.

WITHOUT = """
import asyncio, sys
from ionbus import Broker, Call, Contract, Event, Stream, connect

class Post(Contract, name="post"):
    echo = Call(str, str)
    count = Stream(int, int)
    said = Event(str, source="any")

broker = Broker(Post)

@broker.handle(Post.echo)
async def echo(text: str, ctx) -> str:
    await ctx.emit(Post.said, text)
    return text

@broker.handle(Post.count)
async def count(to: int):
    yield to

@broker.on(Post.said)
async def said(text: str) -> None: ...

async def main() -> None:
    async with connect(broker) as bus:
        heard = asyncio.Event()
        await bus.on(Post.said, lambda _: heard.set()).confirmed()
        await bus.emit(Post.said, "x")
        await bus.call(Post.echo, "x")
        await broker.emit(Post.said, "x")
        async with bus.stream(Post.count, 1) as numbers:
            assert [number async for number in numbers] == [1]
        await heard.wait()
    assert not [name for name in sys.modules if name.startswith("ionbus.middleware")]

asyncio.run(main())
"""


def test_without_middleware_none_of_its_code_is_even_imported() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_logging_shows_who_calls_through_a_session(caplog: pytest.LogCaptureFixture) -> None:
    from ionbus.middleware import logging

    caplog.set_level(std.INFO, "ionbus.messages")
    broker, _ = served()
    broker.use(logging())
    async with pair(broker) as at:
        await at.bus.call(Post.echo, "x")
        record: Any = caplog.records[-1]
        assert record.ionbus_session == broker.sessions[0].id
        assert record.ionbus_outcome == "answered"
