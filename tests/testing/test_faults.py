"""Channels on which things go wrong: as a seed says, or on command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from channels.conftest import Accepted, Recorder as Ear
from ionbus.channels.base import Channel, PeerIdentity
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.testing import FakeClock, Faults, FaultyChannel, faulty, faulty_accept
from ionbus.testing.faults import Fault, Settings

FRAMES = [bytes([65 + number]) * 8 for number in range(20)]


@dataclass
class Ends:
    """A faulty client's end, and the sound broker's end that it is connected to."""

    near: Channel
    ear: Ear
    far: Channel
    far_ear: Ear


async def connect(faults: Faults) -> Ends:
    broker, ear = Accepted(), Ear()
    opened = await faulty(MemoryListener(broker).open, faults)(ear)
    return Ends(opened.channel, ear, broker.channels[0], broker.receivers[0])


@pytest.fixture
async def clock() -> AsyncIterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


def can_send(channel: Channel) -> bool:
    """Ask anew: a type checker takes it that a property keeps the value which was asserted before."""
    return channel.is_writable


async def arrivals(clock: FakeClock, faults: Faults) -> tuple[list[bytes], list[bytes], list[str]]:
    """What arrives of FRAMES in both directions, and what was injected."""
    ends = await connect(faults)
    for frame in FRAMES:
        ends.near.send(frame)
        ends.far.send(frame)
        await clock.advance(1)
    return ends.far_ear.frames, ends.ear.frames, [str(each) for each in faults.injected]


async def test_the_same_seed_and_frames_have_the_same_faults(clock: FakeClock) -> None:
    def faults(seed: int) -> Faults:
        return Faults(seed=seed, jitter=0.4, duplicate=0.1, truncate=0.1, flip=0.1, stall=0.1)

    first, again, other = [await arrivals(clock, faults(seed)) for seed in (7, 7, 8)]
    assert first == again
    assert first != other
    assert first[2]


async def test_a_direction_does_not_depend_on_the_other(clock: FakeClock) -> None:
    to_broker, to_client, _ = await arrivals(clock, Faults(seed=7, flip=0.5))
    faults = Faults(seed=7, flip=0.5)
    ends = await connect(faults)
    for frame in FRAMES:
        ends.near.send(frame)
    await clock.settle()
    assert ends.far_ear.frames == to_broker
    for frame in FRAMES:
        ends.far.send(frame)
    await clock.settle()
    assert ends.ear.frames == to_client


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        ("duplicate", [b"abcdefgh", b"abcdefgh"]),
        ("truncate", [b"a"]),
        ("flip", [b"`bcdefgh"]),
        ("drop", []),
        ("cut", [b"a"]),
        ("stall", []),
        ("half_open", []),
    ],
)
async def test_each_fault(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, fault: Fault, arrived: list[bytes]
) -> None:
    faults = Faults(seed=0, directions=("to_broker",))
    certain: Settings = {fault: 1.0}  # type: ignore[misc] # each is a key
    faults.set(**certain)
    monkeypatch.setattr("ionbus.testing.dice.Dice.random", lambda _: 0.0)
    ends = await connect(faults)
    ends.near.send(b"abcdefgh")
    await clock.settle()
    assert ends.far_ear.frames == arrived
    ends_now = {"drop", "cut"}
    lost = [(False, "connection_lost", "cut by a fault")] if fault in ends_now else []
    assert ends.ear.ends == ends.far_ear.ends == lost
    assert faults.counts == {fault: 1}


async def test_delay_and_jitter_keep_the_order(clock: FakeClock) -> None:
    ends = await connect(Faults(seed=1, delay=0.5, jitter=0.5))
    for frame in FRAMES:
        ends.near.send(frame)
    ends.near.close(over=True, code="closed", message="bye")
    await clock.advance(0.49)
    assert ends.far_ear.frames == []
    await clock.advance(0.51)
    assert ends.far_ear.frames == FRAMES
    assert ends.far_ear.ends == [(True, "closed", "bye")]


async def test_a_late_frame_is_measured_when_it_arrives(clock: FakeClock) -> None:
    ends = await connect(Faults(seed=1, delay=1.0))
    large = bytes(Limits().max_greeting_bytes + 1)
    ends.far.send(b"WELCOME")
    ends.far.send(large)
    await clock.settle()
    ends.near.max_frame_bytes = len(large)  # as a link does on WELCOME
    await clock.advance(1)
    assert ends.ear.frames == [b"WELCOME", large]
    ends.near.max_frame_bytes = 10
    ends.far.send(bytes(11))
    await clock.advance(2)
    assert ends.ear.ends[0][1] == ends.far_ear.ends[0][1] == "too_large"


async def test_a_stall_ends_by_itself_or_on_command(clock: FakeClock) -> None:
    faults = Faults(seed=1)
    ends = await connect(faults)
    faults.stall("to_client")
    ends.near.send(b"1")
    ends.far.send(b"2")
    await clock.advance(100)
    assert (ends.far_ear.frames, ends.ear.frames) == ([b"1"], [])
    faults.resume()
    assert ends.ear.frames == [b"2"]
    faults.set(stall=1.0, stall_seconds=3.0)
    ends.near.send(b"3")
    ends.near.send(b"4")
    await clock.advance(2.9)
    assert ends.far_ear.frames == [b"1"]
    await clock.advance(0.1)
    assert ends.far_ear.frames == [b"1", b"3"]
    await clock.advance(3)
    assert ends.far_ear.frames == [b"1", b"3", b"4"]


async def test_a_stalled_channel_is_not_writable(clock: FakeClock) -> None:
    faults = Faults(seed=1)
    ends = await connect(faults)
    ends.far.max_frame_bytes = 100_000
    faults.stall("to_broker")
    ends.near.send(bytes(70_000))
    assert not can_send(ends.near)
    faults.resume("to_broker")
    await clock.settle()
    assert can_send(ends.near)
    assert ends.ear.writables > 0


async def test_half_open_tells_nobody_and_is_closed_in_the_end(clock: FakeClock) -> None:
    faults = Faults(seed=1)
    ends = await connect(faults)
    faults.half_open()
    ends.near.send(b"1")
    ends.far.send(b"2")
    ends.near.close()
    await clock.settle()
    assert (ends.far_ear.frames, ends.ear.frames, ends.far_ear.ends) == ([], [], [])
    assert len(faults.channels) == 1
    faults.close()
    await clock.settle()
    assert ends.far_ear.ends == [(False, "connection_lost", "abandoned")]
    assert faults.channels == []


async def test_a_cut_loses_what_is_under_way(clock: FakeClock) -> None:
    faults = Faults(seed=1, delay=1.0)
    ends = await connect(faults)
    ends.near.send(b"1")
    ends.far.send(b"2")
    await clock.settle()
    faults.cut()
    ends.near.send(b"3")
    await clock.advance(5)
    assert (ends.far_ear.frames, ends.ear.frames) == ([], [])
    assert len(ends.ear.ends) == len(ends.far_ear.ends) == 1
    assert faults.channels == []


async def test_the_brokers_end_may_be_the_faulty_one(clock: FakeClock) -> None:
    faults = Faults(seed=1, directions=("to_client",), duplicate=1.0)
    broker, ear = Accepted(echo=True), Ear()
    identity = PeerIdentity("window")
    opened = await MemoryListener(faulty_accept(broker, faults), identity=identity).open(ear)
    opened.channel.send(b"1")
    await clock.settle()
    assert broker.receivers[0].frames == [b"1"]
    assert ear.frames == [b"1", b"1"]
    assert broker.identities == [identity]
    assert isinstance(broker.channels[0], FaultyChannel)
    opened.channel.close(over=True)
    await clock.settle()
    assert broker.receivers[0].ends == [(True, "closed", "")]


async def test_some_frames_pass_first(clock: FakeClock) -> None:
    faults = Faults(seed=1, drop=1.0, after=3)
    ends = await connect(faults)
    for frame in FRAMES:
        ends.near.send(frame)
    await clock.settle()
    assert ends.far_ear.frames == FRAMES[:3]
    assert [str(each) for each in faults.injected] == ["channel 1 to_broker frame 4: drop"]


async def test_a_report_repeats_the_run(clock: FakeClock) -> None:
    faults = Faults(seed=12, jitter=0.1, drop=0.5)
    assert repr(faults) == "Faults(seed=12, jitter=0.1, drop=0.5)"
    assert "injected: nothing" in faults.report()
    ends = await connect(faults)
    for frame in FRAMES:
        ends.near.send(frame)
    await clock.advance(1)
    assert faults.report().splitlines()[1:3] == ["injected: 1 drop", "the last of 1:"]
    assert Faults().seed != Faults().seed


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="delay is at least 0"):
        Faults(delay=-1)
    with pytest.raises(ValueError, match=r"at most 1 together, not 1\.2"):
        Faults(drop=0.6, cut=0.6)
    with pytest.raises(ValueError, match="a direction is 'to_broker' or 'to_client', not 'up'"):
        Faults(directions=("up",))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no 'lose'"):
        Faults(lose=1)  # type: ignore[call-arg]
    faults = Faults(drop=0.6)
    with pytest.raises(ValueError, match="together"):
        faults.set(cut=0.6)
    assert faults.settings == {"drop": 0.6}


async def test_an_opener_that_fails_leaves_nothing() -> None:
    faults = Faults()
    listener = MemoryListener(Accepted())
    listener.is_refusing = True
    with pytest.raises(ConnectionError):
        await faulty(listener.open, faults)(Ear())
    await asyncio.sleep(0)
    assert faults.channels == []
