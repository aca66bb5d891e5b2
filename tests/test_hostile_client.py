"""Frames from a client that is broken or hostile: its channel is closed with a reason, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgpack
import pytest

from ionbus import Session
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from raw_client import Raw, hello
from workshop import Pair, Workshop, eventually, make_broker, opened_bus


@dataclass
class Scene:
    listener: MemoryListener
    good: Any

    async def raw(self) -> Raw:
        raw = Raw()
        raw.channel = (await self.listener.open(raw)).channel
        raw.channel.max_frame_bytes = 1 << 20
        return raw

    async def greeted(self, **changes: Any) -> Raw:
        raw = await self.raw()
        raw.send(1, hello(**changes))
        await eventually(lambda: raw.frames)
        assert raw.frames[0][0] == 2
        return raw

    async def check_the_others(self) -> None:
        assert await self.good.call(Workshop.add, Pair(left=1, right=1)) == 2


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    broker = make_broker(Limits(handshake_ms=300))
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as good:
            made = Scene(listener, good)
            yield made
            await made.check_the_others()


def payload(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


deep: Any = []
for _ in range(100):
    deep = [deep]

VIOLATIONS = {
    "not msgpack": b"\xc1\xc1",
    "truncated": msgpack.packb([0, 1, 0, [2, 1, "workshop.add", b""]])[:-3],
    "empty": b"",
    "no array": msgpack.packb({"a": 1}),
    "too deep": msgpack.packb([0, 1, 0, [1, "workshop.said", b"", {"x": deep}]]),
    "a sequence number from nowhere": msgpack.packb([0, 7, 0, [10, 1, "workshop.*"]]),
    "sequence number 0": msgpack.packb([0, 0, 0, [10, 1, "workshop.*"]]),
    "an ack of what was never sent": msgpack.packb([4, 999]),
    "a second hello": msgpack.packb([1, hello()]),
    "a field of the wrong type": msgpack.packb([0, 1, 0, [2, "one", "workshop.add", b""]]),
    "a field missing": msgpack.packb([0, 1, 0, [2, 1]]),
    "an element that is none": msgpack.packb([0, 1, 0, "text"]),
    "a result for nothing": msgpack.packb([0, 1, 0, [3, 1, b""]]),
    "an item for nothing": msgpack.packb([0, 1, 0, [7, 1, b""]]),
    "a cancel of nothing": msgpack.packb([0, 1, 0, [5, 9]]),
    "credit for nothing": msgpack.packb([0, 1, 0, [9, 9, 1, 1]]),
    "what only brokers send": msgpack.packb([0, 1, 0, [11, 1]]),
    "an envelope to the broker": msgpack.packb([0, 1, 0, [13, [1], [1, "workshop.said", b"\xa0"]]]),
    "a name that is a number": msgpack.packb([0, 1, 0, [1, 3, b"\xa0"]]),
    "a number used twice": msgpack.packb(
        [0, 1, 0, [2, 1, "workshop.wait", b"\xa1x"], [2, 1, "workshop.wait", b"\xa1x"]]
    ),
    "a subscription twice": msgpack.packb([0, 1, 0, [10, 1, "workshop.*"], [10, 1, "workshop.*"]]),
    "a refusal of nothing": msgpack.packb([0, 1, 0, [14, 99, "x", "y"]]),
    "an extension outside a payload": msgpack.packb([0, 1, 0, msgpack.ExtType(5, b"1")]),
    "an integer too large": msgpack.packb([4, 2**60]),
}


@pytest.mark.parametrize("frame", VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violation_closes_that_channel_with_a_reason(scene: Scene, frame: bytes) -> None:
    raw = await scene.greeted()
    raw.send_bytes(frame)
    await eventually(lambda: raw.end)
    close = raw.close_frame()
    assert close is not None
    assert close[1] == "protocol_error"
    assert close[2]
    assert raw.end is not None
    assert not raw.end[0]
    # The session is still there: it goes on over another channel.
    secret = raw.frames[0][1]["secret"]
    epoch = raw.frames[0][1]["epoch"]
    again = await scene.greeted(secret=secret, attempt=2, epoch=epoch, fresh=[b"f" * 16, b"g" * 32])
    assert again.frames[0][1]["resumed"] is True


async def test_a_second_violation_without_progress_ends_the_session(scene: Scene) -> None:
    raw = await scene.greeted()
    raw.send_bytes(b"\xc1")
    await eventually(lambda: raw.end)
    welcome = raw.frames[0][1]
    again = await scene.greeted(
        secret=welcome["secret"], attempt=2, epoch=welcome["epoch"], fresh=[b"f" * 16, b"g" * 32]
    )
    again.send_bytes(b"\xc1")
    await eventually(lambda: again.end)
    close = again.close_frame()
    assert close is not None
    assert close[1] == "protocol_violation"
    assert close[3] == {"over": True}
    third = await scene.raw()
    third.send(
        1,
        hello(
            secret=again.frames[0][1]["secret"],
            attempt=3,
            epoch=welcome["epoch"],
            fresh=[b"f" * 16, b"g" * 32],
        ),
    )
    await eventually(lambda: third.frames)
    assert third.frames[0][1]["resumed"] is False
    assert third.frames[0][1]["reason"] == "protocol_violation"


GREETINGS = {
    "a wrong protocol version": ([1, hello(protocol=0)], "protocol_error"),
    "no map": ([1, 7], "protocol_error"),
    "no session": ([1, {"protocol": 1}], "protocol_error"),
    "a short secret": ([1, hello(secret=b"short")], "protocol_error"),
    "a token that is no text": ([1, hello(token=7)], "protocol_error"),
    "data first": ([0, 1, 0, [10, 1, "workshop.*"]], "protocol_error"),
    "another contract": ([1, hello(contracts=[["workshop", "9.0", "f" * 32]])], "contract_mismatch"),
    "a contract that is not served": (
        [1, hello(contracts=[["nowhere", "1.0", "f" * 32]])],
        "contract_mismatch",
    ),
}


@pytest.mark.parametrize(("frame", "code"), GREETINGS.values(), ids=GREETINGS.keys())
async def test_a_greeting_that_is_wrong_is_refused(scene: Scene, frame: list[Any], code: str) -> None:
    raw = await scene.raw()
    raw.send(*frame)
    await eventually(lambda: raw.end)
    close = raw.close_frame()
    assert close is not None
    assert close[1] == code


async def test_a_large_greeting_is_not_read(scene: Scene) -> None:
    raw = await scene.raw()
    raw.send(1, hello(agent="x" * 20_000))
    await eventually(lambda: raw.end)
    assert raw.end is not None
    assert raw.end[1] == "too_large"


async def test_a_frame_above_the_limit_is_not_read(scene: Scene) -> None:
    raw = await scene.greeted()
    raw.send(0, 1, 0, [1, "workshop.said", bytes(1 << 20)])
    await eventually(lambda: raw.end)
    assert raw.end is not None
    assert raw.end[1] == "too_large"


async def test_a_client_that_says_nothing_is_dropped(scene: Scene) -> None:
    raw = await scene.raw()
    await eventually(lambda: raw.end)
    close = raw.close_frame()
    assert close is not None
    assert close[1] == "handshake_timeout"


async def test_events_without_credit_are_a_violation() -> None:
    broker = make_broker(Limits(credit_messages=10))
    started: list[str] = []

    @broker.on(Workshop.shouted)
    async def shouted(text: str) -> None:
        started.append(text)
        await asyncio.Event().wait()

    async with broker.opened(grace=0.1):
        scene = Scene(MemoryListener(broker.accept_local()), None)
        raw = await scene.greeted()
        event = [1, "workshop.shouted", payload("x")]
        for number in range(1, 257):  # each is consumed when its listener starts, so that its credit returns
            raw.send(0, number, 0, event)
            await eventually(lambda number=number: len(started) == number)  # type: ignore[misc]
        assert raw.end is None
        raw.send(0, 257, 0, *([event] * 20))  # now credit has stopped
        await eventually(lambda: raw.end)
        close = raw.close_frame()
        assert close is not None
        assert close[1:3] == ["protocol_error", "EVENT without credit"]
        assert len(started) == 256


async def test_an_unknown_message_and_a_later_frame_are_skipped(scene: Scene) -> None:
    raw = await scene.greeted()
    raw.send(77, "from the future")
    raw.send(0, 1, 0, [99, "unknown"], None, [2, 1, "workshop.add", payload({"left": 1, "right": 2})])
    await eventually(lambda: len(raw.frames) > 1)
    assert raw.frames[1][3] == [3, 1, payload(3)]


async def test_an_undecodable_payload_fails_its_own_message_alone(scene: Scene) -> None:
    raw = await scene.greeted()
    raw.send(
        0, 1, 0,
        [2, 1, "workshop.add", b"\xc1"],
        [2, 2, "workshop.add", payload({"left": 1, "right": 2})],
        [2, 3, "workshop.nothing", b""],
        [2, 4, "workshop.question", payload("?")],
        [2, 5, "workshop.count", payload(1)],
        [6, 6, "workshop.add", payload(1)],
        [2, 7, "ionbus.endpoint", payload(None)],
    )  # fmt: skip
    await eventually(lambda: sum(len(frame) - 3 for frame in raw.frames[1:] if frame[0] == 0) == 7)
    answers = {element[1]: element for frame in raw.frames[1:] if frame[0] == 0 for element in frame[3:]}
    assert answers[1][:3] == [4, 1, "invalid_payload"]
    assert answers[2] == [3, 2, payload(3)]
    assert [answers[number][2] for number in (3, 4, 5, 6, 7)] == [
        "not_found",
        "not_allowed",
        "not_found",
        "not_found",
        "not_found",
    ]


async def test_a_cancel_that_crosses_its_result_is_ignored(scene: Scene) -> None:
    raw = await scene.greeted()
    raw.send(0, 1, 0, [2, 1, "workshop.add", payload({"left": 1, "right": 2})])
    await eventually(lambda: len(raw.frames) > 1)
    raw.send(0, 2, 1, [5, 1], [9, 1, 5, 5])
    raw.send(0, 4, 1, [2, 2, "workshop.add", payload({"left": 1, "right": 2})])
    await eventually(lambda: any(frame[0] == 0 and frame[3][:2] == [3, 2] for frame in raw.frames))
    assert raw.end is None


async def test_a_cancelled_call_is_still_answered_exactly_once(scene: Scene) -> None:
    raw = await scene.greeted()
    raw.send(0, 1, 0, [2, 1, "workshop.wait", payload("x")], [5, 1], [2, 2, "workshop.wait", payload("y")])
    await eventually(lambda: len(raw.frames) > 1)
    raw.send(0, 4, 1, [5, 2])

    def answers() -> list[list[Any]]:
        return [element for frame in raw.frames if frame[0] == 0 for element in frame[3:]]

    await eventually(lambda: len(answers()) == 2)
    assert [element[:3] for element in answers()] == [[4, 1, "call_cancelled"], [4, 2, "call_cancelled"]]


async def test_too_many_subscriptions_are_refused_one_by_one(scene: Scene) -> None:
    raw = await scene.greeted()
    for number in range(1, 1003):
        raw.send(0, number, 0, [10, number, "workshop.noticed"])

    def refused() -> list[list[Any]]:
        return [
            element
            for frame in raw.frames
            if frame[0] == 0
            for element in frame[3:]
            if element[0] == 11 and len(element) > 2
        ]

    await eventually(lambda: len(refused()) == 2)
    assert [element[:3] for element in refused()] == [[11, 1001, "too_large"], [11, 1002, "too_large"]]


async def test_a_stolen_session_id_is_no_way_in(scene: Scene) -> None:
    raw = await scene.greeted()
    thief = await scene.raw()
    thief.send(1, hello(secret=b"z" * 32, attempt=2))
    await eventually(lambda: thief.end)
    close = thief.close_frame()
    assert close is not None
    assert close[1] == "unauthenticated"
    assert raw.end is None


async def test_a_stale_attempt_evicts_nobody(scene: Scene) -> None:
    raw = await scene.greeted()
    stale = await scene.raw()
    stale.send(1, hello())
    await eventually(lambda: stale.end)
    close = stale.close_frame()
    assert close is not None
    assert close[1] == "stale_attempt"
    assert raw.end is None
    newer = await scene.greeted(attempt=2)
    await eventually(lambda: raw.end)
    assert newer.frames[0][1]["resumed"] is True
    evicted = raw.close_frame()
    assert evicted is not None
    assert evicted[1] == "evicted"
    assert evicted[3] == {"final": True}


async def test_who_takes_no_large_messages_is_answered_all_the_same(scene: Scene) -> None:
    raw = await scene.greeted(limits={"message": 0})
    raw.send(0, 1, 0, [10, 1, "workshop.*"], [2, 1, "workshop.nothing", b"\xc0"])
    await eventually(lambda: len(raw.frames) > 1)
    assert [element[:2] for element in raw.frames[1][3:]] == [[11, 1], [4, 1]]


@pytest.mark.parametrize("count", [9_000, 20_000])
async def test_a_refusal_of_many_problems_is_short(scene: Scene, count: int) -> None:
    raw = await scene.greeted(limits={"message": 0})
    raw.send(0, 1, 0, [1, "workshop.sized", payload(["wrong"] * count)])
    await eventually(lambda: len(raw.frames) > 1)
    [refused] = raw.frames[1][3:]
    assert refused[:3] == [14, 1, "invalid_payload"]
    assert len(msgpack.packb(refused)) < 50_000


async def test_a_mistake_of_the_brokers_costs_one_channel_and_not_the_session(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Session, contracts: list[tuple[str, str, str]]) -> None:
        raise RuntimeError(f"a bug at {contracts}")

    monkeypatch.setattr(Session, "announced", fail)
    raw = await scene.greeted()
    raw.send(0, 1, 0, [15, [["workshop", "1.0", "x"]]])
    await eventually(lambda: raw.end)
    close = raw.close_frame()
    assert close is not None
    assert close[1] == "protocol_error"
    assert "a bug at" in caplog.text
    back = await scene.greeted(attempt=2, secret=raw.frames[0][1]["secret"])
    assert back.frames[0][1]["resumed"] is True
    assert back.frames[0][1]["received"] == 1


async def test_frames_before_welcome_are_a_violation() -> None:
    gate = asyncio.Event()

    async def slow(_: str | None) -> str:
        await gate.wait()
        return "x"

    broker = make_broker()
    async with broker.opened() as serving:
        scene = Scene(MemoryListener(serving.accept(slow)), None)
        raw = await scene.raw()
        raw.send(1, hello())
        raw.send(6, 1)
        await eventually(lambda: raw.end)
        close = raw.close_frame()
        assert close is not None
        assert close[1] == "protocol_error"
        gate.set()
