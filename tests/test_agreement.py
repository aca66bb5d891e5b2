"""Clients that were built with another form of a contract: they work, or they are told why not."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgpack
import pytest
from pydantic import BaseModel

from ionbus import (
    Broker,
    Bus,
    Call,
    ConnectionState,
    Context,
    Contract,
    ContractMismatch,
    Event,
    Stream,
    connect,
)
from ionbus.broker import agreement
from ionbus.channels.memory import MemoryListener
from ionbus.client.client_session import ClientSession
from ionbus.contract import evolution
from ionbus.contract.fingerprint import canonical_json, describe
from ionbus.generated.protocol import Limits
from raw_client import Raw, hello
from workshop import Bench, Pair, Workshop, eventually, make_broker, opened_bus


class OldPair(BaseModel):
    left: int
    right: int
    comment: str = ""


class Older:
    class Workshop(Contract, name="workshop", version="0.9"):
        """Compatible: what is not there yet is not missed, and the comment is ignored."""

        add = Call(OldPair, float)
        echo = Call(bytes, bytes)
        ask_back = Call(str, str)
        count = Stream(int, int)
        noticed = Event(str)
        said = Event(str, source="client")
        question = Call(str, str, served_by="client")


class Stranger:
    class Workshop(Contract, name="workshop", version="0.1"):
        """Incompatible: the sum was a text."""

        add = Call(Pair, str)
        count = Stream(int, int)
        noticed = Event(str)
        shouted = Event(str, source="any")


class Annex(Contract, name="annex"):
    """A second contract, which is the same on both sides."""

    hello = Call(str, str)


WHY = r"workshop differs: .*version 0\.1 .*serves 1\.0 .*workshop\.add response: type changed \(str before, integer now\)"


def annexed(limits: Limits | None = None) -> Broker[Bench]:
    """The workshop's broker with a second contract."""
    inner = make_broker(limits)
    broker = Broker[Bench](Workshop, Annex, lifespan=inner._lifespan, limits=limits)
    broker.handled.update(inner.handled)

    @broker.handle(Annex.hello)
    async def say_hello(name: str) -> str:
        return f"hello {name}"

    return broker


@asynccontextmanager
async def served(kind: str, broker: Broker[Bench]) -> AsyncIterator[dict[str, Any]]:
    """A broker, and the arguments for `connect` that reach it."""
    async with AsyncExitStack() as stack:
        if kind == "memory":
            await stack.enter_async_context(broker.opened())
            yield {"broker": broker}
        else:
            (endpoint,) = await stack.enter_async_context(broker.serve("ws://127.0.0.1:0"))
            yield {"broker": endpoint.url, "token": endpoint.token}


@asynccontextmanager
async def joined(reach: dict[str, Any], *contracts: type[Contract]) -> AsyncIterator[Bus]:
    """A client; over memory too it reaches the broker that is open already."""
    if isinstance(reach["broker"], str):
        async with connect(reach["broker"], token=reach["token"], contracts=contracts) as bus:
            yield bus
        return
    listener = MemoryListener(reach["broker"].accept_local())
    session = ClientSession(
        listener.open, contracts=contracts, limits=Limits(), agent="tests", may_renew_token=True
    )
    try:
        await session.start(wait=True)
        yield Bus(session)
    finally:
        await session.close()


everywhere = pytest.mark.parametrize("kind", ["memory", "websocket"])


@everywhere
@pytest.mark.parametrize("told", [(Older.Workshop,), ()], ids=["in HELLO", "announced"])
async def test_an_older_client_that_is_compatible_works(kind: str, told: tuple[type[Contract], ...]) -> None:
    async with served(kind, make_broker()) as reach, joined(reach, *told) as bus:
        heard: list[str] = []
        bus.on(Older.Workshop.noticed, heard.append)

        @bus.handle(Older.Workshop.question)
        async def answer(text: str) -> str:
            return text.upper()

        assert await bus.call(Older.Workshop.add, OldPair(left=1, right=2, comment="hm")) == 3
        async with bus.stream(Older.Workshop.count, 3) as numbers:
            assert [number async for number in numbers] == [0, 1, 2]
        assert await bus.call(Older.Workshop.ask_back, "why") == "WHY"
        await bus.emit(Older.Workshop.said, "x")
        assert await bus.call(Workshop.report, 1) == "done"
        await eventually(lambda: heard == ["step 0"])


