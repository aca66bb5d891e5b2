"""What a broker knows of its clients' subscriptions, and what it tells those that mistype or join one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ionbus import Broker, Call, Contract, Emitter, Event, NotFound, Principal, connect
from ionbus.broker.suggestions import MOST
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Frame, Message
from raw_client import Raw, hello
from workshop import eventually


class Flow(Contract, name="flow"):
    progress = Event(str, delivery="latest")
    hidden = Event(str, delivery="latest", roles={"admin"})
    finished = Event(str)
    execute = Call(str, str)
    secret = Event(str, roles={"admin"})
    secretly = Call(str, str, roles={"admin"})


def flow_broker() -> Broker[None]:
    broker: Broker[None] = Broker(Flow)

    @broker.handle(Flow.execute)
    async def execute(text: str) -> str:
        return text

    @broker.handle(Flow.secretly)
    async def secretly(text: str) -> str:
        return text

    return broker


async def test_an_unknown_event_is_refused_with_the_nearest() -> None:
    async with connect(flow_broker()) as bus:
        with pytest.raises(NotFound, match=r"flow\.finishd: no such event .*; did you mean flow\.finished\?"):
            await bus.on("flow.finishd", print).confirmed()
        with pytest.raises(NotFound, match=r"did you mean flow\.progress"):
            await bus.on("flow.progres", print).confirmed()


async def test_what_a_role_may_not_see_is_never_suggested() -> None:
    broker = flow_broker()
    async with connect(broker, roles=set()) as guest, connect(broker, roles={"admin"}) as admin:
        with pytest.raises(NotFound) as refused:
            await guest.on("flow.secre", print).confirmed()
        assert "did you mean" not in str(refused.value)
        with pytest.raises(NotFound, match=r"did you mean flow\.secret\?"):
            await admin.on("flow.secre", print).confirmed()


async def raw_client(broker: Broker[None], roles: frozenset[str] | None = None) -> Raw:
    raw = Raw()
    raw.channel = (await MemoryListener(broker.accept_local(roles)).open(raw)).channel
    raw.send(Frame.HELLO, hello())
    await eventually(lambda: bool(raw.frames))
    return raw


def messages(raw: Raw) -> list[list[object]]:
    return [element for frame in raw.frames if frame[0] == Frame.DATA for element in frame[3:]]


async def test_a_mistyped_call_is_told_the_nearest_so_often_and_no_more() -> None:
    broker = flow_broker()
    async with broker.opened():
        raw = await raw_client(broker)
        for number in range(1, MOST + 2):
            raw.send(Frame.DATA, number, 0, [Message.CALL, number, "flow.executes", b"\xa1a"])
        await eventually(lambda: len(messages(raw)) > MOST)
        told = [str(message[3]) for message in messages(raw)]
        assert told[0] == "flow.executes: no such call is served here; did you mean flow.execute?"
        assert sum("did you mean" in text for text in told) == MOST
        assert told[MOST] == "flow.executes: no such call is served here"


async def test_a_snapshot_gives_the_newest_and_keeps_nothing() -> None:
    broker = flow_broker()
    async with broker.opened():
        raw = await raw_client(broker)
        await broker.emit(Flow.progress, "1")
        raw.send(Frame.DATA, 1, 0, [Message.SUBSCRIBE, 7, "flow.progress", {"snapshot": True}])
        await eventually(lambda: len(messages(raw)) == 2)
        [subscribed, envelope] = messages(raw)
        assert subscribed == [Message.SUBSCRIBED, 7]
        assert envelope[:2] == [Message.ENVELOPE, [7]]
        assert broker.subscriptions() == []
        await broker.emit(Flow.progress, "2")
        raw.send(Frame.DATA, 2, 0, [Message.SUBSCRIBE, 8, "flow.nothing", {"snapshot": True}])
        await eventually(lambda: len(messages(raw)) == 3)
        assert messages(raw)[2][:3] == [Message.SUBSCRIBED, 8, "not_found"]


async def test_a_snapshot_gives_nothing_that_the_role_may_not_see() -> None:
    broker = flow_broker()
    async with broker.opened():
        raw = await raw_client(broker, frozenset())
        await broker.emit(Flow.hidden, "1")
        await broker.emit(Flow.progress, "2")
        raw.send(Frame.DATA, 1, 0, [Message.SUBSCRIBE, 1, "flow.hidden", {"snapshot": True}])
        raw.send(Frame.DATA, 2, 0, [Message.SUBSCRIBE, 2, "flow.*", {"snapshot": True}])
        await eventually(lambda: len(messages(raw)) >= 3)
        refused, subscribed, envelope = messages(raw)
        assert refused[:3] == [Message.SUBSCRIBED, 1, "not_allowed"]
        assert subscribed == [Message.SUBSCRIBED, 2]
        assert envelope[:2] == [Message.ENVELOPE, [2]]
        assert "progress" in str(envelope)


async def test_the_broker_shows_who_listens_to_what() -> None:
    broker = flow_broker()
    before = datetime.now(UTC)
    async with connect(broker) as one, connect(broker) as other:
        await one.on(Flow.finished, print).confirmed()
        subscription = other.on("flow.*", print, every=0.5)
        await subscription.confirmed()
        found = broker.subscriptions()
        assert [(each.pattern, dict(each.options)) for each in found] == [
            ("flow.finished", {}),
            ("flow.*", {"every": 500}),
        ]
        assert [each.session for each in found] == [session.id for session in broker.sessions]
        assert all(before <= each.since <= datetime.now(UTC) for each in found)
        assert found[0].principal == "local"
        subscription.close()
        await eventually(lambda: len(broker.subscriptions()) == 1)
    assert broker.subscriptions() == []


async def test_it_shows_whose_they_are() -> None:
    broker = flow_broker()
    principal = Principal("ann")
    async with (
        broker.serve("ws://127.0.0.1:0", tokens={"t": principal}) as [endpoint],
        connect(endpoint.url, token="t") as bus,
    ):
        await bus.on(Flow.finished, print).confirmed()
        assert [each.principal for each in broker.subscriptions()] == ["ann"]


async def test_a_subscription_ends_with_a_session() -> None:
    broker, emitter = flow_broker(), Emitter(Flow)
    async with broker.opened():
        async with connect(broker):
            [session] = broker.sessions
            subscription = emitter.on(Flow.finished, print, until=session)
            other = emitter.on(Flow.finished, print, until=session)
            other.close()
            in_force = [each.pattern for each in emitter.subscriptions()]
            assert in_force == ["flow.finished"]
        assert not subscription.is_open
        assert not emitter.on(Flow.finished, print, until=session).is_open
