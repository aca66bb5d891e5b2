"""Contexts: what a handler knows, and what it may do from the loop and from a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ionbus import CallCancelled, CallTimeout, Context, IonbusError, Principal, ThreadContext
from workshop import Progress, Rig, TooBig, Workshop, eventually, rig


@pytest.fixture
async def at() -> AsyncIterator[Rig]:
    async with rig() as made:
        yield made


async def test_a_context_tells_who_calls_until_when_and_in_which_state(at: Rig) -> None:
    seen: list[Context[Any]] = []

    async def look(name: str, ctx: Context[Any]) -> str:
        seen.append(ctx)
        return name

    with at.broker.override(Workshop.wait, look):
        await at.bus.call(Workshop.wait, "a", timeout=5)
        await at.bus.call(Workshop.wait, "b", timeout=None)
    first, second = seen
    assert first.session is at.broker.sessions[0]
    assert first.principal == Principal("local")
    assert first.state is at.bench
    assert first.deadline is not None
    assert 0 < first.deadline - time.monotonic() <= 5
    assert second.deadline is None
    assert second.request_id > first.request_id > 0


async def test_a_thread_context_does_the_same_blocking(at: Rig) -> None:
    noticed: list[str] = []
    at.bus.on(Workshop.noticed, noticed.append)

    @at.bus.handle(Workshop.question)
    async def question(text: str) -> str:
        if text == "big":
            raise TooBig(limit=3)
        return text.upper()

    @at.bus.handle(Workshop.numbers)
    async def numbers(upto: int) -> AsyncIterator[int]:
        for number in range(upto):
            yield number

    def work(name: str, ctx: ThreadContext[Any]) -> str:
        assert threading.current_thread() is not threading.main_thread()
        ctx.emit(Workshop.noticed, f"working on {name}")
        answer = ctx.call(Workshop.question, name)
        with pytest.raises(TooBig):
            ctx.call(Workshop.question, "big")
        with ctx.stream(Workshop.numbers, 200) as items:
            total = sum(items)
        with ctx.stream(Workshop.numbers, 100_000) as items:
            next(items)
        ctx.raise_if_cancelled()
        return f"{answer} {total} {ctx.cancelled}"

    with at.broker.override(Workshop.block, work):
        assert await at.bus.call(Workshop.block, "x") == "X 19900 False"
    assert noticed == ["working on x"]


async def test_a_blocking_call_ends_when_the_caller_gives_up(at: Rig) -> None:
    ended: list[BaseException] = []

    @at.bus.handle(Workshop.question)
    async def question(text: str) -> str:
        await asyncio.Event().wait()
        return text

    def work(name: str, ctx: ThreadContext[Any]) -> str:
        try:
            return ctx.call(Workshop.question, name, timeout=None)
        except CallCancelled as error:
            ended.append(error)
            assert ctx.cancelled
            with pytest.raises(CallCancelled):
                ctx.raise_if_cancelled()
            with pytest.raises(CallCancelled):
                ctx.emit(Workshop.noticed, "too late")
            raise

    with at.broker.override(Workshop.block, work), pytest.raises(CallTimeout):
        await at.bus.call(Workshop.block, "x", timeout=0.25)
    await eventually(lambda: ended)


async def test_a_thread_context_on_the_loop_is_a_mistake_that_is_told(at: Rig) -> None:
    kept: list[ThreadContext[Any]] = []

    def keep(name: str, ctx: ThreadContext[Any]) -> str:
        kept.append(ctx)
        return name

    with at.broker.override(Workshop.block, keep):
        await at.bus.call(Workshop.block, "x")
    with pytest.raises(RuntimeError, match="event loop's thread"):
        kept[0].emit(Workshop.noticed, "x")


async def test_a_clients_handler_has_a_context_without_a_session(at: Rig) -> None:
    @at.bus.handle(Workshop.question)
    async def question(text: str, ctx: Context) -> str:
        assert ctx.principal is None
        with pytest.raises(RuntimeError, match="use the bus"):
            _ = ctx.session
        return text

    assert await at.bus.call(Workshop.ask_back, "x") == "x"


async def test_def_handlers_run_beside_one_another(at: Rig) -> None:
    tasks = [asyncio.create_task(at.bus.call(Workshop.block, str(number))) for number in range(20)]
    await eventually(lambda: len(at.bench.started) == 20)
    for number in range(20):
        at.bench.thread_gate(str(number)).set()
    assert await asyncio.gather(*tasks) == [str(number) for number in range(20)]


async def test_emitting_to_a_caller_that_has_gone_fails_the_handler_and_nothing_else(at: Rig) -> None:
    ended: list[type[BaseException]] = []

    async def go_on(name: str, ctx: Context[Any]) -> str:
        try:
            await at.bench.gate("x").wait()
        except asyncio.CancelledError:
            try:
                await ctx.emit(Workshop.progress, Progress(job="a", percent=1))
            except IonbusError as error:
                ended.append(type(error))
            raise
        return name

    with at.broker.override(Workshop.wait, go_on):
        task = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.gates)
        await at.bus.close()
        await asyncio.gather(task, return_exceptions=True)
        await eventually(lambda: ended)
    assert ended[0].__name__ == "SessionLost"
