"""How connections that were to recover have failed elsewhere; each test is named after what happened (docs/lessons.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ionbus import (
    ConnectionState,
    Discontinuity,
    Endpoint,
    Ionbus,
    SessionLost,
    SlowConsumer,
    Unauthenticated,
    connect,
)
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.session.connection import StateChange
from ionbus.testing import FakeClock, Faults, Pair, Recorder, pair
from lessons.backend import Backend
from lessons.places import BRISK_BACKEND, served_by_hand
from raw_client import Raw, hello
from workshop import Bench, Pair as Two, Progress, Workshop, eventually, make_broker

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)
KILOBYTE = "k" * 1_000


def numbers(count: int, first: int = 0) -> list[str]:
    return [str(number) for number in range(first, first + count)]


def openings(recorder: Recorder) -> list[StateChange]:
    """Each time that a bus came back."""
    return [change for change in recorder.states if change.outcome is not None]


def state_of(at: Pair[Bench]) -> ConnectionState:
    return at.bus.state


async def works(at: Pair[Bench]) -> bool:
    return await at.bus.call(Workshop.add, Two(left=1, right=1)) == 2


async def test_lost_remote_whenever_a_handler_blocks_for_10_s() -> None:
    """ "Lost remote" whenever a handler blocks for 10 s (zerorpc-python#37, #149, #175)."""
    with FakeClock() as clock:
        async with pair(make_broker(), silence_is_fatal=True) as at:
            recorder = Recorder()
            recorder.record(at.bus)
            blocked = asyncio.create_task(at.bus.call(Workshop.block, "a thread", timeout=None))
            waiting = asyncio.create_task(at.bus.call(Workshop.wait, "a task", timeout=None))
            while len(at.state.started) < 2:
                await clock.settle()
            await clock.advance(60)
            assert await works(at)
            assert recorder.states == []
            at.state.thread_gate("a thread").set()
            at.state.gate("a task").set()
            assert [await blocked, await waiting] == ["a thread", "a task"]


@pytest.mark.slow
async def test_a_python_handler_computes_for_15_s_without_awaiting_and_the_window_kills_or_abandons_it(
    tmp_path: Path,
) -> None:
    """A Python handler computes for 15 s without awaiting, and the window kills or abandons it
    (follows from any time-out on a pipe)."""
    done = tmp_path / "over a pipe"
    async with connect(stdio=BRISK_BACKEND, limits=BRISK) as bus:
        recorder = Recorder()
        recorder.record(bus)
        pid = await bus.call(Backend.pid)
        computing = asyncio.create_task(bus.call(Backend.compute, str(done)))
        await recorder.wait_for(ConnectionState.UNRESPONSIVE, timeout=20)
        done.touch()
        assert await computing == "computed"
        assert await bus.call(Backend.pid) == pid
        assert {change.after for change in recorder.states} == {"unresponsive", "open"}

    done = tmp_path / "over a WebSocket"
    async with served_by_hand() as (url, token, pid), connect(url, token=token, limits=BRISK) as bus:
        recorder = Recorder()
        recorder.record(bus)
        computing = asyncio.create_task(bus.call(Backend.compute, str(done)))
        await recorder.wait_for(ConnectionState.RECONNECTING, timeout=20)
        done.touch()
        assert await computing == "computed"
        assert await bus.call(Backend.pid) == pid
        assert {change.outcome for change in openings(recorder)} == {"resumed"}


async def test_the_answer_to_a_resume_is_lost_after_the_server_has_changed_the_secret() -> None:
    """The answer to a resume is lost after the server has changed the secret: the session is gone for good
    (follows from rotating tokens)."""
    faults = Faults(seed=1)
    async with pair(make_broker(), faults=faults, limits=BRISK) as at:
        recorder = Recorder()
        recorder.record(at.bus)
        waiting = asyncio.create_task(at.bus.call(Workshop.wait, "through all this"))
        await eventually(lambda: at.state.started)
        for _ in range(3):
            before = faults.counts["drop"]
            faults.set(drop=1.0, directions=("to_client",))  # of each channel the first frame: WELCOME
            at.cut()
            await eventually(lambda before=before: faults.counts["drop"] >= before + 3)  # type: ignore[misc]
            faults.set(drop=0.0)
            await at.reconnected()
            assert await works(at)
        assert [change.outcome for change in openings(recorder)] == ["resumed"] * 3
        at.state.gate("through all this").set()
        assert await waiting == "through all this"


@asynccontextmanager
async def by_hand() -> AsyncIterator[tuple[Pair[Bench], MemoryListener]]:
    """A pair, and where a client that is written by hand connects."""
    async with pair(make_broker()) as at:
        yield at, MemoryListener(at.broker.accept_local())


async def greeted(listener: MemoryListener, before: Raw | None = None, received: int = 0) -> Raw:
    """A client that is written by hand, in a new session or in that of `before`, of whom it has received so much."""
    raw = Raw()
    raw.channel = (await listener.open(raw)).channel
    if before is None:
        raw.send(1, hello())
    else:
        welcome = before.frames[0][1]
        fresh = [b"f" * 16, b"g" * 32]
        more = {"secret": welcome["secret"], "epoch": welcome["epoch"], "fresh": fresh}
        raw.send(1, hello(attempt=2, received=received, **more))
    await eventually(lambda: raw.frames)
    assert raw.frames[0][0] == 2
    return raw


def elements(raw: Raw) -> list[tuple[int, list[Any]]]:
    """What a client was sent, with its numbers."""
    frames = [frame for frame in raw.frames if frame[0] == 0]
    return [(frame[1] + place, element) for frame in frames for place, element in enumerate(frame[3:])]


async def test_a_message_that_the_peer_cannot_decode_closes_the_connection_is_replayed_and_closes_it_again() -> (
    None
):
    """A message that the peer cannot decode closes the connection, is replayed after it, closes it again, for ever
    (follows from replay)."""
    sent = [
        [1, "workshop.said", b"\xc1 is no msgpack"],
        [2, 1, "workshop.add", b"\xc1 is no msgpack"],
        [1, "workshop.said", msgpack.packb("what can be read")],
    ]
    add = [2, 2, "workshop.add", msgpack.packb({"left": 1, "right": 2})]
    async with by_hand() as (at, listener):
        raw = await greeted(listener)
        raw.send(0, 1, 0, *sent)
        await eventually(lambda: len(elements(raw)) == 2)
        assert [element[:3] for _, element in elements(raw)] == [
            [14, 1, "invalid_payload"],
            [4, 1, "invalid_payload"],
        ]
        assert raw.end is None
        assert listener.wire is not None
        listener.wire.cut()

        again = await greeted(listener, raw)  # all of it is sent once more, in both directions
        assert again.frames[0][1]["resumed"] is True
        again.send(0, 1, 0, *sent, add)
        await eventually(lambda: len(elements(again)) == 3)
        assert [element[:2] for _, element in elements(again)] == [[14, 1], [4, 1], [3, 2]]
        assert again.end is None
        assert at.state.heard == ["what can be read"]


async def test_a_busy_or_suspended_event_loop_takes_a_live_peer_for_a_dead_one_and_reconnect_storms_follow() -> (
    None
):
    """A busy or suspended event loop takes a live peer for a dead one, and reconnect storms follow
    (vscode-remote-release#1742)."""
    limits = Limits(heartbeat_ms=50, silence_ms=150)
    async with pair(make_broker(limits), silence_is_fatal=True) as at:
        recorder = Recorder()
        recorder.record(at.bus)
        for _ in range(3):
            time.sleep(0.4)  # noqa: ASYNC251 - the suspended loop
            await recorder.wait_for_none(ConnectionState.RECONNECTING, until=0.2)
            assert await works(at)
        assert (recorder.states, at.listener.attempts) == ([], 1)


async def test_recovery_fails_until_one_event_was_received_and_works_once_only() -> None:
    """Recovery fails until one event was received; works once only (socket.io#4888, #5538, #4880)."""
    async with pair(make_broker(), limits=BRISK) as at:
        recorder = Recorder()
        recorder.record(at.bus)
        for _ in range(4):  # nothing was ever received, and nothing sent
            at.cut()
            await at.reconnected()
        assert await works(at)
        for _ in range(4):
            at.cut()
            await at.reconnected()
        assert [change.outcome for change in openings(recorder)] == ["resumed"] * 8
        assert len(at.broker.sessions) == 1

    with FakeClock() as clock:
        async with pair(make_broker(), silence_is_fatal=True) as at:
            recorder = Recorder()
            recorder.record(at.bus)
            at.half_open()  # the broker keeps the old channel, and takes the client for connected
            await clock.advance(30)
            assert [change.outcome for change in openings(recorder)] == ["resumed"]
            assert await works(at)
            assert len(at.broker.sessions) == 1


async def test_recoverys_offset_rides_in_user_arguments() -> None:
    """Recovery's offset rides in user arguments (socket.io)."""
    async with by_hand() as (at, listener):
        raw = await greeted(listener)
        raw.send(0, 1, 0, [10, 1, "workshop.noticed"])
        await eventually(lambda: elements(raw))
        for text in ("one", "two"):
            await at.broker.emit(Workshop.noticed, text)
        wanted = [
            (number, [1, "workshop.noticed", msgpack.packb(text)])
            for number, text in ((2, "one"), (3, "two"))
        ]
        await eventually(lambda: elements(raw)[1:] == wanted)
        assert listener.wire is not None
        listener.wire.cut()
        again = await greeted(listener, raw, received=2)
        await eventually(lambda: elements(again))
        assert elements(again) == wanted[1:]  # its number is the frame's, and its payload what was emitted

    async with pair(make_broker(), limits=BRISK) as at:
        heard: list[tuple[Any, ...]] = []
        at.bus.on(Workshop.noticed, lambda *arguments: heard.append(arguments))
        assert await works(at)
        at.wire.to_client.stop()
        await at.broker.emit(Workshop.noticed, "what is sent again")
        at.cut()
        await at.reconnected()
        await eventually(lambda: heard)
        assert heard == [("what is sent again",)]


async def test_buffered_events_leave_after_newer_ones_and_order_is_lost() -> None:
    """Buffered events leave after newer ones: order lost (socketio/socket.io-client#1458)."""
    async with pair(make_broker(), limits=BRISK) as at:
        recorder = Recorder()
        await recorder.record(at.bus, Workshop.noticed)
        newer: list[asyncio.Task[None]] = []

        def opened(change: StateChange) -> None:
            if change.after == ConnectionState.OPEN:
                newer.append(asyncio.create_task(at.bus.emit(Workshop.said, "6")))
                newer.append(asyncio.create_task(at.broker.emit(Workshop.noticed, "6")))

        at.bus.on_state(opened)
        at.wire.half_open()
        for number in numbers(3):  # these leave, and do not arrive
            await at.bus.emit(Workshop.said, number)
            await at.broker.emit(Workshop.noticed, number)
        await asyncio.sleep(0)
        at.cut()
        for number in numbers(3, 3):  # these wait for a connection
            await at.bus.emit(Workshop.said, number)
            await at.broker.emit(Workshop.noticed, number)
        await at.reconnected()
        await recorder.wait_for(Workshop.noticed, where=lambda number: number == "6")
        await asyncio.gather(*newer)
        await eventually(lambda: len(at.state.heard) == 7)
        assert at.state.heard == numbers(7)
        assert [each.payload for each in recorder.events] == numbers(7)


async def test_the_acknowledgement_never_comes_after_a_reconnect() -> None:
    """The acknowledgement never comes after a reconnect (socket.io#3152)."""
    async with pair(make_broker(), limits=BRISK) as at:
        names = ["answered after it", "answered while it was away", "whose request was lost", "rejected"]
        calls = {name: asyncio.create_task(at.bus.call(Workshop.wait, name)) for name in names[:2]}
        await eventually(lambda: len(at.state.started) == 2)
        at.wire.to_broker.stop()
        calls[names[2]] = asyncio.create_task(at.bus.call(Workshop.wait, names[2]))
        await asyncio.sleep(0)
        at.listener.is_refusing = True
        at.cut()
        at.state.gate(names[1]).set()
        await eventually(lambda: names[1] in at.state.ended)
        at.listener.is_refusing = False
        await at.reconnected()
        for name in names[:3]:
            at.state.gate(name).set()
            assert await calls[name] == name
        assert sorted(at.state.started) == sorted(names[:3])

        lost = asyncio.create_task(at.bus.call(Workshop.wait, names[3]))
        await eventually(lambda: names[3] in at.state.started)
        await at.restart()
        with pytest.raises(SessionLost):
            await lost


async def test_an_unbounded_replay_buffer_grows_for_ever() -> None:
    """Unbounded replay buffer grows for ever (microsoft/vscode PR#324160)."""
    bound = 50_000
    window = Limits(credit_bytes=bound // 2, replay_bytes=bound, max_queued_bytes=bound)
    client = Limits(credit_bytes=bound // 2, replay_bytes=bound, retry_base_ms=1, retry_cap_ms=5)
    async with pair(make_broker(window), limits=client) as at:
        recorder = Recorder()
        await recorder.record(at.bus, Workshop.noticed, Ionbus.discontinuity)
        assert await works(at)
        accepted: list[str] = []

        async def emit() -> None:
            for number in numbers(200):
                await at.bus.emit(Workshop.said, f"{number} {KILOBYTE}")
                accepted.append(number)

        at.listener.is_refusing = True
        at.cut()
        emitting = asyncio.create_task(emit())
        await eventually(lambda: len(accepted) > 10)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(accepted) * 1_000 < bound  # whoever emits waits

        held: list[int] = []
        for number in numbers(200):
            await at.broker.emit(Workshop.noticed, f"{number} {KILOBYTE}")
            held.append(at.broker.held_bytes)
        assert bound / 2 < max(held) < 2 * bound
        assert at.broker.sessions == []  # and where nobody can wait, the session ends, with its reason
        assert at.broker.held_bytes == 0
        at.listener.is_refusing = False
        await at.reconnected()
        gap = await recorder.wait_for(Ionbus.discontinuity)
        assert gap.reason == "absent"
        assert gap.missed is not None
        assert 1_000 * gap.missed["workshop.noticed"] > bound / 2
        await emitting
        await eventually(lambda: len(at.state.heard) == 200)
        assert at.state.heard == [f"{number} {KILOBYTE}" for number in numbers(200)]


async def test_acks_on_a_1_s_timer_with_a_100_kb_buffer_throttle_throughput() -> None:
    """Ack on a 1 s timer with a 100 kB buffer throttles throughput (SignalR, read from its code)."""
    limits = Limits(replay_elements=500, replay_bytes=3_000_000)
    with FakeClock() as clock:  # which nobody moves: there is no time that anything could wait for
        async with pair(make_broker(limits), limits=limits) as at:
            recorder = Recorder()
            await recorder.record(at.bus, Workshop.noticed)

            async def emit_there() -> None:
                for number in numbers(5_000):
                    await at.bus.emit(Workshop.said, number)
                    if int(number) % 100 == 0:
                        await asyncio.sleep(0)

            async def emit_here() -> None:
                for number in numbers(5_000):
                    await at.broker.emit(Workshop.noticed, number)
                    if int(number) % 100 == 0:
                        await asyncio.sleep(0)

            began = clock.elapsed
            # One after the other: an event in the other direction would bring acknowledgements.
            for emit in (emit_there, emit_here):
                emitting = asyncio.create_task(emit())
                await clock.settle()
                assert emitting.done()
            assert at.state.heard == [each.payload for each in recorder.events] == numbers(5_000)

            data = bytes(20_000_000)
            echo = asyncio.create_task(at.bus.call(Workshop.echo, data))
            await clock.settle()
            assert echo.done()
            assert await echo == data
            assert clock.elapsed == began


async def test_did_i_miss_messages_cannot_be_answered() -> None:
    """ "Did I miss messages?" cannot be answered (centrifugal/centrifugo#165)."""
    with FakeClock() as clock:
        async with pair(make_broker()) as at:
            recorder = Recorder()
            await recorder.record(at.bus, Workshop.noticed, Ionbus.discontinuity)
            at.wire.to_client.stop()
            for number in numbers(3):
                await at.broker.emit(Workshop.noticed, number)
            at.cut()
            await clock.drive(at.reconnected())
            await clock.settle()
            [resumed] = openings(recorder)
            assert (resumed.outcome, resumed.missed) == ("resumed", None)  # no
            assert [each.payload for each in recorder.events] == numbers(3)
            await clock.advance(1)  # they are acknowledged

            at.listener.is_refusing = True
            at.cut()
            for number in numbers(4):
                await at.broker.emit(Workshop.noticed, number)
            await clock.advance(90)  # it is away for too long
            at.listener.is_refusing = False
            await clock.drive(at.reconnected())
            gap = await recorder.wait_for(Ionbus.discontinuity)
            assert gap == Discontinuity(
                reason="absent", missed={"workshop.noticed": 4}, lost_events=0, lost_calls=0
            )
            lost = recorder.states[-1]
            assert (lost.outcome, lost.code, lost.missed) == ("lost", "absent", gap.missed)  # yes: these


async def test_the_server_was_replaced_unknown_token_please_reload() -> None:
    """The server was replaced: unknown token, "please reload" (microsoft/vscode PR#317774)."""
    served: list[Endpoint] = []

    def url() -> str:
        return served[-1].url

    def token() -> str | None:
        return served[-1].token

    first, second = make_broker(), make_broker()
    async with first.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,):
        served.append(endpoint)
        away = connect(url, token=token, limits=BRISK)
        bus = await away.__aenter__()
    try:
        recorder = Recorder()
        recorder.record(bus, Workshop.noticed, Ionbus.discontinuity)
        waiting = asyncio.create_task(bus.call(Workshop.report, 2))
        async with second.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,):
            assert endpoint.token != served[0].token
            served.append(endpoint)
            bus.reconnect()
            assert await waiting == "done"
            assert await recorder.wait_for_all(
                [Ionbus.discontinuity, Workshop.noticed, Workshop.noticed], in_order=True
            )
            assert recorder.events[0].payload == Discontinuity(
                reason="new_epoch", missed=None, lost_events=0, lost_calls=0
            )
            await bus.close()
    finally:
        await away.__aexit__(None, None, None)


async def test_the_client_gives_up_after_four_tries() -> None:
    """The client gives up after four tries (SignalR's default)."""
    allowed = {"ada"}
    with FakeClock() as clock:
        async with pair(make_broker(), authenticate=lambda token: token in allowed, token="ada") as at:
            at.listener.is_refusing = True
            at.cut()
            counts: list[int] = []
            for _ in range(360):  # an hour
                before = at.listener.attempts
                await clock.advance(10.001)
                counts.append(at.listener.attempts - before)
            assert min(counts) >= 1  # it waits for 10 s at most
            assert sum(counts) > 400
            assert len(set(counts)) > 1  # at random: so many clients do not come all at once
            assert state_of(at) == ConnectionState.RECONNECTING
            at.listener.is_refusing = False
            await clock.advance(10.001)
            assert await works(at)

            allowed.clear()
            at.cut()
            await clock.advance(10.001)
            assert state_of(at) == ConnectionState.CLOSED  # refused for good
            attempts = at.listener.attempts
            with pytest.raises(Unauthenticated):
                await works(at)
            await clock.advance(3_600)
            assert at.listener.attempts == attempts


async def test_a_slow_reader_makes_the_servers_memory_grow() -> None:
    """A slow reader makes the server's memory grow (Flask-SocketIO#754, socket.io#2427)."""
    bound = 100_000
    broker = make_broker(Limits(max_queued_bytes=bound, replay_bytes=bound))
    with FakeClock() as clock:
        async with pair(broker, limits=Limits(credit_bytes=bound // 2)) as at:
            slow = at.client
            recorder = Recorder()
            neighbour = await at.connect()
            await recorder.record(neighbour.bus, Workshop.noticed)
            glimpsed: list[str] = []
            await slow.bus.on(Workshop.glimpsed, glimpsed.append).confirmed()
            await slow.bus.on(Workshop.noticed, lambda _: None).confirmed()
            slow.wire.to_client.hold()
            for number in range(2_000):
                await broker.emit(Workshop.glimpsed, f"{number}{KILOBYTE}")
                assert broker.held_bytes < 3 * bound
            slow.wire.to_client.release()
            await clock.settle()
            assert 0 < len(glimpsed) < 2_000
            assert broker.dropped == {"workshop.glimpsed": {"behind": 2_000 - len(glimpsed)}}

            slow.wire.to_client.hold()
            session = next(each for each in broker.sessions if each.id == slow_id(at))
            for number in range(2_000):
                await clock.drive(broker.emit(Workshop.noticed, f"{number}{KILOBYTE}"))
                assert broker.held_bytes < 3 * bound
            assert session not in broker.sessions
            with pytest.raises(SlowConsumer, match=f"more than {bound} bytes"):
                await session.emit(Workshop.noticed, "")
            assert [each.payload for each in recorder.events] == [
                f"{number}{KILOBYTE}" for number in range(2_000)
            ]
            assert broker.dropped["workshop.noticed"]["slow_consumer"] > 50


def slow_id(at: Pair[Bench]) -> str:
    return at.broker.sessions[0].id


async def test_only_the_newest_value_matters_yet_thousands_queue() -> None:
    """Only the newest value matters, yet thousands queue (dotnet/aspnetcore#20654, #43093)."""
    async with pair(make_broker(), limits=BRISK) as at:
        recorder = Recorder()
        await recorder.record(at.bus, Workshop.progress)
        at.listener.is_refusing = True
        at.cut()
        held: list[int] = []
        for percent in range(5_000):
            for job in ("a", "b"):
                await at.broker.emit(Workshop.progress, Progress(job=job, percent=percent))
            held.append(at.broker.held_bytes)
        assert max(held) < 1_000
        at.listener.is_refusing = False
        await at.reconnected()
        assert await works(at)
        assert [each.payload for each in recorder.events] == [
            Progress(job=job, percent=4_999) for job in ("a", "b")
        ]
        assert at.broker.dropped == {"workshop.progress": {"superseded": 2 * 4_999}}


async def test_too_small_a_limit_before_authentication_refuses_a_token_and_too_large_a_one_after_it_exhausts_memory() -> (
    None
):
    """Too small a limit before authentication refuses a token; too large after it exhausts memory (wslink#157)."""
    long = "t" * 15_000  # a token with signed claims may be as long
    broker = make_broker()
    async with broker.serve("ws://127.0.0.1:0", authenticate=lambda token: token == long) as (endpoint,):
        async with connect(endpoint.url, token=long) as bus:
            assert await bus.call(Workshop.echo, bytes(1_000_000)) == bytes(1_000_000)
        listener = MemoryListener(broker.accept_local())
        stranger, known = Raw(), await greeted(listener)
        stranger.channel = (await listener.open(stranger)).channel
        stranger.send(1, hello(token="t" * 17_000))
        assert known.channel is not None
        known.channel.max_frame_bytes = 1 << 20
        known.send(0, 1, 0, [1, "workshop.said", bytes(1 << 20)])
        for raw in (stranger, known):
            await eventually(lambda raw=raw: raw.end)  # type: ignore[misc]
            assert raw.end is not None
            assert raw.end[1] == "too_large"
        assert broker.state.heard == []
