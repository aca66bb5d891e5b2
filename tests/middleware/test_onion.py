"""The onion's rules, whatever the chain: a model says what has to come out of any mix of middleware."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ionbus import IonbusError, NotAllowed, NotFound
from ionbus.middleware import AnyMiddleware, Dropped, Key, Message, MiddlewareError, compose, drop
from ionbus.middleware.onion import Items, check_middleware, name_of, pass_through

from .test_cases import Cases, Listed, message_for

# What one layer of a call does, and what a model of it says comes out: ("ok", answer) or ("error", code).
STEPS = st.sampled_from(
    ["pass", "change", "append", "answer", "refuse", "retry", "swallow", "twice", "nothing"]
)
Outcome = tuple[str, str]


def layer_of(step: str, seen: list[str]) -> AnyMiddleware:
    async def middleware(message: Message[Any], next: Any) -> Any:
        await asyncio.sleep(0)
        seen.append(step)
        match step:
            case "change":
                return await next(message.replace(payload=message.payload + "y"))
            case "append":
                return await next(message) + "!"
            case "answer":
                return "mine"
            case "refuse":
                raise NotAllowed("no")
            case "retry":
                try:
                    return await next(message)
                except IonbusError:
                    return await next(message)
            case "swallow":
                try:
                    return await next(message)
                except (IonbusError, MiddlewareError):
                    return "caught"
            case "twice":
                await next(message)
                return await next(message)
            case "nothing":
                return None
        return await next(message)

    return middleware


def model(steps: list[str], payload: str, ends: list[bool], seen: list[str]) -> Outcome:
    """What the rules say of a chain: synchronous, and without any of the machinery."""
    if not steps:
        return ("ok", f"end {payload}") if ends.pop(0) else ("error", "NotFound")
    step, *rest = steps
    seen.append(step)
    further = partial(model, rest, payload, ends, seen)
    match step:
        case "change":
            return model(rest, payload + "y", ends, seen)
        case "append":
            kind, text = further()
            return (kind, text + "!") if kind == "ok" else (kind, text)
        case "answer":
            return "ok", "mine"
        case "refuse":
            return "error", "NotAllowed"
        case "retry":
            kind, text = further()
            return (kind, text) if kind == "ok" or text == "MiddlewareError" else further()
        case "swallow":
            kind, text = further()
            return (kind, text) if kind == "ok" else ("ok", "caught")
        case "twice":
            kind, text = further()
            return ("error", "MiddlewareError") if kind == "ok" else (kind, text)
        case "nothing":
            return "error", "MiddlewareError"
    return further()


def passed(chain: list[AnyMiddleware], ends: list[bool]) -> Outcome:
    async def end(message: Message[Any]) -> str:
        await asyncio.sleep(0)
        if not ends.pop(0):
            raise NotFound("the end fails")
        return f"end {message.payload}"

    try:
        return "ok", asyncio.run(pass_through(chain, message_for("call"), end))
    except (IonbusError, MiddlewareError) as error:
        return "error", type(error).__name__


ENDS = st.lists(st.booleans(), min_size=64, max_size=64)


@given(steps=st.lists(STEPS, max_size=6), ends=ENDS)
def test_a_chain_gives_what_the_rules_say_and_each_layer_runs_as_often(
    steps: list[str], ends: list[bool]
) -> None:
    seen: list[str] = []
    expected: list[str] = []
    outcome = passed([layer_of(step, seen) for step in steps], ends.copy())
    assert outcome == model(steps, "x", ends.copy(), expected)
    assert seen == expected


@given(steps=st.lists(STEPS, max_size=6), cut=st.integers(0, 6), ends=ENDS)
def test_composing_some_of_them_changes_nothing(steps: list[str], cut: int, ends: list[bool]) -> None:
    layers = [layer_of(step, []) for step in steps]
    nested = [*layers[:cut], compose(*layers[cut:])]
    assert passed(nested, ends.copy()) == passed(layers, ends.copy())


@given(depth=st.integers(1, 8), at=st.integers(0, 8), turns=st.integers(0, 20))
def test_cancelled_at_any_turn_every_layer_that_began_ends(depth: int, at: int, turns: int) -> None:
    async def run() -> tuple[list[int], list[int]]:
        began: list[int] = []
        ended: list[int] = []

        def layer(index: int) -> AnyMiddleware:
            async def middleware(message: Message[Any], next: Any) -> Any:
                began.append(index)
                try:
                    await asyncio.sleep(0)
                    return await (asyncio.create_task(next(message)) if index == at else next(message))
                finally:
                    ended.append(index)

            return middleware

        async def end(_: Message[Any]) -> str:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # never

        chain = [layer(index) for index in range(depth)]
        passing = asyncio.create_task(pass_through(chain, message_for("call"), end))
        for _ in range(turns):
            await asyncio.sleep(0)
        passing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await passing
        return began, ended

    began, ended = asyncio.run(run())
    assert ended == began[::-1]


@given(
    layers=st.lists(st.sampled_from(["pass", "wrap", "answer", "refuse", "again"]), max_size=5),
    items=st.integers(0, 4),
    take=st.integers(0, 5),
)
def test_whatever_becomes_of_a_stream_what_was_opened_is_closed(
    layers: list[str], items: int, take: int
) -> None:
    opened: list[list[str]] = []

    def listed() -> Listed:
        opened.append([])
        return Listed([str(number) for number in range(items)], opened[-1])

    def layer(step: str) -> AnyMiddleware:
        async def middleware(message: Message[Any], next: Any) -> Any:
            inner = await next(message)
            match step:
                case "wrap":
                    return (item async for item in inner)
                case "answer":
                    return listed()
                case "refuse":
                    raise NotAllowed("no")
                case "again":
                    await next(message)
            return inner

        return middleware

    async def end(_: Message[Any]) -> Listed:
        return listed()

    async def run() -> None:
        try:
            found: Items = await pass_through([layer(step) for step in layers], message_for("stream"), end)
        except (NotAllowed, MiddlewareError):
            assert {"refuse", "again"} & set(layers)
            return
        read = 0
        while read < take and await anext(found, None) is not None:
            read += 1
        await found.aclose()
        await found.aclose()
        assert read == min(take, items)

    asyncio.run(run())
    assert opened
    assert all(closed == ["end"] for closed in opened)


# What the shared cases cannot say.


async def test_next_may_run_as_a_task_and_under_a_timeout() -> None:
    async def as_a_task(message: Message[Any], next: Any) -> Any:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(next(message))
        return task.result()

    async def bounded(message: Message[Any], next: Any) -> Any:
        async with asyncio.timeout(10):
            return await next(message)

    async def end(_: Message[Any]) -> str:
        return "end"

    assert await pass_through([as_a_task, bounded], message_for("call"), end) == "end"


async def test_what_a_failing_layer_left_running_is_over_before_its_error_is_seen() -> None:
    ended: list[str] = []

    async def leaves(message: Message[Any], next: Any) -> Any:
        self.append(asyncio.ensure_future(next(message)))
        await asyncio.sleep(0)
        raise NotAllowed("no")

    async def end(_: Message[Any]) -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("end")

    self: list[Any] = []
    with pytest.raises(NotAllowed):
        await pass_through([leaves], message_for("call"), end)
    assert ended == ["end"]
    await asyncio.gather(*self, return_exceptions=True)


async def test_the_event_that_was_dropped_may_pass_when_it_is_tried_again() -> None:
    tries: list[str] = []

    async def again(message: Message[Any], next: Any) -> Any:
        try:
            return await next(message)
        except NotFound:
            return await next(message)

    async def fails_once(message: Message[Any], next: Any) -> Any:
        await next(message)
        tries.append("once")
        if len(tries) == 1:
            raise NotFound("once")

    async def drops_once(message: Message[Any], next: Any) -> Any:
        return await next(message) if tries else drop("early")

    async def end(_: Message[Any]) -> None:
        tries.append("passed")

    assert await pass_through([again, fails_once, drops_once], message_for("event"), end) is None
    assert tries == ["once", "passed", "once"]


async def test_an_event_dropped_further_in_than_what_was_composed_stays_dropped() -> None:
    async def passes(message: Message[Any], next: Any) -> Any:
        return await next(message)

    async def drops(_: Message[Any], __: Any) -> Any:
        return drop("enough")

    async def end(_: Message[Any]) -> None:
        raise AssertionError

    chain = [compose(passes, compose(passes)), drops]
    assert await pass_through(chain, message_for("event"), end) == Dropped("enough")


def test_what_is_no_middleware_is_refused_by_name() -> None:
    def plain(message: Message[Any], next: Any) -> Any:
        return next(message)

    with pytest.raises(TypeError, match=r"^plain is middleware and awaits next: write async def$"):
        check_middleware(plain)
    with pytest.raises(TypeError, match="middleware is a function, async def …"):
        check_middleware(None)
    with pytest.raises(TypeError, match=r"^plain is middleware"):
        compose(partial(plain))


async def test_middleware_that_gives_nothing_to_await_is_named() -> None:
    class Plain:
        def __call__(self, message: Message[Any], next: Any) -> Any:
            return "mine"

    async def end(_: Message[Any]) -> str:
        return "end"

    assert name_of(Plain()).endswith("Plain")
    with pytest.raises(MiddlewareError, match="Plain is middleware and awaits next: write async def"):
        await pass_through([Plain()], message_for("call"), end)


async def test_state_lives_as_long_as_the_passage_and_its_keys_are_typed() -> None:
    user = Key[str]("user")
    seen: list[str] = []

    async def notes(message: Message[Any], next: Any) -> Any:
        assert user not in message.state
        message.state[user] = "ada"
        return await next(message.replace(payload="y", deadline=3.0, trace="00-1-2-01"))

    async def end(message: Message[Any]) -> str:
        seen.append(message.state[user].upper())
        assert (message.context.deadline, message.context.trace) == (3.0, "00-1-2-01")
        return str(message.payload)

    message = message_for("call")
    assert await pass_through([notes], message, end) == "y"
    assert seen == ["ADA"]
    assert (message.payload, message.context.deadline) == ("x", None)
    assert message.state.get(Key[int]("user"), 3) == 3
    assert repr(message.state) == "<State user>"
    assert message.member is Cases.call


def test_a_drop_has_a_reason() -> None:
    assert drop("late") == Dropped("late")
    with pytest.raises(ValueError, match="takes a reason"):
        drop("")
