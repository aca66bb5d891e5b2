"""What a broker keeps for its clients is bounded by configuration, whatever they do, and no other session notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgpack
import pytest
from pydantic import BaseModel

from ionbus import Broker, Bus, Call, Context, Contract, Event, IonbusError, SlowConsumer, Stream, TooLarge
from ionbus.broker import serving
from ionbus.channels.memory import MemoryListener, MemoryWire
from ionbus.generated.protocol import Limits
from ionbus.testing import FakeClock
from raw_client import Raw, hello
from workshop import Pair, Progress, Workshop, eventually, make_broker, opened_bus, rig

PARCEL = 100_000


class Shelf(BaseModel):
    name: str
    things: bytes


class Depot(Contract, name="depot", version="1.0"):
    """Things of some size, in either direction."""

    fetch = Call(int, bytes)
    put = Call(bytes, None, timeout=None)
    parcels = Stream(int, bytes)
    shelf = Event(Shelf, delivery="latest", key="name")
    seen = Event(bytes)
    noted = Event(bytes, delivery="volatile")


@dataclass
class Scene:
    broker: Broker[Any]
    listener: MemoryListener
    neighbour: Bus
    sent: list[int]
    gate: asyncio.Event

    async def raw(self, session: bytes = b"s" * 16, **changes: Any) -> Raw:
        raw = Raw()
        raw.channel = (await self.listener.open(raw)).channel
        raw.channel.max_frame_bytes = 1 << 20
        raw.send(1, hello(session=session, **changes))
        await eventually(lambda: raw.frames)
        assert raw.frames[0][0] == 2
        return raw

    @property
    def wire(self) -> MemoryWire:
        assert self.listener.wire is not None
        return self.listener.wire


@asynccontextmanager
async def depot(**limits: int) -> AsyncIterator[Scene]:
    class Small(Contract, name="small", version="1.0"):
        ping = Call(None, int)

    broker = Broker(Depot, Small, limits=Limits(**limits))
    sent: list[int] = []
    gate = asyncio.Event()

    @broker.handle(Depot.fetch)
    async def fetch(size: int) -> bytes:
        return bytes(size)

    @broker.handle(Depot.put)
    async def put(data: bytes) -> None:
        await gate.wait()

    @broker.handle(Depot.parcels)
    async def parcels(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield bytes(PARCEL)
            sent.append(number)

    @broker.handle(Small.ping)
    async def ping(ctx: Context[Any]) -> int:
        return 1

    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as neighbour:
            yield Scene(broker, listener, neighbour, sent, gate)
            assert await neighbour.call(Small.ping) == 1


def answers(raw: Raw) -> dict[int, Any]:
    """What each request was answered with: "result", or an error's code."""
    elements = [element for frame in raw.frames if frame[0] == 0 for element in frame[3:] if element]
    return {e[1]: "result" if e[0] == 3 else e[2] for e in elements if e[0] in (3, 4)}


def received(raw: Raw) -> int:
    """The number of the last element."""
    return max((int(frame[1]) + len(frame) - 4 for frame in raw.frames if frame[0] == 0), default=0)


def has_received(raw: Raw, seq: int) -> bool:
    return received(raw) >= seq


def packed(value: object) -> bytes:
    data: bytes = msgpack.packb(value)
    return data


async def test_answers_that_nobody_reads_are_bounded_in_bytes_and_each_is_answered_all_the_same() -> None:
    async with depot(max_answer_bytes=3 * PARCEL + 100) as scene:
        raw = await scene.raw()
        scene.wire.to_client.hold()
        raw.send(0, 1, 0, *[[2, number, "depot.fetch", packed(PARCEL)] for number in range(1, 11)])
        await eventually(lambda: scene.broker.held_bytes > 2 * PARCEL)
        await asyncio.sleep(0)
        assert scene.broker.held_bytes < 5 * PARCEL
        scene.wire.to_client.release()
        await eventually(lambda: len(answers(raw)) == 10, "ten answers")
        kinds = list(answers(raw).values())
        assert kinds.count("result") >= 3
        assert set(kinds) == {"result", "too_large"}


