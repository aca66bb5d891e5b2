"""Many channels on one pipe, without a pipe (docs/protocol.md, section 2.2)."""

import msgpack
import pytest
from hypothesis import given, strategies as st

from channels.conftest import Accepted, Recorder
from ionbus.channels import multiplex
from ionbus.channels.base import PeerIdentity
from ionbus.channels.multiplex import Multiplex
from ionbus.generated.protocol import Record as Kind
from ionbus.wire.records import MalformedRecord, RecordReader, encode_record

WINDOW = {"role": "window", "web_contents": 3, "frame": 7, "origin": "file://"}


class Pipe:
    """What was written, as records; behind on command."""

    def __init__(self) -> None:
        self.is_writable = True
        self.writes: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        self.writes.append(chunk)

    def records(self) -> list[tuple[int, int, object]]:
        reader = RecordReader()
        return [
            (
                record.kind,
                record.channel,
                record.body if record.kind is Kind.DATA else msgpack.unpackb(record.body),
            )
            for chunk in self.writes
            for record in reader.feed(chunk)
        ]


class Broker:
    """A multiplexer that accepts, on a pipe that is none."""

    def __init__(self, accept: Accepted) -> None:
        self.pipe = Pipe()
        self.accepted = accept
        self.multiplex = Multiplex(accept)
        self.multiplex.use(self.pipe)

    def record(self, kind: Kind, channel: int, body: object = b"") -> None:
        if kind is Kind.DATA:
            assert isinstance(body, bytes)
            packed = body
        else:
            packed = msgpack.packb(body)
        self.multiplex.feed(encode_record(kind, channel, packed))

    def open(self, *numbers: int) -> None:
        for number in numbers:
            self.record(Kind.OPEN, number, {"role": "client"})


@pytest.fixture
def broker(accepted: type[Accepted]) -> Broker:
    return Broker(accepted())


def test_open_says_who_it_is(broker: Broker) -> None:
    broker.record(Kind.OPEN, 1, {"role": "main", "unknown": [1]})
    broker.record(Kind.OPEN, 2, WINDOW)
    assert broker.accepted.identities == [
        PeerIdentity("main"),
        PeerIdentity("window", "file://", {"web_contents": 3, "frame": 7}),
    ]
    channel = broker.accepted.channels[0]
    assert (channel.kind, channel.silence_is_fatal, channel.is_writable) == ("stdio", False, True)


@pytest.mark.parametrize(
    "identity",
    [
        {}, [], None, "main", 7, {"role": "root"}, {"role": ["main"]}, {"role": b"main"}, {1: "main"}, {b"role": "main"},
        {"role": "window"}, {**WINDOW, "frame": -1}, {**WINDOW, "frame": True}, {**WINDOW, "web_contents": "3"},
        {**WINDOW, "origin": 5}, {**WINDOW, "origin": None}, {"role": "main", "pad": "x" * 20_000},
        {"role": "main", "origin": {}}, {"role": "client", "frame": 1.0},
    ],
)  # fmt: skip
def test_wrong_identity_is_a_violation_of_that_channel_alone(broker: Broker, identity: object) -> None:
    broker.open(1)
    broker.record(Kind.OPEN, 2, identity)
    broker.record(Kind.DATA, 2, b"ignored: it was closed")
    broker.record(Kind.DATA, 1, b"fine")
    assert len(broker.accepted.channels) == 1
    assert broker.accepted.receivers[0].frames == [b"fine"]
    [(kind, number, body)] = broker.pipe.records()
    assert isinstance(body, list)
    assert (kind, number, body[:2]) == (Kind.CLOSE, 2, [False, "protocol_error"])


@given(body=st.binary(max_size=60))
def test_any_bytes_as_identity(body: bytes) -> None:
    pipe = Pipe()
    broker = Multiplex(lambda channel, identity: pytest.fail(str(identity)))
    broker.use(pipe)
    if b"role" not in body:
        broker.feed(encode_record(Kind.OPEN, 1, body))
        assert pipe.records()[0][:2] == (Kind.CLOSE, 1)


def test_frames_go_to_their_channel(broker: Broker) -> None:
    broker.open(1, 2, 5)
    broker.multiplex.feed(
        b"".join(encode_record(Kind.DATA, number, b"to %d" % number) for number in (2, 5, 1, 2))
    )
    assert [receiver.frames for receiver in broker.accepted.receivers] == [
        [b"to 1"],
        [b"to 2", b"to 2"],
        [b"to 5"],
    ]
    broker.accepted.channels[1].send(b"from 2")
    assert broker.pipe.records() == [(Kind.DATA, 2, b"from 2")]


