"""Channels in memory, and how they fail on command (docs/protocol.md, section 2.4)."""

import asyncio

import pytest

from channels.conftest import Accepted, Recorder
from ionbus.channels.base import Channel
from ionbus.channels.memory import MemoryListener, MemoryWire
from ionbus.errors import ConnectionLost

Ends = tuple[Recorder, Channel, Recorder, Channel, MemoryWire]


async def turn() -> None:
    """Let the loop run once; memory channels need no more."""
    await asyncio.sleep(0)


def can_send(channel: Channel) -> bool:
    """Ask anew: a type checker takes it that a property keeps the value which was asserted before."""
    return channel.is_writable


@pytest.fixture
async def ends(recorder: type[Recorder], accepted: type[Accepted]) -> Ends:
    broker = accepted()
    client = recorder()
    listener = MemoryListener(broker, token="t")
    opened = await listener.open(client)
    assert opened.token == "t"
    assert listener.wire is not None
    return client, opened.channel, broker.receivers[0], broker.channels[0], listener.wire


async def test_frames_arrive_in_order_in_both_directions(ends: Ends) -> None:
    client, to_broker, broker, to_client, _ = ends
    to_broker.send(b"1")
    to_broker.send(b"2")
    to_client.send(b"3")
    assert broker.frames == []  # never within send
    await turn()
    assert (broker.frames, client.frames) == ([b"1", b"2"], [b"3"])


async def test_close_comes_after_what_was_sent_and_says_over(ends: Ends) -> None:
    client, to_broker, broker, to_client, _ = ends
    to_broker.send(b"1")
    to_broker.close(over=True, code="closed", message="bye")
    to_broker.send(b"2")
    to_client.send(b"3")
    await turn()
    assert broker.frames == [b"1"]
    assert broker.ends == [(True, "closed", "bye")]
    assert (client.frames, client.ends) == ([], [])


async def test_delay(ends: Ends) -> None:
    _, to_broker, broker, _, wire = ends
    wire.to_broker.hold()
    for frame in (b"1", b"2", b"3"):
        to_broker.send(frame)
    await turn()
    assert broker.frames == []
    assert len(wire.to_broker) == 3
    wire.to_broker.release(2)
    assert broker.frames == [b"1", b"2"]
    wire.to_broker.release()
    to_broker.send(b"4")
    await turn()
    assert broker.frames == [b"1", b"2", b"3", b"4"]


async def test_cut_loses_what_is_under_way_and_tells_both(ends: Ends) -> None:
    client, to_broker, broker, to_client, wire = ends
    to_broker.send(b"1")
    wire.cut()
    to_broker.send(b"2")
    to_client.close()
    await turn()
    assert broker.frames == []
    assert [end[:2] for end in client.ends + broker.ends] == [(False, "connection_lost")] * 2


async def test_duplicate_and_truncate(ends: Ends) -> None:
    _, to_broker, broker, _, wire = ends
    wire.to_broker.duplicate()
    to_broker.send(b"abc")
    await turn()
    wire.to_broker.truncate(2)
    to_broker.send(b"def")
    to_broker.send(b"ghi")
    await turn()
    assert broker.frames == [b"abc", b"abc", b"de", b"ghi"]


async def test_half_open_is_silent(ends: Ends) -> None:
    client, to_broker, broker, to_client, wire = ends
    wire.to_broker.stop()
    to_broker.send(b"1")
    to_client.send(b"2")
    to_broker.close()
    await turn()
    assert (broker.frames, broker.ends) == ([], [])
    wire.half_open()
    assert client.ends == []


async def test_too_large(ends: Ends) -> None:
    client, to_broker, broker, to_client, _ = ends
    to_client.max_frame_bytes = 4
    to_broker.send(b"1234")
    to_broker.send(b"12345")
    to_broker.send(b"1")
    await turn()
    assert broker.frames == [b"1234"]
    assert broker.ends == [(False, "too_large", "a frame of 5 bytes; at most 4 are taken")]
    await turn()
    assert client.ends[0][:2] == (False, "too_large")


async def test_back_pressure(ends: Ends) -> None:
    client, to_broker, _, to_client, wire = ends
    to_client.max_frame_bytes = 1_000_000
    wire.to_broker.hold()
    assert can_send(to_broker)
    to_broker.send(bytes(70_000))
    assert not can_send(to_broker)
    wire.to_broker.release()
    assert can_send(to_broker)
    assert client.writables == 1


async def test_each_attempt_is_a_new_wire(accepted: type[Accepted], recorder: type[Recorder]) -> None:
    listener = MemoryListener(accepted())
    await listener.open(recorder())
    first = listener.wire
    listener.is_refusing = True
    with pytest.raises(ConnectionLost):
        await listener.open(recorder())
    listener.is_refusing = False
    await listener.open(recorder())
    assert listener.wire is not first
    assert listener.attempts == 3