@everywhere
async def test_an_incompatible_client_is_told_at_once_what_is_the_first_that_does_not_fit(kind: str) -> None:
    async with served(kind, make_broker()) as reach:
        for _ in range(2):  # the second is refused in answer to HELLO: the broker knows that form by now
            with pytest.raises(ContractMismatch, match=WHY):
                async with joined(reach, Stranger.Workshop):
                    raise AssertionError("it is not let in")
        async with joined(reach, Workshop) as bus:
            assert await bus.call(Workshop.add, Pair(left=1, right=1)) == 2


@everywhere
async def test_what_uses_an_incompatible_contract_fails_and_nothing_else(kind: str) -> None:
    async with served(kind, annexed()) as reach, joined(reach) as bus:
        refused: list[Exception] = []
        bus.on_error(refused.append)
        subscription = bus.on(Stranger.Workshop.noticed, lambda _: None)
        with pytest.raises(ContractMismatch, match=WHY):
            await bus.call(Stranger.Workshop.add, Pair(left=1, right=1))
        async with bus.stream(Stranger.Workshop.count, 3) as numbers:
            with pytest.raises(ContractMismatch, match=WHY):
                await anext(numbers)
        with pytest.raises(ContractMismatch, match=WHY):
            await subscription.confirmed()
        with pytest.raises(ContractMismatch, match=WHY):
            await bus.on(Stranger.Workshop, lambda _: None).confirmed()
        await bus.emit(Stranger.Workshop.shouted, "x")
        await eventually(lambda: len(refused) == 3)
        assert all(isinstance(error, ContractMismatch) for error in refused)
        assert await bus.call(Annex.hello, "you") == "hello you"
        assert bus.state == ConnectionState.OPEN


async def test_a_form_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    real = evolution.first_breaking

    def counted(old: Any, new: Any) -> Any:
        compared.append(old["name"])
        return real(old, new)

    monkeypatch.setattr(evolution, "first_breaking", counted)
    async with served("memory", make_broker()) as reach:
        for told in ((), (Older.Workshop,), ()):
            async with joined(reach, *told) as bus:
                assert await bus.call(Older.Workshop.add, OldPair(left=1, right=2)) == 3
    assert compared == ["workshop"]


async def test_a_question_survives_a_cut_channel() -> None:
    broker = make_broker()
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as bus:
            call = bus.call(Older.Workshop.add, OldPair(left=1, right=2))
            assert listener.wire is not None
            listener.wire.cut()
            assert await call == 3


# --- Clients that do not answer as they should ----------------------------------------------------------


OLDER = Older.Workshop.__contract__
TEXT = canonical_json(describe(OLDER))


def packed(value: object) -> bytes:
    data: bytes = msgpack.packb(value)
    return data


@asynccontextmanager
async def raw_client(broker: Broker[Bench], **changes: Any) -> AsyncIterator[Raw]:
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        raw = Raw()
        raw.channel = (await listener.open(raw)).channel
        raw.channel.max_frame_bytes = 1 << 20
        raw.send(1, hello(**changes))
        await eventually(lambda: raw.frames)
        assert raw.frames[0][0] == 2
        yield raw


def messages(raw: Raw) -> list[list[Any]]:
    """All that has arrived, but acknowledgements and the like."""
    return [element for frame in raw.frames if frame[0] == 0 for element in frame[3:]]


def announce(fingerprint: str = OLDER.fingerprint) -> list[Any]:
    return [15, [["workshop", "0.9", fingerprint]]]


SUM = packed({"left": 1, "right": 2})