def test_close_in_both_directions(broker: Broker) -> None:
    broker.open(1, 2)
    one, two = broker.accepted.receivers
    broker.record(Kind.CLOSE, 1, [True, "closed", "navigation"])
    broker.record(Kind.DATA, 1, b"late")
    broker.record(Kind.CLOSE, 1, [True, "closed", "again"])
    assert one.ends == [(True, "closed", "navigation")]
    assert one.frames == []
    channel = broker.accepted.channels[1]
    channel.send(b"last")
    channel.close(over=True, code="slow_consumer", message="too slow")
    channel.send(b"not any more")
    channel.close()
    broker.record(Kind.DATA, 2, b"crossed")
    broker.accepted.channels[0].send(b"it is gone")
    assert broker.pipe.records() == [
        (Kind.DATA, 2, b"last"),
        (Kind.CLOSE, 2, [True, "slow_consumer", "too slow"]),
    ]
    assert (two.frames, two.ends) == ([], [])


def test_a_close_record_is_small_whatever_it_repeats(broker: Broker) -> None:
    broker.open(1)
    broker.accepted.channels[0].close(over=False, code="c" * 100_000, message="ü" * 2_000_000)
    assert broker.pipe.records() == [(Kind.CLOSE, 1, [False, "c" * 64, "ü" * 900])]


@pytest.mark.parametrize(
    "body", [{}, [], [True], ["yes", "closed", ""], [True, 1, ""], [False, "x", None], 1]
)
def test_a_malformed_close_closes_all_the_same(broker: Broker, body: object) -> None:
    broker.open(1)
    broker.record(Kind.CLOSE, 1, body)
    assert broker.accepted.receivers[0].ends[0][:2] == (False, "protocol_error")


def test_data_for_a_channel_that_never_was(broker: Broker) -> None:
    broker.open(1)
    broker.record(Kind.DATA, 9, b"?")
    broker.record(Kind.DATA, 0, b"?")
    broker.open(9)
    broker.record(Kind.DATA, 9, b"now")
    assert [record[1] for record in broker.pipe.records()] == [9, 0]
    assert broker.accepted.receivers[1].frames == [b"now"]
    assert broker.accepted.receivers[0].ends == []


def test_an_id_is_not_used_twice(broker: Broker) -> None:
    broker.open(1, 2)
    broker.open(2)
    broker.record(Kind.CLOSE, 1, [False, "closed", ""])
    broker.open(1)
    broker.open(0)
    assert len(broker.accepted.channels) == 2
    assert broker.accepted.receivers[1].ends[0][:2] == (False, "protocol_error")
    assert [record[:2] for record in broker.pipe.records()] == [
        (Kind.CLOSE, 2),
        (Kind.CLOSE, 1),
        (Kind.CLOSE, 0),
    ]


def test_too_large_costs_that_channel_alone(broker: Broker) -> None:
    broker.open(1, 2)
    broker.record(Kind.DATA, 1, bytes(16_384))
    broker.record(Kind.DATA, 1, bytes(16_385))
    broker.record(Kind.DATA, 1, b"not taken")
    broker.accepted.channels[1].max_frame_bytes = 1_048_576
    broker.record(Kind.DATA, 2, bytes(1_048_576))
    one, two = broker.accepted.receivers
    assert [len(frame) for frame in one.frames] == [16_384]
    assert one.ends[0][:2] == (False, "too_large")
    assert [len(frame) for frame in two.frames] == [1_048_576]
    assert broker.pipe.records()[0][:2] == (Kind.CLOSE, 1)


def test_garbage_ends_the_pipe(broker: Broker) -> None:
    broker.open(1)
    with pytest.raises(MalformedRecord) as caught:
        broker.multiplex.feed(b"Traceback (most recent call last):\n")
    assert caught.value.found.startswith(b"Traceback")
    broker.multiplex.end("over")
    assert broker.accepted.receivers[0].ends == [(False, "connection_lost", "over")]
    broker.accepted.channels[0].send(b"nothing happens")
    assert broker.pipe.writes == []


