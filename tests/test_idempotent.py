"""An idempotent call that is sent again is answered again and not run again, for as long as answers are remembered."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ionbus import Broker, Call, Contract, ContractError, InternalError, SessionLost
from ionbus.channels.memory import MemoryListener
from ionbus.dispatch.remembered import OVERHEAD, Remembered
from ionbus.generated.protocol import Limits
from raw_client import Raw, hello
from test_bounds import packed
from workshop import end_sessions, eventually, opened_bus

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)


class Taken(ContractError):
    """It is taken."""

    code = "taken"
    by: str


class Shop(Contract, name="shop", version="1.0"):
    """Things that must not be done twice."""

    order = Call(str, int, idempotent=True, raises=[Taken], timeout=None)
    count = Call(str, int)


@dataclass
class Scene:
    broker: Broker[Any]
    listener: MemoryListener
    runs: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def raw(self, session: bytes) -> Raw:
        raw = Raw()
        raw.channel = (await self.listener.open(raw)).channel
        raw.send(1, hello(session=session * 16))
        await eventually(lambda: raw.frames)
        return raw


@pytest.fixture
async def at() -> AsyncIterator[Scene]:
    broker = Broker(Shop)
    scene = Scene(broker, MemoryListener(lambda *_: pytest.fail("not served yet")))

    @broker.handle(Shop.order)
    async def order(what: str) -> int:
        scene.runs.append(what)
        if what == "slow":
            await scene.gate.wait()
        if what == "taken":
            raise Taken(by="somebody")
        if what == "broken":
            raise RuntimeError("broken")
        return len(scene.runs)

    @broker.handle(Shop.count)
    async def count(what: str) -> int:
        scene.runs.append(what)
        return len(scene.runs)

    async with broker.opened():
        scene.listener = MemoryListener(broker.accept_local())
        yield scene


def answers(raw: Raw) -> list[Any]:
    return [e[1:] for frame in raw.frames if frame[0] == 0 for e in frame[3:] if e and e[0] in (3, 4)]


async def ask(raw: Raw, number: int, key: str | None, what: str, name: str = "shop.order") -> None:
    before = len(answers(raw))
    options = {} if key is None else {"key": key}
    raw.send(0, number, 0, [2, number, name, packed(what), options])
    await eventually(lambda: len(answers(raw)) > before)


async def test_the_same_key_is_answered_again_also_in_another_session(at: Scene) -> None:
    first, second = await at.raw(b"a"), await at.raw(b"b")
    await ask(first, 1, "k", "apples")
    await ask(first, 2, "k", "apples")
    await ask(second, 1, "k", "apples")
    assert answers(first) == [[1, packed(1)], [2, packed(1)]]
    assert answers(second) == [[1, packed(1)]]
    assert at.runs == ["apples"]


@pytest.mark.parametrize(
    ("key", "what", "name"),
    [("other", "apples", "shop.order"), ("k", "pears", "shop.order"), (None, "apples", "shop.order"),
     ("k", "apples", "shop.count")],
    ids=["another key", "another payload", "no key", "a call that is not declared idempotent"],
)  # fmt: skip
async def test_what_differs_is_run(at: Scene, key: str | None, what: str, name: str) -> None:
    raw = await at.raw(b"a")
    await ask(raw, 1, "k", "apples", name)
    await ask(raw, 2, key, what, name)
    assert len(at.runs) == 2


async def test_another_principal_does_not_get_the_answer(at: Scene) -> None:
    serving = at.broker._serving
    assert serving is not None
    names = iter("AB")
    at.listener = MemoryListener(serving.accept(lambda _: next(names)))
    first, second = await at.raw(b"a"), await at.raw(b"b")
    await ask(first, 1, "k", "apples")
    await ask(second, 1, "k", "apples")
    assert at.runs == ["apples", "apples"]


async def test_a_long_key_takes_no_more_memory_than_a_short_one(at: Scene) -> None:
    raw = await at.raw(b"a")
    await ask(raw, 1, "warm up", "apples")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2, 32):
            await ask(raw, number, f"{number} {'k' * 200_000}", "apples")
        raw.frames.clear()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(at.runs) == 31
    assert after - before < 2_000_000


async def test_a_declared_error_is_an_answer_and_a_failure_is_none(at: Scene) -> None:
    raw = await at.raw(b"a")
    for number, what in enumerate(("taken", "taken", "broken", "broken"), 1):
        await ask(raw, number, what, what)
    assert [answer[1] for answer in answers(raw)] == ["taken", "taken", "internal_error", "internal_error"]
    assert answers(raw)[0][2:] == answers(raw)[1][2:]
    assert at.runs == ["taken", "broken", "broken"]


async def test_a_run_under_way_answers_both(at: Scene) -> None:
    first, second = await at.raw(b"a"), await at.raw(b"b")
    for raw in (first, second):
        raw.send(0, 1, 0, [2, 1, "shop.order", packed("slow"), {"key": "k"}])
    await eventually(lambda: at.runs)
    at.gate.set()
    await eventually(lambda: answers(first) and answers(second))
    assert at.runs == ["slow"]
    assert answers(first) == answers(second)


async def test_a_run_that_was_cancelled_is_run_anew_by_who_waits_for_it(at: Scene) -> None:
    first, second = await at.raw(b"a"), await at.raw(b"b")
    for raw in (first, second):
        raw.send(0, 1, 0, [2, 1, "shop.order", packed("slow"), {"key": "k"}])
    await eventually(lambda: at.runs)
    first.send(0, 2, 0, [5, 1])
    await eventually(lambda: len(at.runs) == 2)
    at.gate.set()
    await eventually(lambda: answers(second))
    assert answers(first)[0][1] == "call_cancelled"
    assert answers(second) == [[1, packed(2)]]


async def test_who_waits_for_a_run_may_give_up(at: Scene) -> None:
    first, second = await at.raw(b"a"), await at.raw(b"b")
    for raw in (first, second):
        raw.send(0, 1, 0, [2, 1, "shop.order", packed("slow"), {"key": "k"}])
    await eventually(lambda: at.runs)
    second.send(0, 2, 0, [5, 1])
    await eventually(lambda: answers(second))
    at.gate.set()
    await eventually(lambda: answers(first))
    assert answers(second)[0][1] == "call_cancelled"
    assert answers(first) == [[1, packed(1)]]


async def test_a_lost_session_costs_an_idempotent_call_nothing_and_it_runs_once(at: Scene) -> None:
    async with opened_bus(at.listener.open, BRISK) as bus:
        assert at.listener.wire is not None
        at.listener.wire.to_client.stop()  # the answer does not arrive
        call = asyncio.create_task(bus.call(Shop.order, "apples"))
        await eventually(lambda: at.runs)
        await asyncio.sleep(0)
        end_sessions(at.broker)
        at.listener.wire.cut()
        assert await call == 1
        assert at.runs == ["apples"]


async def test_a_call_that_is_not_idempotent_is_rejected_instead(at: Scene) -> None:
    async with opened_bus(at.listener.open, BRISK) as bus:
        assert at.listener.wire is not None
        at.listener.wire.to_client.stop()
        call = asyncio.create_task(bus.call(Shop.count, "apples"))
        await eventually(lambda: at.runs)
        end_sessions(at.broker)
        at.listener.wire.cut()
        with pytest.raises(SessionLost):
            await call


async def test_an_internal_error_is_told_with_its_own_incident(at: Scene) -> None:
    async with opened_bus(at.listener.open) as bus:
        with pytest.raises(InternalError):
            await bus.call(Shop.order, "broken")


async def test_answers_are_kept_for_a_time_and_within_bytes() -> None:
    loop = asyncio.get_running_loop()
    remembered = Remembered(lifetime=300, max_bytes=3 * (OVERHEAD + 100))
    for number in range(4):
        remembered.begin(number, loop)
        remembered.end(number, bytes(100), now=number)
    assert [remembered.find(number, 4) is not None for number in range(4)] == [False, True, True, True]
    assert remembered.held_bytes == 3 * (OVERHEAD + 100)
    assert [remembered.find(number, 302) is not None for number in range(4)] == [False, False, False, True]
    assert remembered.find(3, 303) is None
    assert remembered.held_bytes == 0