async def test_messages_wait_for_the_description_in_their_order_and_others_do_not() -> None:
    async with raw_client(annexed()) as raw:
        raw.send(0, 1, 0, announce(), [10, 1, "workshop.*"], [2, 1, "workshop.report", packed(2)])
        raw.send(0, 4, 0, [2, 2, "workshop.add", SUM], [2, 3, "annex.hello", packed("you")])
        await eventually(lambda: len(messages(raw)) == 2)
        assert messages(raw) == [[16, [OLDER.fingerprint]], [3, 3, packed("hello you")]]
        raw.send(0, 6, 0, [17, OLDER.fingerprint, TEXT])
        await eventually(lambda: len(messages(raw)) == 7)
        told = messages(raw)[2:]
        assert told[0] == [11, 1]
        assert [each[2] for each in told if each[0] == 1] == [packed("step 0"), packed("step 1")]
        assert sorted(each[1] for each in told if each[0] == 3) == [1, 2]


async def test_a_subscription_waits_with_what_it_asks_for() -> None:
    async with raw_client(annexed()) as raw:
        options = {"batch": [2, 60_000]}
        raw.send(0, 1, 0, announce(), [10, 1, "workshop.*", options], [2, 1, "workshop.report", packed(2)])
        await eventually(lambda: len(messages(raw)) == 1)
        raw.send(0, 4, 0, [17, OLDER.fingerprint, TEXT])
        await eventually(lambda: len(messages(raw)) == 4)
        told = messages(raw)[1:]
        assert told[0] == [11, 1]
        (envelope,) = (each for each in told if each[0] == 13)
        assert envelope == [13, [1], [1, "workshop.noticed", packed(["step 0", "step 1"])], {"batch": 2}]


async def test_a_cancel_waits_behind_its_call() -> None:
    broker = make_broker()
    async with raw_client(broker) as raw:
        raw.send(0, 1, 0, announce(), [2, 1, "workshop.wait", packed("a")], [5, 1])
        raw.send(
            0,
            4,
            0,
            [6, 2, "workshop.count", packed(1)],
            [9, 2, 1 << 30, 1 << 20],
            [10, 1, "workshop.*"],
            [12, 1],
        )
        raw.send(0, 8, 0, [17, OLDER.fingerprint, TEXT])
        await eventually(lambda: len(messages(raw)) >= 5)
        assert raw.end is None
        by_kind = {each[0]: each for each in messages(raw)}
        assert by_kind[4][1:3] == [1, "call_cancelled"]
        assert by_kind[8] == [8, 2]


WRONG = {
    "nothing": ([17, OLDER.fingerprint], "no description of it to compare"),
    "another one": ([17, OLDER.fingerprint, TEXT + b" "], "not the one of its fingerprint"),
}


@pytest.mark.parametrize(("answer", "why"), WRONG.values(), ids=WRONG.keys())
async def test_a_description_that_does_not_help_is_a_mismatch(answer: list[Any], why: str) -> None:
    async with raw_client(make_broker()) as raw:
        raw.send(0, 1, 0, announce(), [2, 1, "workshop.add", SUM], answer)
        await eventually(lambda: len(messages(raw)) == 2)
        kind, number, code, text = messages(raw)[1]
        assert (kind, number, code) == (4, 1, "contract_mismatch")
        assert why in text
        raw.send(0, 4, 0, [17, OLDER.fingerprint, TEXT])  # nobody has asked again
        raw.send(0, 5, 0, [2, 2, "workshop.add", SUM])
        await eventually(lambda: len(messages(raw)) == 3)
        assert messages(raw)[2][:3] == [4, 2, "contract_mismatch"]