async def test_payloads_of_requests_under_way_are_bounded_in_bytes() -> None:
    async with depot(max_request_bytes=3 * PARCEL) as scene, opened_bus(scene.listener.open) as bus:
        calls = [asyncio.create_task(bus.call(Depot.put, bytes(PARCEL))) for _ in range(5)]
        await eventually(lambda: any(call.done() for call in calls))
        scene.gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in outcomes if isinstance(each, TooLarge)]
        assert len(refused) == 3
        assert "requests of 200" in str(refused[0])
        await bus.call(Depot.put, bytes(PARCEL))
        await bus.call(
            Depot.put, bytes(10 * PARCEL)
        )  # a lone one may exceed it: messages have their own bound


async def test_streams_are_bounded_in_number() -> None:
    async with depot(max_streams=2) as scene:
        raw = await scene.raw()
        for number in (1, 2, 3):
            raw.send(0, number, 0, [6, number, "depot.parcels", packed(100), {"credit": [0, 0]}])
        await eventually(lambda: answers(raw))
        assert answers(raw) == {3: "too_large"}


async def test_a_reader_that_grants_without_end_and_does_not_read_stops_the_stream() -> None:
    async with depot(credit_bytes=5 * PARCEL) as scene:
        raw = await scene.raw()
        scene.wire.to_client.hold()
        raw.send(0, 1, 0, [6, 1, "depot.parcels", packed(1000), {"credit": [2**50, 2**50]}])
        await eventually(lambda: len(scene.sent) == 5)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(scene.sent) < 15
        assert scene.broker.held_bytes < 15 * PARCEL


async def test_the_newest_values_are_bounded_in_bytes() -> None:
    async with depot(max_latest_bytes=3 * PARCEL) as scene:
        for number in range(10):
            await scene.broker.emit(Depot.shelf, Shelf(name=str(number), things=bytes(PARCEL)))
        heard: list[Shelf] = []
        async with opened_bus(scene.listener.open) as late:
            late.on(Depot.shelf, heard.append)
            await eventually(lambda: len(heard) == 2)
        assert [shelf.name for shelf in heard] == [
            "8",
            "9",
        ]  # with a few bytes more each there is no room for a third
        await scene.broker.emit(Depot.shelf, Shelf(name="huge", things=bytes(4 * PARCEL)))
        async with opened_bus(scene.listener.open) as later:
            heard.clear()
            await later.on(Depot.shelf, heard.append).confirmed()
            assert heard == []


async def test_past_the_bound_for_all_together_the_session_that_holds_most_ends() -> None:
    async with depot(max_broker_bytes=20 * PARCEL) as scene:
        raws = [await scene.raw(session=bytes([65 + number]) * 16) for number in range(3)]
        for raw in raws:
            raw.send(0, 1, 0, [10, 1, "depot.seen"])
            await eventually(partial(received, raw))
        for number in range(12):  # two of them acknowledge nothing
            await scene.broker.emit(Depot.seen, bytes(PARCEL))
            await eventually(partial(has_received, raws[0], number + 2))
            raws[0].send(4, received(raws[0]))
        await eventually(lambda: raws[1].end or raws[2].end)
        ended = [raw for raw in raws if raw.end]
        assert len(ended) == 1
        assert raws[0] not in ended
        assert scene.broker.held_bytes <= 20 * PARCEL
        close = ended[0].close_frame()
        assert close is not None
        assert close[1] == "slow_consumer"
        assert f"more than {20 * PARCEL} bytes" in close[2]
        assert close[3]["over"] is True


async def test_what_is_small_is_counted_with_what_it_takes_besides_its_bytes() -> None:
    broker = make_broker()
    async with broker.opened(grace=0.1):
        raw = Raw()
        raw.channel = (await MemoryListener(broker.accept_local()).open(raw)).channel
        raw.send(1, hello(credit=[0, 0]))
        await eventually(partial(has_answer, raw))
        raw.send(0, 1, 0, *[[2, number, "workshop.wait", packed("x")] for number in range(1, 101)])
        await eventually(lambda: len(broker.state.started) == 100)
        assert 100 * 3_000 < broker.held_bytes < 100 * 6_000
        raw.send(0, 101, 0, *[[2, 100 + number, "workshop.nothing", b""] for number in range(1, 101)])
        await eventually(lambda: len(raw.frames) > 1)
        raw.send(6, 1)  # it is counted with each frame
        await eventually(lambda: broker.held_bytes > 100 * 4_296)


