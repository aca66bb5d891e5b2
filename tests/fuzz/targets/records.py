"""The pipe: any bytes, cut anywhere, as records; and what is in them to the multiplexer that hands frames to a broker."""

from __future__ import annotations

import json
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.grammar import pack
from fuzz.scripts import check
from fuzz.targets.payload import VECTORS
from ionbus.channels.base import Channel, PeerIdentity
from ionbus.channels.multiplex import Multiplex
from ionbus.generated.protocol import Record
from ionbus.wire.records import HEADER_BYTES, MAX_BODY_BYTES, MalformedRecord, RecordReader, encode_record

IDENTITIES: Final[tuple[Any, ...]] = (
    {"role": "main"},
    {"role": "client"},
    {"role": "window", "web_contents": 1, "frame": 2, "origin": "file://"},
    {"role": "window"},
    {"role": ["main"]},
)


class Receiver:
    """Who listens to a channel: it is told of its end exactly once."""

    def __init__(self, channel: Channel, identity: PeerIdentity, closes: bool) -> None:
        self.channel = channel
        self.identity = identity
        self.ends = 0
        self.frames = 0
        self._closes = closes

    def frame_received(self, frame: bytes) -> None:
        check(not self.ends, "a frame behind the end")
        check(len(frame) <= self.channel.max_frame_bytes, "a frame above the limit")
        self.frames += 1
        self.channel.send(frame)
        if self._closes and self.frames == 2:
            self.channel.close(False, "protocol_error", "enough")
            self.ends += 1

    def writable(self) -> None: ...

    def closed(self, over: bool, code: str, message: str) -> None:
        check(not self.ends, "told of its end twice")
        self.ends += 1


class Pipe:
    """Where records go: read again as the other end reads them."""

    def __init__(self) -> None:
        self.is_writable = True
        self.reader = RecordReader()
        self.records = 0

    def write(self, chunk: bytes) -> None:
        self.records += len(self.reader.feed(chunk))


def seeds() -> list[bytes]:
    """Streams of the vectors."""
    return [
        bytes.fromhex(row["bytes"])
        for row in json.loads((VECTORS / "records.json").read_text())
        if len(row["bytes"]) < 1_000
    ]


def stream(choices: Choices) -> bytes:
    """Records one after the other, most of them right."""
    parts: list[bytes] = []
    last = 0
    while not choices.is_over and len(parts) < 20:
        kind = choices.pick((Record.DATA, Record.DATA, Record.OPEN, Record.CLOSE))
        channel = choices.below(last + 1) if kind != Record.OPEN else last + 1
        if kind == Record.OPEN:
            last += 1
            body = pack(choices.pick(IDENTITIES)) if not choices.one_in(4) else pack(choices.anything())
        elif kind == Record.CLOSE:
            body = (
                pack([choices.one_in(2), choices.text(), choices.text()])
                if not choices.one_in(4)
                else pack(choices.anything())
            )
        else:
            body = (
                choices.blob(choices.below(30))
                if not choices.one_in(20)
                else bytes(choices.pick((16_384, 16_385)))
            )
        if choices.one_in(12):
            channel = choices.number(last) & 0xFFFFFFFF
        record = bytearray(encode_record(kind, channel, body))
        if choices.one_in(16):
            record[choices.below(HEADER_BYTES)] = choices.byte()
        if choices.one_in(40):
            del record[choices.below(len(record)) :]
        parts.append(bytes(record))
    return b"".join(parts)


def run(data: bytes) -> Outcome:
    """The first byte says whether the rest is a stream or decisions that make one, and how it is cut."""
    choices = Choices(data[:1])
    how = choices.byte()
    whole = data[1:] if how & 1 else stream(Choices(data[1:]))
    sizes = (1, 3, 8, 9, 50, 1_000, 65_536, 1 << 20) if len(whole) < 200 else (50, 99, 1_000, 1 << 20)
    size = sizes[(how >> 1) % len(sizes)]
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    expected = _records([whole])
    found = _records(chunks)
    check(found[0] == expected[0] or found[1] is not None, "cut elsewhere, the records are others")
    check((found[1] is None) == (expected[1] is None), "cut elsewhere, the stream is right or wrong")
    ends = _multiplexed(chunks, closes=bool(how & 64))
    return Outcome(f"{min(len(expected[0]), 5)} {expected[1]} {ends}")


def _records(chunks: list[bytes]) -> tuple[list[tuple[int, int, int]], str | None]:
    reader = RecordReader()
    records: list[tuple[int, int, int]] = []
    try:
        for chunk in chunks:
            records += [(record.kind, record.channel, hash(record.body)) for record in reader.feed(chunk)]
            check(len(reader.carried) < HEADER_BYTES + MAX_BODY_BYTES, "carries more than a record")
    except MalformedRecord as malformed:
        return records, str(malformed)[:20]
    return records, None


def _multiplexed(chunks: list[bytes], closes: bool) -> str:
    """Give the stream to a broker's end; which of its channels have ended, and how."""
    receivers: list[Receiver] = []

    def accept(channel: Channel, identity: PeerIdentity) -> Receiver:
        check(identity.role in ("main", "window", "client"), "a role that is none")
        receivers.append(Receiver(channel, identity, closes))
        return receivers[-1]

    multiplex = Multiplex(accept)
    pipe = Pipe()
    multiplex.use(pipe)
    try:
        for index, chunk in enumerate(chunks):
            pipe.is_writable = index % 3 != 2
            multiplex.feed(chunk)
        pipe.is_writable = True
        multiplex.pump()
    except MalformedRecord:
        pass
    multiplex.end("over")
    check(all(receiver.ends == 1 for receiver in receivers), "a channel that was not told of its end")
    return f"{min(len(receivers), 4)} opened, {min(pipe.records, 6)} written"


def target() -> Target:
    """See the module."""
    streams = [b"\x0f" + each for each in seeds()]
    return Target("records", run, [*streams, b"", *corpus("records").values()], longest=400)