GARBAGE = {
    "no JSON": b"\xff",
    "no object": b"[]",
    "no contract": b"{}",
    "another contract": TEXT.replace(b'"workshop"', b'"playroom"'),
    "deep": b"[" * 100_000,
    "members of a wrong type": b'{"name": "workshop", "members": {"add": 3}, "errors": {}, "$defs": {}}',
    "too large": TEXT + b" " * 300,
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_with_its_right_fingerprint_is_a_mismatch(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        agreement, "MAX_DESCRIPTION_BYTES", max(len(TEXT), 100_000) if len(text) > 9999 else len(TEXT)
    )
    fingerprint = hashlib.sha256(text).hexdigest()[:32]
    async with raw_client(make_broker()) as raw:
        raw.send(0, 1, 0, announce(fingerprint), [2, 1, "workshop.add", SUM], [17, fingerprint, text])
        await eventually(lambda: len(messages(raw)) == 2)
        assert messages(raw)[1][:3] == [4, 1, "contract_mismatch"]
        assert raw.end is None


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The workshop's own description, changed."""
    description = describe(Workshop.__contract__)
    change(description)
    return json.dumps(description).encode()


def bombs() -> dict[str, bytes]:
    """Descriptions that are small, and cost without end whoever follows them."""
    names = [f"field{number}" for number in range(20_000)]

    def pair_is(schema: Any, **definitions: Any) -> bytes:
        def change(description: dict[str, Any]) -> None:
            description["$defs"].update(definitions)
            description["members"]["add"]["request"]["sent"] = schema

        return changed(change)

    values = {"enum": list(range(20_000))}
    loop = {"$ref": "#/$defs/Loop", **dict.fromkeys(names, 0)}
    fields = {"type": "object", "properties": {key: {"type": "integer"} for key in names}, "required": names}
    return {
        "the same values again and again": pair_is({"anyOf": [{"$ref": "#/$defs/E"}] * 5_000}, E=values),
        "a reference to itself, with much beside it": pair_is({"$ref": "#/$defs/Loop"}, Loop=loop),
        "every field required": pair_is(fields),
        "doubled and doubled": pair_is(
            {"$ref": "#/$defs/L0"},
            **{f"L{n}": {"anyOf": [{"$ref": f"#/$defs/L{n + 1}"}] * 2} for n in range(40)},
            L40={"type": "integer"},
        ),
        "many objects like one another": pair_is(
            {
                "anyOf": [
                    {"type": "object", "properties": {key: {"const": n} for key in names[:20]}}
                    for n in range(1_000)
                ]
            }
        ),
    }


@pytest.mark.parametrize(("name", "text"), bombs().items(), ids=bombs().keys())
def test_a_description_that_costs_too_much_is_a_mismatch(name: str, text: bytes) -> None:
    info = Workshop.__contract__
    judged = agreement.Agreements({info.name: info}).judge(
        ("workshop", "0.9", hashlib.sha256(text).hexdigest()[:32]), text
    )
    assert judged is not None, name


@pytest.mark.parametrize("name", ["x" * 2_000_000, "\ud800"], ids=["long", "half a character"])
def test_a_mismatch_repeats_little_of_what_the_client_sent(name: str) -> None:
    """A CLOSE of two megabytes, on a pipe that many windows share, would cost all of them their channel."""

    def change(description: dict[str, Any]) -> None:
        description["members"][name] = {"kind": "event", "source": "any"}

    text = changed(change)
    info = Workshop.__contract__
    judged = agreement.Agreements({info.name: info}).judge(
        ("workshop", "9" * 100_000, hashlib.sha256(text).hexdigest()[:32]), text
    )
    assert judged is not None
    assert f"workshop.{name[:1].encode('utf-8', 'replace').decode()}" in judged
    assert len(judged.encode()) < 2_000


async def test_who_never_answers_is_refused_in_time() -> None:
    limits = Limits(handshake_ms=100)
    async with raw_client(make_broker(limits)) as raw:
        raw.send(0, 1, 0, announce(), [2, 1, "workshop.add", SUM])
        await eventually(lambda: len(messages(raw)) == 2)
        assert messages(raw)[1][:3] == [4, 1, "contract_mismatch"]
        assert "within 100 ms" in messages(raw)[1][3]
    told = [["workshop", "0.9", OLDER.fingerprint]]
    async with raw_client(make_broker(limits), contracts=told) as raw:
        await eventually(lambda: raw.end)
        close = raw.close_frame()
        assert close is not None
        assert close[1] == "contract_mismatch"
        assert close[3] == {"final": True, "over": True}


async def test_no_more_waits_than_is_allowed() -> None:
    async with raw_client(make_broker(Limits(max_queued_bytes=1000))) as raw:
        raw.send(0, 1, 0, announce(), [2, 1, "workshop.echo", packed(b"x" * 600)])
        raw.send(0, 3, 0, [2, 2, "workshop.echo", packed(b"x" * 600)])
        await eventually(lambda: len(messages(raw)) == 3)
        assert [each[:3] for each in messages(raw)[1:]] == [
            [4, 1, "contract_mismatch"],
            [4, 2, "contract_mismatch"],
        ]
        assert "too much waits" in messages(raw)[1][3]


async def test_what_waits_is_counted_with_its_options_and_patterns() -> None:
    async with raw_client(make_broker(Limits(max_queued_bytes=1000))) as raw:
        raw.send(0, 1, 0, announce(), [2, 1, "workshop.echo", packed(b""), {"trace": "x" * 600}])
        raw.send(0, 3, 0, [10, 1, "workshop." + "x" * 600])
        await eventually(lambda: len(messages(raw)) == 3)
        assert [each[:3] for each in messages(raw)[1:]] == [
            [4, 1, "contract_mismatch"],
            [11, 1, "not_found"],
        ]


async def test_the_brokers_own_requests_wait_as_well() -> None:
    broker = annexed()
    sessions: list[Any] = []

    @broker.on(Workshop.said)
    async def said(_: str, ctx: Context[Bench]) -> None:
        sessions.append(ctx.session)

    async with raw_client(broker) as raw:
        raw.send(0, 1, 0, [1, "workshop.said", packed("here")])
        await eventually(lambda: sessions)
        raw.send(0, 2, 0, announce())
        await eventually(lambda: messages(raw))
        asked = sessions[0].call(Workshop.question, "?")
        task = asyncio.ensure_future(asked)
        await asyncio.sleep(0.01)
        assert len(messages(raw)) == 1
        raw.send(0, 3, 0, [17, OLDER.fingerprint, TEXT])
        await eventually(lambda: len(messages(raw)) == 2)
        raw.send(0, 4, 0, [3, messages(raw)[1][1], packed("!")])
        assert await task == "!"


async def test_only_so_many_forms_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "MAX_KNOWN", 3)
    known = agreement.Agreements({"workshop": Workshop.__contract__})
    for index in range(9):
        text = json.dumps({**describe(OLDER), "x": index}).encode()
        triple = ("workshop", "1", hashlib.sha256(text).hexdigest()[:32])
        assert known.is_open(triple)
        assert known.judge(triple, text) is None
        assert not known.is_open(triple)
    assert len(known._known) == 3


