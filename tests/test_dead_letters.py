"""Dead letters: what could not be delivered, validated or handled is kept with its reason, and can be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from ionbus import (
    Broker,
    Bus,
    Call,
    CallTimeout,
    CannotResend,
    Context,
    Contract,
    Event,
    InternalError,
    InvalidPayload,
    NotAllowed,
    Stream,
    connect,
)
from ionbus.admin import Admin, CannotBeResent, DeadLetterQuery, LetterId, NoSuchLetter, Resend
from ionbus.broker.dead_letters import MAX_BYTES, MAX_PAYLOAD_BYTES, DeadLetter, DeadLetters
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.middleware import Message
from ionbus.wire import values
from raw_client import Raw, hello
from workshop import Pair, TooBig, Workshop, end_sessions, eventually, rig

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def kept(letters: DeadLetters, name: str = "a.b", payload: bytes = b"\x01", **more: Any) -> DeadLetter:
    """Add one, and give it."""
    options = {"session": "s1", "principal": None, **more}
    letters.add("failed", ValueError("no"), "event", name, payload, **options)
    return list(letters)[-1]


# The queue.


def test_a_letter_tells_what_came_to_nothing_and_why() -> None:
    letters = DeadLetters(now=lambda: WHEN)
    letter = kept(letters, payload=bytes(values.encode({"x": 1})), listener="hear")
    assert (letter.id, letter.at, letter.reason, letter.code) == (1, WHEN, "failed", "internal_error")
    assert (letter.name, letter.session, letter.listener, letter.error) == (
        "a.b",
        "s1",
        "hear",
        "ValueError: no",
    )
    assert letter.value() == {"x": 1}
    assert letter.size == len(letter.payload or b"")


def test_the_oldest_make_room_for_new_ones_by_number() -> None:
    letters = DeadLetters(most=2)
    for _ in range(3):
        kept(letters)
    assert [letter.id for letter in letters] == [2, 3]
    assert (len(letters), letters.forgotten, letters.held_bytes) == (2, 1, 2)


def test_the_oldest_make_room_for_new_ones_by_bytes() -> None:
    letters = DeadLetters()
    for _ in range(MAX_BYTES // MAX_PAYLOAD_BYTES + 1):
        kept(letters, payload=bytes(MAX_PAYLOAD_BYTES))
    assert letters.held_bytes <= MAX_BYTES
    assert letters.forgotten == 1


def test_a_payload_that_is_too_large_is_not_kept_but_told_of() -> None:
    letter = kept(DeadLetters(), payload=bytes(MAX_PAYLOAD_BYTES + 1))
    assert (letter.payload, letter.size, letter.value()) == (None, MAX_PAYLOAD_BYTES + 1, None)


def test_none_are_kept_where_none_are_wanted() -> None:
    letters = DeadLetters(most=0)
    letters.add("failed", ValueError(), "event", "a.b", b"", session="s", principal=None)
    assert len(letters) == 0
    with pytest.raises(ValueError, match="max_dead_letters is how many"):
        DeadLetters(most=-1)


def test_they_are_found_by_name_and_reason() -> None:
    letters = DeadLetters()
    kept(letters, "a.b")
    kept(letters, "a.c.d")
    letters.add("invalid", ValueError(), "event", "a.b", b"", session="s", principal=None)
    assert [letter.id for letter in letters.matching("a.*")] == [1, 3]
    assert [letter.id for letter in letters.matching("a.**", "failed")] == [1, 2]
    assert [letter.id for letter in letters.matching(newest=1)] == [3]
    with pytest.raises(ValueError, match=r"\*\*"):
        letters.matching("a.**.b")


def test_they_are_dropped_one_by_one_or_all() -> None:
    letters = DeadLetters()
    letter = kept(letters)
    assert letters.drop(letter)
    assert not letters.drop(letter.id)
    kept(letters)
    letters.clear()
    assert (len(letters), letters.held_bytes) == (0, 0)


def test_a_watcher_is_told_of_each_until_it_stops() -> None:
    letters = DeadLetters()
    told: list[DeadLetter] = []
    stop = letters.on_letter(told.append)
    letter = kept(letters)
    stop()
    kept(letters)
    assert told == [letter]


async def test_nothing_is_sent_again_while_the_broker_is_not_served() -> None:
    broker = Broker(Shop)
    with pytest.raises(CannotResend, match="there is no dead letter 7"):
        await broker.dead_letters.resend(7)
    letter = kept(broker.dead_letters)
    with pytest.raises(CannotResend, match="not served"):
        await broker.dead_letters.resend(letter)


# At a broker.


class Item(BaseModel):
    """Refused while the shop is closed."""

    name: str

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name in REFUSED:
            raise ValueError(f"{name} is sold out")
        return name


REFUSED: set[str] = set()


class Shop(Contract, name="shop"):
    asked = Event(Item, source="any")
    sell = Call(Item, str)
    browse = Stream(None, str)


@dataclass
class Scene:
    broker: Broker[Any]
    bus: Bus
    raw: Raw
    heard: list[str] = field(default_factory=list)
    asks_session: list[str] = field(default_factory=list)
    fails: bool = False

    def publish(self, number: int, payload: object) -> None:
        """Publish as a client does that checks nothing."""
        self.raw.send(0, number, 0, [1, "shop.asked", bytes(values.encode(payload))])

    def call(self, number: int, payload: object) -> None:
        self.raw.send(0, number, 0, [2, number, "shop.sell", bytes(values.encode(payload))])

    @property
    def letters(self) -> DeadLetters:
        return self.broker.dead_letters


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    REFUSED.clear()
    broker: Broker[Any] = Broker(Shop)
    raw = Raw()

    @broker.on(Shop.asked)
    async def hear(item: Item, ctx: Context) -> None:
        at.asks_session.append(ctx.session.id)
        at.heard.append(item.name)

    @broker.handle(Shop.sell)
    async def sell(item: Item) -> str:
        if at.fails:
            raise RuntimeError("the till is jammed")
        return f"sold {item.name}"

    @broker.handle(Shop.browse)
    async def browse() -> AsyncIterator[str]:
        yield "tea"
        raise RuntimeError("the shelf is empty")

    async with connect(broker) as bus:
        at = Scene(broker, bus, raw)
        raw.channel = (await MemoryListener(broker.accept_local()).open(raw)).channel
        raw.send(1, hello())
        await eventually(lambda: raw.frames)
        yield at


async def test_an_event_that_is_not_valid_is_kept_and_heard_once_it_is(scene: Scene) -> None:
    others: list[str] = []
    subscription = scene.bus.on(Shop.asked, lambda item: others.append(item.name))
    await subscription.confirmed()
    REFUSED.add("tea")
    scene.publish(1, {"name": "tea"})
    await eventually(lambda: len(scene.letters))
    [letter] = scene.letters
    assert (letter.reason, letter.code, letter.kind, letter.name) == (
        "invalid",
        "invalid_payload",
        "event",
        "shop.asked",
    )
    assert "tea is sold out" in letter.error
    assert letter.session == (b"s" * 16).hex()
    with pytest.raises(InvalidPayload):
        await scene.letters.resend(letter)
    [again] = scene.letters
    assert again.resent == 1
    REFUSED.clear()
    await scene.letters.resend(letter)
    assert (scene.heard, scene.asks_session, len(scene.letters)) == (["tea"], [letter.session], 0)
    await eventually(lambda: others == ["tea"])


async def test_a_call_that_is_not_valid_or_whose_handler_fails_is_kept_and_handled_again(
    scene: Scene,
) -> None:
    scene.call(1, {"name": 5})
    await eventually(lambda: len(scene.letters) == 1)
    scene.fails = True
    with pytest.raises(InternalError):
        await scene.bus.call(Shop.sell, Item(name="tea"))
    invalid, failed = scene.letters
    assert (invalid.reason, invalid.kind, invalid.code) == ("invalid", "call", "invalid_payload")
    assert (failed.reason, failed.name, failed.error) == (
        "failed",
        "shop.sell",
        "RuntimeError: the till is jammed",
    )
    with pytest.raises(RuntimeError, match="jammed"):
        await scene.letters.resend(failed)
    scene.fails = False
    assert await scene.letters.resend(failed) == "sold tea"
    assert list(scene.letters) == [scene.letters.find(invalid.id)]


async def test_what_a_contract_declares_or_a_caller_gave_up_is_no_dead_letter() -> None:
    async with rig() as at:
        with pytest.raises(TooBig):
            await at.bus.call(Workshop.add, Pair(left=2000, right=1))
        with pytest.raises(CallTimeout):
            await at.bus.call(Workshop.hurried)
        await eventually(lambda: "hurried" in at.bench.ended)
        assert len(at.broker.dead_letters) == 0


async def test_a_stream_that_fails_is_kept(scene: Scene) -> None:
    async with scene.bus.stream(Shop.browse) as items:
        assert await anext(items) == "tea"
        with pytest.raises(InternalError):
            await anext(items)
    [letter] = scene.letters
    assert (letter.kind, letter.name, letter.reason) == ("stream", "shop.browse", "failed")


async def test_what_needs_a_session_that_is_over_asks_for_another(scene: Scene) -> None:
    scene.publish(1, {"name": 5})
    await eventually(lambda: len(scene.letters))
    [letter] = scene.letters
    scene.raw.send(3, "closed", "bye", {"over": True})
    await eventually(lambda: len(scene.broker.sessions) == 1)
    with pytest.raises(InvalidPayload):  # whatever its session
        await scene.letters.resend(letter)
    scene.letters.clear()
    letter = kept(scene.letters, "shop.asked", bytes(values.encode({"name": "x"})), listener="hear")
    with pytest.raises(CannotResend, match=r"hear takes a context.*session s1 is over"):
        await scene.letters.resend(letter)
    with pytest.raises(CannotResend, match="there is no session nobody"):
        await scene.letters.resend(letter, session="nobody")
    await scene.letters.resend(letter, session=scene.broker.sessions[0].id)
    assert scene.heard == ["x"]


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after it has waited"])
async def test_an_event_at_which_a_listener_fails_is_kept_for_that_listener(
    scene: Scene, *, waits: bool
) -> None:
    tried: list[str] = []

    @scene.broker.on(Shop.asked)
    async def fails(item: Item) -> None:
        tried.append(item.name)
        if waits:
            await asyncio.sleep(0)
        if item.name in REFUSED or scene.fails:
            raise RuntimeError(f"no {item.name}")

    @scene.broker.on(Shop.asked)
    def fails_on_a_thread(item: Item) -> None:
        if scene.fails:
            raise RuntimeError(f"no {item.name} here")

    names = ["a", "b", "c", "d"]
    scene.fails = True
    for number, name in enumerate(names, 1):
        scene.publish(number, {"name": name})
    await eventually(lambda: len(scene.letters) == 8)
    await eventually(lambda: scene.heard == names)  # the others have heard them all the same
    letters = list(scene.letters)
    assert {(letter.listener, letter.value()["name"], letter.error) for letter in letters} == {
        *(("fails", name, f"RuntimeError: no {name}") for name in names),
        *(("fails_on_a_thread", name, f"RuntimeError: no {name} here") for name in names),
    }
    assert {letter.reason for letter in letters} == {"failed"}
    scene.fails = False
    for letter in letters:
        await scene.letters.resend(letter)
    assert sorted(tried) == sorted(names * 2)
    assert (scene.heard, len(scene.letters)) == (names, 0)


async def test_what_middleware_failed_at_is_heard_by_all_and_passes_no_middleware(scene: Scene) -> None:
    passed: list[str] = []
    others: list[str] = []

    async def fails(message: Message[Any], next: Any) -> Any:
        passed.append(message.name)
        raise RuntimeError("not today")

    scene.broker.use(fails, Shop.asked)
    await scene.bus.on(Shop.asked, lambda item: others.append(item.name)).confirmed()
    scene.publish(1, {"name": "tea"})
    await eventually(lambda: len(scene.letters))
    [letter] = scene.letters
    assert (letter.reason, letter.listener, scene.heard, others) == ("failed", None, [], [])
    await scene.letters.resend(letter)
    await eventually(lambda: others == ["tea"])
    assert (scene.heard, passed, len(scene.letters)) == (["tea"], ["shop.asked"], 0)


async def test_one_that_is_being_sent_again_is_not_sent_twice(scene: Scene) -> None:
    begun, gate = list[str](), asyncio.Event()

    async def slowly(letter: DeadLetter, _: str | None) -> str:
        begun.append(letter.name)
        await gate.wait()
        return "sold"

    scene.letters.send_again = slowly
    letter = kept(scene.letters, "shop.sell")
    first = asyncio.create_task(scene.letters.resend(letter))
    await eventually(lambda: begun)
    with pytest.raises(CannotResend, match="is being sent again already"):
        await scene.letters.resend(letter)
    gate.set()
    assert await first == "sold"
    assert begun == ["shop.sell"]


async def test_a_listener_that_fails_at_what_was_sent_again_leaves_a_letter_of_its_own(scene: Scene) -> None:
    @scene.broker.on(Shop.asked)
    async def fails(item: Item) -> None:
        if scene.fails:
            raise RuntimeError(f"no {item.name}")

    REFUSED.add("tea")
    scene.publish(1, {"name": "tea"})
    await eventually(lambda: len(scene.letters) == 1)
    REFUSED.clear()
    scene.fails = True
    await scene.letters.resend(next(iter(scene.letters)))
    [letter] = scene.letters
    assert (letter.reason, letter.listener, letter.error) == ("failed", "fails", "RuntimeError: no tea")
    scene.fails = False
    await scene.letters.resend(letter)
    assert (scene.heard, len(scene.letters)) == (["tea"], 0)


async def test_a_listener_that_is_gone_is_told(scene: Scene) -> None:
    letter = kept(scene.letters, "shop.asked", bytes(values.encode({"name": "x"})), listener="gone")
    with pytest.raises(CannotResend, match=r"gone does not listen to shop\.asked"):
        await scene.letters.resend(letter)


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [("shop.sell", "stream", "ask again"), ("shop.gone", "event", "no longer served")],
)
async def test_what_cannot_be_sent_again_says_why(scene: Scene, name: str, kind: Any, why: str) -> None:
    scene.letters.add("failed", ValueError(), kind, name, b"\x01", session="s", principal=None)
    with pytest.raises(CannotResend, match=why):
        await scene.letters.resend(next(iter(scene.letters)))
    large = kept(scene.letters, "shop.asked", bytes(MAX_PAYLOAD_BYTES + 1))
    with pytest.raises(CannotResend, match="too large to keep"):
        await scene.letters.resend(large)


@asynccontextmanager
async def missed_events() -> AsyncIterator[Any]:
    """A client whose session was ended while three events waited for it; it is back, in another session."""
    async with rig(limits=Limits(retry_base_ms=1, retry_cap_ms=1)) as at:
        heard: list[str] = []
        await at.bus.on(Workshop.noticed, heard.append).confirmed()
        [before] = at.broker.sessions
        at.wire.to_client.stop()
        for number in range(3):
            await at.broker.emit(Workshop.noticed, str(number))
        await asyncio.sleep(0)
        end_sessions(at.broker)
        at.wire.cut()
        await eventually(lambda: at.broker.sessions and at.broker.sessions[0].subscribes("workshop.noticed"))
        yield at, heard, before.id


async def test_events_that_a_session_missed_are_sent_to_the_one_in_its_place() -> None:
    async with missed_events() as (at, heard, before):
        letters = list(at.broker.dead_letters)
        assert [(letter.reason, letter.code, letter.value()) for letter in letters] == [
            ("undelivered", "slow_consumer", str(number)) for number in range(3)
        ]
        with pytest.raises(CannotResend, match=f"session {before} is over; name the one"):
            await at.broker.dead_letters.resend(letters[0])
        for letter in letters:
            await at.broker.dead_letters.resend(letter, session=at.broker.sessions[0].id)
        await eventually(lambda: heard == ["0", "1", "2"])
        assert len(at.broker.dead_letters) == 0


async def test_a_client_that_says_goodbye_leaves_no_dead_letters() -> None:
    async with rig() as at:
        await at.bus.on(Workshop.noticed, lambda _: None).confirmed()
        at.wire.to_client.stop()
        await at.broker.emit(Workshop.noticed, "x")
        at.broker.sessions[0].close_channel("closed", "bye", over=True)
        end_sessions(at.broker, "closed")
        assert len(at.broker.dead_letters) == 0


async def test_an_event_that_the_client_takes_no_message_as_large_as_is_kept() -> None:
    async with rig(limits=Limits(max_message_bytes=300_000)) as at:
        await at.bus.on(Workshop.noticed, lambda _: None).confirmed()
        await at.broker.emit(Workshop.noticed, "x" * 400_000)
        [letter] = at.broker.dead_letters
        assert (letter.reason, letter.code, letter.name) == ("undelivered", "too_large", "workshop.noticed")


# Over the wire.


async def test_an_admin_lists_shows_sends_again_and_drops(scene: Scene) -> None:
    REFUSED.add("tea")
    scene.publish(1, {"name": "tea"})
    scene.publish(2, {"name": "tea", "more": 1})
    await eventually(lambda: len(scene.letters) == 2)
    bus = scene.bus
    first, second = await bus.call(
        Admin.dead_letters.list, DeadLetterQuery(pattern="shop.*", reason="invalid")
    )
    assert (first.name, first.size) == ("shop.asked", len(values.encode({"name": "tea"})))
    assert await bus.call(Admin.dead_letters.list, DeadLetterQuery(pattern="elsewhere.*")) == []
    whole = await bus.call(Admin.dead_letters.show, LetterId(id=second.id))
    assert (whole.letter, whole.payload) == (second, {"name": "tea", "more": 1})
    with pytest.raises(CannotBeResent, match=r"come to nothing again.*sold out"):
        await bus.call(Admin.dead_letters.resend, Resend(id=first.id))
    REFUSED.clear()
    assert await bus.call(Admin.dead_letters.resend, Resend(id=first.id)) is None
    assert scene.heard == ["tea"]
    with pytest.raises(NoSuchLetter):
        await bus.call(Admin.dead_letters.resend, Resend(id=first.id))
    assert await bus.call(Admin.dead_letters.drop, LetterId(id=second.id))
    assert not await bus.call(Admin.dead_letters.drop, LetterId(id=second.id))
    kept(scene.letters)
    assert await bus.call(Admin.dead_letters.clear) == 1


async def test_a_payload_that_is_no_value_is_shown_as_nothing(scene: Scene) -> None:
    scene.raw.send(0, 1, 0, [1, "shop.asked", b"\xc1"])
    await eventually(lambda: len(scene.letters))
    whole = await scene.bus.call(Admin.dead_letters.show, LetterId(id=1))
    assert (whole.letter.reason, whole.payload) == ("invalid", None)


async def test_a_malformed_pattern_is_refused_by_its_field(scene: Scene) -> None:
    with pytest.raises(InvalidPayload, match=r"list: pattern: .*\*\*"):
        await scene.bus.call(Admin.dead_letters.list, DeadLetterQuery.model_construct(pattern="a.**.b"))


async def test_nobody_else_may(scene: Scene) -> None:
    async with connect(scene.broker, roles=frozenset({"user"})) as bus:
        with pytest.raises(NotAllowed, match="needs the role admin"):
            await bus.call(Admin.dead_letters.clear)
    async with connect(scene.broker, roles=frozenset({"admin"})) as bus:
        assert await bus.call(Admin.dead_letters.clear) == 0


def test_its_name_is_taken() -> None:
    class Mine(Contract, name="ionbus_admin"):
        pass

    with pytest.raises(TypeError, match="ionbus_admin"):
        Broker(Mine)