async def test_what_is_kept_for_a_session_is_given_back_when_it_ends() -> None:
    async with depot() as scene:
        raw = await scene.raw()
        raw.send(0, 1, 0, [10, 1, "depot.seen"])
        await eventually(lambda: len(raw.frames) > 1)
        scene.wire.to_client.hold()
        raw.send(0, 2, 0, *[[2, number, "depot.fetch", packed(PARCEL)] for number in range(1, 6)])
        raw.send(6, 1)
        await eventually(lambda: scene.broker.held_bytes > PARCEL)
        raw.send(3, "closed", "", {"over": True, "final": True})
        await eventually(lambda: len(scene.broker.sessions) == 1)
        assert scene.broker.held_bytes < PARCEL


async def test_the_newest_values_of_one_session_are_a_part_of_what_is_kept_for_it() -> None:
    async with depot() as scene:
        raw = await scene.raw()
        [session] = [each for each in scene.broker.sessions if each.id == (b"s" * 16).hex()]
        for number in range(5):
            await session.emit(Depot.shelf, Shelf(name=str(number), things=bytes(PARCEL)))
        raw.send(6, 1)
        await eventually(lambda: scene.broker.held_bytes > 5 * PARCEL)
        raw.send(3, "closed", "", {"over": True, "final": True})
        await eventually(lambda: scene.broker.held_bytes < PARCEL)


async def test_a_client_that_takes_nothing_for_too_long_is_ended_as_a_slow_consumer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "TICK", 0.02)
    async with depot(slow_consumer_ms=200) as scene:
        raw = await scene.raw()
        raw.send(0, 1, 0, [10, 1, "depot.seen"])
        await eventually(lambda: len(raw.frames) > 1)
        session = next(each for each in scene.broker.sessions if each.id == "73" * 16)
        await session.emit(Depot.seen, b"x")  # never acknowledged
        await eventually(lambda: raw.end)
        close = raw.close_frame()
        assert close is not None
        assert close[1] == "slow_consumer"
        assert "taken nothing for 0.2 s" in close[2]
        with pytest.raises(SlowConsumer, match="taken nothing"):
            await session.emit(Depot.seen, b"x")
        assert scene.broker.dropped == {"depot.seen": {"slow_consumer": 1}}


async def test_more_sessions_than_there_may_be_are_told_to_come_later() -> None:
    broker = make_broker(Limits(max_sessions=1))
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as first:
            raw = Raw()
            raw.channel = (await listener.open(raw)).channel
            raw.send(1, hello())
            await eventually(lambda: raw.end)
            close = raw.close_frame()
            assert close is not None
            assert close[1] == "overloaded"
            assert await first.call(Workshop.add, Pair(left=1, right=1)) == 2
        async with opened_bus(listener.open) as second:
            assert await second.call(Workshop.add, Pair(left=1, right=1)) == 2


async def test_a_client_that_sends_too_fast_is_sent_away_for_a_while_and_loses_nothing() -> None:
    broker = make_broker(Limits(max_rate=500))
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open, Limits(retry_base_ms=1)) as bus:
            codes: list[str] = []
            bus.on_state(lambda change: codes.append(change.code))
            for number in range(700):
                await bus.emit(Workshop.said, str(number))
            await eventually(lambda: len(broker.state.heard) == 700)
            assert broker.state.heard == [str(number) for number in range(700)]
            assert "rate_limited" in codes


async def test_a_frame_of_too_many_elements_is_a_violation() -> None:
    async with depot(max_frame_elements=100) as scene:
        raw = await scene.raw()
        raw.send_bytes(b"\xdc\x00\x68\x00\x01\x00" + b"\xc0" * 101)
        await eventually(lambda: raw.end)
        close = raw.close_frame()
        assert close is not None
        assert close[1] == "protocol_error"
        assert "101 elements" in close[2]