async def test_what_comes_behind_the_description_that_ends_a_session_is_dropped() -> None:
    broker = make_broker()
    stranger = Stranger.Workshop.__contract__
    text = canonical_json(describe(stranger))
    async with raw_client(broker, contracts=[["workshop", "0.1", stranger.fingerprint]]) as raw:
        raw.send(
            0,
            1,
            0,
            [2, 1, "workshop.add", SUM],
            [17, stranger.fingerprint, text],
            [2, 2, "workshop.add", SUM],
        )
        await eventually(lambda: raw.end)
        close = raw.close_frame()
        assert close is not None
        assert close[1] == "contract_mismatch"
        assert "workshop.add response: type changed" in close[2]
        assert messages(raw) == [[16, [stranger.fingerprint]]]
        assert broker._serving is not None
        assert broker._serving.sessions == []


async def test_a_question_of_hello_survives_a_cut_channel() -> None:
    broker = make_broker()
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        session = ClientSession(
            listener.open, contracts=[Older.Workshop], limits=Limits(), agent="tests", may_renew_token=True
        )
        try:
            await session.start(wait=False)
            bus = Bus(session)
            call = asyncio.ensure_future(bus.call(Older.Workshop.add, OldPair(left=1, right=2)))
            await eventually(lambda: bus.state == ConnectionState.OPEN)
            assert listener.wire is not None
            listener.wire.cut()
            assert await call == 3
        finally:
            await session.close()
