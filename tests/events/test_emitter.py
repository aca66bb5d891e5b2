"""What an emitter does in Python alone; what it does in both languages is in test_cases."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from ionbus import Contract, Emitter, Event, ListenerFailure, Received
from ionbus.events.emitter import MAX_UNDER_WAY
from ionbus.events.patterns import PatternTable
from ionbus.events.subscription import Subscription


class Login(BaseModel):
    user: str
    password: SecretStr
    note: str = Field("", repr=False)


class Site(Contract, name="site"):
    said = Event(str)
    pinged = Event(None)
    login = Event(Login)


def nothing(_: object) -> None:
    """Listen, and do nothing."""


def iter_of(text: str) -> object:
    return (letter for letter in text)


async def test_leaving_async_with_waits_for_the_calls_under_way() -> None:
    emitter, gate, log = Emitter(Site), asyncio.Event(), list[str]()

    async def slow(text: str) -> None:
        await gate.wait()
        log.append(text)

    async def leave() -> None:
        async with emitter.on(Site.said, slow):
            emitter.emit_nowait(Site.said, "1")
            await asyncio.sleep(0)
        log.append("left")

    leaving = asyncio.create_task(leave())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not leaving.done()
    gate.set()
    await leaving
    assert log == ["1", "left"]


async def test_a_subscription_is_a_context_manager_and_can_be_called() -> None:
    emitter, heard = Emitter(Site), list[str]()
    with emitter.on(Site.said, heard.append):
        await emitter.emit(Site.said, "1")
    subscription = emitter.on(Site.said, heard.append)
    subscription()
    await emitter.emit(Site.said, "2")
    assert heard == ["1"]
    assert repr(subscription) == "<Subscription site.said closed>"


async def test_what_was_emitted_but_has_not_begun_does_not_begin_after_close() -> None:
    emitter, heard = Emitter(Site), list[str]()

    async def hear(text: str) -> None:
        heard.append(text)

    subscription = emitter.on(Site.said, hear)
    emitter.emit_nowait(Site.said, "1")
    subscription.close()
    await emitter.idle()
    assert heard == []


async def test_listeners_of_a_task_group_are_its_tasks_and_end_with_it() -> None:
    failures: list[ListenerFailure] = []
    emitter = Emitter(Site, on_error=failures.append)
    gate, log, tasks = asyncio.Event(), list[str](), list[Any]()

    async def slow(text: str) -> None:
        tasks.append(asyncio.current_task())
        await gate.wait()
        log.append(f"slow {text}")

    def fails(text: str) -> None:
        raise ValueError(text)

    async with asyncio.TaskGroup() as group:
        subscription = emitter.on(Site.said, slow, until=group)
        emitter.on(Site.said, fails, until=group)
        emitting = group.create_task(emitter.emit(Site.said, "1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not emitting.done()
        gate.set()
    log.append("group over")
    assert log == ["slow 1", "group over"]
    assert len(tasks) == 1
    assert [(each.event, str(each.error)) for each in failures] == [("site.said", "1")]
    await emitter.emit(Site.said, "2")
    assert not subscription.is_open
    assert emitter.subscriptions() == []


async def test_a_call_in_a_task_group_is_not_begun_when_its_subscription_is_closed_before() -> None:
    emitter, heard = Emitter(Site), list[str]()
    async with asyncio.TaskGroup() as group:
        subscription = emitter.on(Site.said, heard.append, until=group)
        emitter.once(Site.said, lambda text: heard.append(f"once {text}"), until=group)
        emitter.emit_nowait(Site.said, "1")
        subscription.close()
    assert heard == ["once 1"]


async def test_a_generator_in_a_task_group_is_a_failure() -> None:
    failures: list[ListenerFailure] = []
    emitter = Emitter(Site, on_error=failures.append)
    async with asyncio.TaskGroup() as group:
        emitter.on(Site.said, iter_of, until=group)
        await emitter.emit(Site.said, "1")
    assert [str(each.error) for each in failures] == ["a listener returned a generator, which nobody runs"]


async def test_a_subscription_until_a_task_ends() -> None:
    emitter = Emitter(Site)
    task = asyncio.create_task(asyncio.sleep(0))
    subscription = emitter.on(Site.said, nothing, until=task)
    await task
    await asyncio.sleep(0)
    assert not subscription.is_open


async def test_what_does_not_end_is_no_until() -> None:
    emitter = Emitter(Site)
    never: Any = 5
    with pytest.raises(
        TypeError, match="until= is a task or another future, a TaskGroup or a session, not 5"
    ):
        emitter.on(Site.said, nothing, until=never)
    assert emitter.subscriptions() == []


async def test_a_weak_function_vanishes_when_nobody_holds_it() -> None:
    emitter, heard = Emitter(Site), list[str]()

    def make() -> Callable[[str], None]:
        def hear(text: str) -> None:
            heard.append(text)

        return hear

    kept = make()
    emitter.on(Site.said, kept, weak=True)
    emitter.on(Site.said, make(), weak=True)
    gc.collect()
    await emitter.emit(Site.said, "1")
    assert heard == ["1"]
    assert len(emitter.subscriptions()) == 1


async def test_off_does_not_count_what_has_vanished() -> None:
    emitter = Emitter(Site)
    emitter.on(Site.said, lambda _: None, weak=True)
    gc.collect()
    assert emitter.off(Site.said) == 0


async def test_a_failure_tells_the_payload_in_short_and_no_secret() -> None:
    failures: list[ListenerFailure] = []
    emitter = Emitter(Site, on_error=failures.append)

    def fails(_: object) -> None:
        raise ValueError("boom")

    emitter.on(Site.login, fails)
    emitter.on("site.*", fails)
    login = Login(user="ann", password=SecretStr("hunter2"), note="private")
    await emitter.emit(Site.login, login)
    await emitter.emit(Site.said, "long " * 100)
    assert [failure.event for failure in failures] == ["site.login", "site.login", "site.said"]
    assert failures[0].payload == "Login(user='ann', password=SecretStr('**********'))"
    assert failures[1].pattern == "site.*"
    assert len(failures[2].payload) == 200
    assert failures[0].listener == "fails"


async def test_a_failure_without_on_error_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    emitter = Emitter(Site)

    async def fails(text: str) -> None:
        raise ValueError(text)

    emitter.on(Site.said, fails)
    await emitter.emit(Site.said, "boom")
    [record] = caplog.records
    assert record.getMessage() == "a listener of site.said failed: fails, given 'boom'"
    assert record.exc_info is not None


async def test_a_leak_tells_where_listeners_were_added(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter(Site, max_listeners=3)
    for _ in range(4):
        emitter.on(Site.said, nothing)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "4 listeners for site.said, more than max_listeners=3" in record.getMessage()
    assert "4 at " in record.getMessage()
    assert "test_emitter.py:" in record.getMessage()
    assert "in test_a_leak_tells_where_listeners_were_added" in record.getMessage()
    first = emitter.subscriptions()[0]
    assert first.added_at is not None
    assert "test_emitter.py:" in first.added_at


async def test_a_recursion_by_way_of_async_listeners_ends(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[ListenerFailure] = []
    emitter = Emitter(Site, on_error=failures.append, max_depth=8)
    calls = 0

    async def again(_: str) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        await emitter.emit(Site.said, "again")

    emitter.on(Site.said, again)
    await emitter.emit(Site.said, "1")
    assert calls == 8
    [failure] = failures
    assert isinstance(failure.error, RecursionError)
    assert str(failure.error) == f"emits are nested deeper than max_depth=8: {' > '.join(['site.said'] * 9)}"


async def test_so_many_emits_of_one_event_may_be_under_way() -> None:
    emitter, gate = Emitter(Site), asyncio.Event()

    async def slow(_: str) -> None:
        await gate.wait()

    emitter.on(Site.said, slow)
    for _ in range(MAX_UNDER_WAY):
        emitter.emit_nowait(Site.said, "1")
    with pytest.raises(RecursionError, match=r"10000 emits of site\.said are under way"):
        emitter.emit_nowait(Site.said, "1")
    emitter.emit_nowait(Site.pinged)
    gate.set()
    await emitter.idle()
    emitter.emit_nowait(Site.said, "1")
    await emitter.aclose()


async def test_a_listener_that_ignores_its_cancellation_is_not_waited_for() -> None:
    failures: list[ListenerFailure] = []
    emitter, gate = Emitter(Site, on_error=failures.append, listener_timeout=0.01), asyncio.Event()

    async def stubborn(_: str) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    emitter.on(Site.said, stubborn)
    await emitter.emit(Site.said, "1")
    assert [str(failure.error) for failure in failures] == ["a listener has not ended within 0.01 s"]
    gate.set()


async def test_a_cancelled_emit_waits_no_more_and_its_listeners_run_on() -> None:
    emitter, gate, log = Emitter(Site), asyncio.Event(), list[str]()

    async def slow(text: str) -> None:
        await gate.wait()
        log.append(text)

    emitter.on(Site.said, slow)
    emitting = asyncio.create_task(emitter.emit(Site.said, "1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    emitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await emitting
    gate.set()
    await emitter.idle()
    assert log == ["1"]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_others() -> None:
    failures, heard = list[ListenerFailure](), list[str]()
    emitter = Emitter(Site, on_error=failures.append)

    async def wait_for_what_is_cancelled(_: str) -> None:
        waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waited.cancel()
        await waited

    def look_at_what_is_cancelled(_: str) -> None:
        raise asyncio.CancelledError

    emitter.on(Site.said, look_at_what_is_cancelled)
    emitter.on(Site.said, wait_for_what_is_cancelled)
    emitter.on(Site.said, heard.append)
    await emitter.emit(Site.said, "1")
    assert heard == ["1"]
    assert [(each.listener, type(each.error)) for each in failures] == [
        ("look_at_what_is_cancelled", asyncio.CancelledError),
        ("wait_for_what_is_cancelled", asyncio.CancelledError),
    ]


async def test_what_the_emitter_cancels_is_no_failure() -> None:
    failures = list[ListenerFailure]()

    async def wait(_: str) -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        async with Emitter(Site, on_error=failures.append) as emitter:
            emitter.on(Site.said, wait)
            emitter.emit_nowait(Site.said, "1")
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert failures == []


async def test_giving_up_to_wait_leaves_no_error_that_nobody_takes() -> None:
    told = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    emitter = Emitter(Site)
    waiting = asyncio.create_task(emitter.wait_for(Site.said))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    del waiting
    gc.collect()
    assert told == []
    assert emitter.subscriptions() == []


async def test_where_may_emit_what_is_waited_for() -> None:
    failures = list[ListenerFailure]()
    emitter = Emitter(Site, on_error=failures.append)

    def where(text: str) -> bool:
        if text == "1":
            emitter.emit_nowait(Site.said, "2")
        return True

    waiting = asyncio.create_task(emitter.wait_for(Site.said, where))
    await asyncio.sleep(0)
    await emitter.emit(Site.said, "1")
    assert await waiting == "2"
    assert failures == []


async def test_a_block_that_fails_cancels_what_is_under_way() -> None:
    ended: list[str] = []

    async def slow(_: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("slow")

    async def fail() -> None:
        async with Emitter(Site) as emitter:
            emitter.on(Site.said, slow)
            emitter.emit_nowait(Site.said, "1")
            await asyncio.sleep(0)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await fail()
    assert ended == ["slow"]


def test_an_async_listener_without_a_loop_is_a_failure() -> None:
    failures: list[ListenerFailure] = []
    emitter = Emitter(Site, on_error=failures.append)

    async def hear(_: str) -> None:
        """Never begins."""

    emitter.on(Site.said, hear)
    emitter.on(Site.said, nothing)
    emitter.emit_nowait(Site.said, "1")
    assert [str(failure.error) for failure in failures] == ["no running event loop"]


def test_what_is_no_contract_is_refused() -> None:
    no_contract: Any = Site.said
    with pytest.raises(TypeError, match="an emitter is made with contracts"):
        Emitter(no_contract)


async def test_100_000_subscriptions_that_were_closed_leave_nothing() -> None:
    emitter, ends = Emitter(Site, max_listeners=1_000_000), asyncio.get_running_loop().create_future()

    class Owner:
        def hear(self, _: object) -> None:
            """Listen."""

    owner = Owner()
    gone = weakref.ref(owner)

    def open_some(owner: Owner, count: int) -> list[Subscription]:
        whats: list[Any] = [Site.said, Site.pinged, "site.*", Site]
        return [
            emitter.on(whats[number % 4], owner.hear, until=ends if number % 3 else None)
            for number in range(count)
        ]

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    for each in open_some(owner, 100):
        each.close()
    del each
    before = objects()

    def open_and_close(owner: Owner) -> None:
        opened = open_some(owner, 10_000)
        emitter.emit_nowait(Site.pinged)
        for each in opened:
            each.close()

    for _ in range(10):
        open_and_close(owner)
    assert objects() - before < 100
    assert emitter.subscriptions() == []
    del owner
    gc.collect()
    assert gone() is None


def test_what_an_emit_looks_at_does_not_grow_with_other_subscriptions() -> None:
    table: PatternTable[int] = PatternTable()
    table.add("a", "site.said", 0)
    for number in range(10_000):
        table.add(number, ("other.{}", "other.{}.*", "*.other{}", "other{}.**")[number % 4].format(number), 1)
    assert table.matching("site.said") == (0,)
    assert table.matching("other2.x") == ()
    assert table.matching("other3.x") == (1,)
    for number in range(10_000):
        table.remove(number)
    table.remove("a")
    assert not any((table._tree, table._under, table._patterns, len(table)))


async def test_a_decorator_gives_the_function() -> None:
    emitter, heard = Emitter(Site), list[object]()

    @emitter.on(Site.said)
    def hear(text: str) -> None:
        heard.append(text)

    @emitter.once("site.*")
    async def first(received: Received[object]) -> None:
        heard.append(received)

    hear("0")
    await emitter.emit(Site.said, "1")
    await emitter.emit(Site.said, "2")
    assert heard == ["0", "1", Received("site.said", "1"), "2"]


async def tells_later(_: object) -> None: ...


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"on_error": tells_later}, "not awaited"),
        ({"max_depth": 0}, "1 or more, not 0"),
        ({"listener_timeout": -1.0}, "above 0, or None, not -1.0"),
        ({"listener_timeout": float("nan")}, "not nan"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises((TypeError, ValueError), match=problem):
        Emitter(Site, **options)