async def test_volatile_events_for_who_is_behind_are_counted() -> None:
    async with depot() as scene:
        raw = await scene.raw(credit=[1, 100])
        raw.send(0, 1, 0, [10, 1, "depot.noted"])
        await eventually(lambda: len(raw.frames) > 1)
        for _ in range(5):
            await scene.broker.emit(Depot.noted, b"xx")
        assert scene.broker.dropped == {"depot.noted": {"behind": 4}}
        raw.send(3, "closed", "", {"over": True, "final": True})
        await eventually(lambda: len(scene.broker.sessions) == 1)
        assert scene.broker.dropped["depot.noted"]["behind"] == 4  # also when the session is gone


async def test_a_handler_that_waits_for_a_client_that_takes_nothing_is_told_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "TICK", 0.02)
    async with depot(slow_consumer_ms=200) as scene:
        raw = await scene.raw(credit=[1, 1])
        raw.send(0, 1, 0, [10, 1, "depot.seen"])
        await eventually(lambda: len(raw.frames) > 1)
        raw.send(4, 1)
        session = next(each for each in scene.broker.sessions if each.id == "73" * 16)
        await session.emit(Depot.seen, b"x")
        await eventually(partial(has_received, raw, 2))
        raw.send(4, 2)
        with pytest.raises(SlowConsumer, match="taken nothing"):
            await session.emit(Depot.seen, b"there is no credit for this one")


async def test_a_client_cannot_flood_another_one_past_its_bound() -> None:
    """What a client publishes waits for those that it is relayed to, as long as they read."""
    broker = make_broker(Limits(credit_messages=64, replay_elements=600, ack_elements=8))
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with (
            opened_bus(listener.open) as sender,
            opened_bus(listener.open, Limits(credit_messages=32)) as slow,
        ):
            heard: list[str] = []
            async with slow.events(Workshop.shouted) as shouts:

                async def read() -> None:
                    async for shout in shouts:
                        heard.append(shout)
                        await asyncio.sleep(0.001)

                reading = asyncio.create_task(read())
                for number in range(1500):
                    await sender.emit(Workshop.shouted, str(number))
                await eventually(lambda: len(heard) == 1500)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            assert heard == [str(number) for number in range(1500)]
            assert len(broker.sessions) == 2


async def test_a_client_that_answers_as_if_it_stopped_is_not_waited_for() -> None:
    broker = make_broker()
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        raw = Raw()
        raw.channel = (await listener.open(raw)).channel
        raw.send(1, hello())
        await eventually(lambda: raw.frames)
        [session] = broker.sessions
        call = asyncio.create_task(broker.call(session, Workshop.question, "?", timeout=None))
        await eventually(lambda: len(raw.frames) > 1)
        raw.send(0, 1, 0, [4, 1, "stopping", "not begun"])
        with pytest.raises(IonbusError, match="not begun"):
            await call


async def test_who_grants_without_end_and_does_not_read_is_ended_at_the_bound_all_the_same() -> None:
    async with depot(max_queued_bytes=20 * PARCEL, replay_bytes=5 * PARCEL) as scene:
        raw = await scene.raw(credit=[2**50, 2**50])
        raw.send(0, 1, 0, [10, 1, "depot.seen"])
        await eventually(partial(has_received, raw, 1))
        scene.wire.to_client.hold()
        [session] = [each for each in scene.broker.sessions if each.id == "73" * 16]
        for _ in range(60):
            await scene.broker.emit(Depot.seen, bytes(PARCEL))
            if session.is_ended:
                break
        assert session.is_ended
        assert (
            scene.broker.dropped["depot.seen"]["slow_consumer"] <= 30
        )  # what waited, and what was not acknowledged