def test_answers_to_one_read_leave_in_one_write(accepted: type[Accepted]) -> None:
    broker = Broker(accepted(echo=True))
    broker.multiplex.feed(
        encode_record(Kind.OPEN, 1, msgpack.packb({"role": "main"}))
        + b"".join(encode_record(Kind.DATA, 1, b"%d" % number) for number in range(10))
    )
    assert len(broker.pipe.writes) == 1
    assert [body for _, _, body in broker.pipe.records()] == [b"%d" % number for number in range(10)]


def test_what_answers_one_read_is_no_more_than_the_pipe_takes(broker: Broker) -> None:
    broker.open(1)
    [channel], [receiver] = broker.accepted.channels, broker.accepted.receivers
    channel.max_frame_bytes = 1_048_576
    sent: list[bytes] = []

    def send_all(_: bytes) -> None:
        while channel.is_writable and len(sent) < 400:
            channel.send(bytes(50_000))
            sent.append(b"")

    receiver.answer = send_all
    broker.pipe.is_writable = False
    broker.record(Kind.DATA, 1, b"everything")
    assert len(sent) == 2
    assert receiver.writables == 0
    assert receiver.ends == []
    broker.pipe.is_writable = True
    broker.multiplex.pump()
    assert receiver.writables == 1
    assert channel.is_writable


def test_a_writer_takes_turns_while_the_pipe_is_behind(broker: Broker) -> None:
    broker.open(1, 2, 3)
    one, two, three = broker.accepted.channels
    broker.pipe.is_writable = False
    for number in range(3):
        one.send(b"one %d" % number)
    assert not one.is_writable
    assert two.is_writable
    two.send(b"two 0")
    three.send(b"three 0")
    three.close()
    assert broker.pipe.writes == []
    broker.pipe.is_writable = True
    broker.multiplex.pump()
    assert [body for _, _, body in broker.pipe.records()] == [
        b"one 0", b"two 0", b"three 0", b"one 1", [False, "closed", ""], b"one 2",
    ]  # fmt: skip
    assert [receiver.writables for receiver in broker.accepted.receivers] == [1, 1, 0]
    assert one.is_writable


def test_one_busy_channel_does_not_keep_another_waiting(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that always has more gets one frame in, then it is the other's turn."""
    broker.open(1, 2)
    busy, calm = broker.accepted.channels
    busy.max_frame_bytes = 1_048_576

    def send_more() -> None:
        for _ in range(3):
            busy.send(bytes(100_000))

    monkeypatch.setattr(broker.accepted.receivers[0], "writable", send_more)
    broker.pipe.is_writable = False
    busy.send(bytes(100_000))
    busy.send(bytes(100_000))
    calm.send(b"small")

    def write_one(chunk: bytes) -> None:
        broker.pipe.writes.append(chunk)
        broker.pipe.is_writable = False  # behind again after each write

    monkeypatch.setattr(broker.pipe, "write", write_one)
    for _ in range(2):
        broker.pipe.is_writable = True
        broker.multiplex.pump()
    assert (Kind.DATA, 2, b"small") in broker.pipe.records()


def test_what_nobody_reads_is_bounded(broker: Broker) -> None:
    broker.open(1, 2)
    broker.pipe.is_writable = False
    for _ in range(17):
        broker.accepted.channels[0].send(bytes(1_048_576))
    assert broker.accepted.receivers[0].ends[0][:2] == (False, "connection_lost")
    assert broker.accepted.receivers[1].ends == []


def test_violations_of_a_parent_that_does_not_read_are_not_all_answered(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiplex, "MAX_RING", 10)
    broker.pipe.is_writable = False
    for number in range(100):
        broker.record(Kind.DATA, 100 + number, b"never opened")
    broker.pipe.is_writable = True
    broker.multiplex.pump()
    assert len(broker.pipe.records()) == 11


def test_the_parents_end(recorder: type[Recorder]) -> None:
    pipe, receiver = Pipe(), recorder()
    parent = Multiplex()
    channel = parent.open(receiver, {"role": "client"})
    channel.send(b"hello")
    parent.use(pipe)
    assert pipe.records() == [(Kind.OPEN, 1, {"role": "client"}), (Kind.DATA, 1, b"hello")]
    parent.feed(encode_record(Kind.DATA, 1, b"back"))
    assert receiver.frames == [b"back"]
    parent.feed(encode_record(Kind.OPEN, 1, msgpack.packb({"role": "main"})))  # only the parent opens
    assert receiver.ends[0][:2] == (False, "protocol_error")