async def test_all_who_wait_for_credit_go_on_with_one_grant_of_it() -> None:
    async with (
        rig(limits=Limits(credit_messages=4)) as at,
        at.bus.events(Workshop.noticed) as noticed,
        at.bus.events(Workshop.progress),
    ):
        [session] = at.broker.sessions
        for number in range(4):
            await session.emit(Workshop.noticed, str(number))
        waiting = [
            asyncio.create_task(session.emit(Workshop.progress, Progress(job="a", percent=number)))
            for number in range(20)
        ]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        for _ in range(4):
            await anext(noticed)
        await asyncio.wait_for(asyncio.gather(*waiting), 4)  # without a heartbeat in between


async def test_a_client_that_was_idle_is_waited_for_like_one_that_was_not() -> None:
    limits = Limits(credit_messages=8, replay_elements=64)
    with FakeClock() as clock:
        async with rig(make_broker(limits), limits) as at:
            heard: list[str] = []
            await at.bus.on(Workshop.noticed, heard.append).confirmed()
            await clock.advance(2)
            at.wire.to_client.hold()  # it is busy for a moment

            async def emit() -> None:
                for number in range(200):
                    await at.broker.emit(Workshop.noticed, str(number))

            emitting = asyncio.create_task(emit())
            for _ in range(300):
                await asyncio.sleep(0)
            at.wire.to_client.release()
            await clock.drive(emitting)
            await clock.drive(eventually(lambda: len(heard) == 200))
            assert at.broker.dropped == {}


@pytest.mark.parametrize("kind", ["async", "on a thread"])
async def test_an_item_that_its_reader_does_not_take_ends_the_stream_with_that_reason(kind: str) -> None:
    broker = Broker(Depot)

    async def parcels(count: int) -> AsyncIterator[bytes]:
        yield bytes(count)

    def parcels_on_thread(count: int) -> Iterator[bytes]:
        yield bytes(count)

    broker.handle(Depot.parcels)(parcels if kind == "async" else parcels_on_thread)
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with (
            opened_bus(listener.open, Limits(max_message_bytes=300_000)) as bus,
            bus.stream(Depot.parcels, 400_000) as items,
        ):
            with pytest.raises(TooLarge):
                await anext(items)


def has_answer(raw: Raw) -> bool:
    return bool(raw.frames)


async def test_what_stands_behind_the_message_that_ended_a_session_is_not_begun() -> None:
    broker = make_broker(Limits(max_broker_bytes=5 * PARCEL))
    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        sender, reader = Raw(), Raw()
        for raw, session, credit in ((sender, b"s", [1 << 30, 1 << 20]), (reader, b"r", [0, 0])):
            raw.channel = (await listener.open(raw)).channel
            raw.send(1, hello(session=session * 16, credit=credit))
            await eventually(partial(has_answer, raw))
        reader.send(0, 1, 0, [10, 1, "workshop.shouted"])
        sender.send(0, 1, 0, [2, 1, "workshop.wait", packed("x" * 3 * PARCEL)])
        await eventually(lambda: broker.state.started and len(reader.frames) > 1)
        shout, late = [1, "workshop.shouted", packed("!" * 240_000)], [2, 2, "workshop.wait", packed("y")]
        sender.send(0, 2, 0, shout, late)
        await eventually(lambda: sender.end or reader.end)
        assert sender.end is not None
        assert reader.end is None
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(broker.state.started) == 1


async def test_an_item_that_its_reader_rejects_ends_the_stream() -> None:
    async with depot(transfer_threshold_bytes=PARCEL // 2, credit_bytes=5 * PARCEL) as scene:
        raw = await scene.raw()
        raw.send(0, 1, 0, [6, 1, "depot.parcels", packed(1000), {"credit": [2**50, 2**50]}])
        await eventually(lambda: len(scene.sent) == 5)  # the first is in transfer, the others wait behind it
        raw.send(0, 2, 0, [22, 1, "too_large", "not as large"])
        await eventually(lambda: answers(raw))
        assert answers(raw) == {1: "too_large"}
        sent = len(scene.sent)
        raw.send(0, 3, 0, [2, 2, "depot.fetch", packed(1)])
        await eventually(lambda: len(answers(raw)) == 2)
        assert len(scene.sent) == sent
