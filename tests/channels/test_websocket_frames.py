"""What arrives does not depend on where reads end, nor on who takes a frame apart: we, or websockets."""

from __future__ import annotations

import asyncio
import base64
import random
import re
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

from ionbus.channels.base import Channel, PeerIdentity
from ionbus.channels.websocket import WebSocketChannel
from ionbus.channels.websocket_frames import header, masked_size, whole_message
from ionbus.channels.websocket_server import WebSocketServer, _ServerChannel
from ionbus.generated.protocol import Limits

MOST = 1_000_000
MASK = b"\x9d\x31\xe7\x44"
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
    + base64.b64encode(bytes(16))
    + b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ionbus.v1\r\n\r\n"
)


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    """As a client would send it, but for a mask that is always the same."""
    plain = Frame(opcode, data, fin).serialize(mask=False)
    start = len(plain) - len(data)
    return b"".join((plain[:1], bytes((plain[1] | 0x80,)), plain[2:start], MASK, apply_mask(data, MASK)))


class Told:
    """A receiver that remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def frame_received(self, frame: bytes) -> None:
        self.told.append(frame)

    def writable(self) -> None:
        """It does not send."""

    def closed(self, over: bool, code: str, message: str) -> None:
        self.told.append((over, code, message))


class Written(asyncio.Transport):
    """A socket that takes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: Any) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.data += b"<end>"

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.data += b"<aborted>"


def received(reads: list[bytes], *, by_websockets: bool) -> tuple[list[Any], bytes]:
    """What a server's channel tells its receiver, and what it writes."""
    told = Told()

    def accept(channel: Channel, _: PeerIdentity) -> Told:
        channel.max_frame_bytes = MOST
        return told

    server = WebSocketServer(accept, Limits())
    server.hosts = frozenset({"localhost:1"})
    channel, transport = _ServerChannel(server), Written()
    channel.connection_made(transport)
    for read in reads:
        if by_websockets:
            WebSocketChannel.data_received(channel, read)
        else:
            channel.data_received(read)
    channel.connection_lost(None)
    return told.told, re.sub(rb"Date: [^\r]*", b"Date: ", transport.data)


def frames(choices: random.Random) -> list[bytes]:
    """Most of them right."""
    made: list[bytes] = []
    for _ in range(choices.randrange(1, 8)):
        data = choices.randbytes(choices.choice((0, 1, 20, 125, 126, 300, 65_535, 65_536)))
        match choices.randrange(9):
            case 0:
                made.append(frame(data[:125], Opcode.PING))
            case 1:
                cut = choices.randrange(len(data) + 1)
                made += [
                    frame(data[:cut], fin=False),
                    frame(b"", Opcode.PING),
                    frame(data[cut:], Opcode.CONT),
                ]
            case 2:
                wrong = bytearray(frame(data))
                wrong[choices.randrange(2)] ^= 1 << choices.randrange(8)
                made.append(bytes(wrong))
            case 3:
                long = frame(data[:125])  # a length that takes more bytes than it needs
                made.append(long[:1] + b"\xfe\0" + bytes((long[1] & 0x7F,)) + long[2:])
            case _:
                made.append(frame(data))
    return made


def cut(stream: bytes, choices: random.Random) -> list[bytes]:
    """The same bytes in several reads."""
    reads = []
    while stream:
        size = choices.choice((1, 2, 4, 6, 8, 14, 100, 1_000, 100_000))
        reads.append(stream[:size])
        stream = stream[size:]
    return reads


@pytest.mark.parametrize("seed", range(300))
async def test_reads_may_end_anywhere(seed: int) -> None:
    choices = random.Random(seed)
    parts = frames(choices)
    stream = b"".join(parts)
    for reads in (
        [REQUEST, *parts],
        [REQUEST, *cut(stream, choices)],
        [REQUEST + parts[0], *parts[1:]],
        cut(REQUEST, choices) + parts,
    ):
        assert received(reads, by_websockets=True) == received(reads, by_websockets=False)
    at_once, _ = received([REQUEST, stream], by_websockets=True)
    one_by_one, _ = received([REQUEST, *parts], by_websockets=False)
    assert one_by_one == at_once


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535])
def test_a_whole_message(size: int) -> None:
    data = random.Random(size).randbytes(size)
    whole = frame(data)
    assert whole_message(whole, size) == data
    assert whole_message(whole, size - 1) is None, "too large"
    assert whole_message(whole[:-1], size) is None, "cut short"
    assert whole_message(whole + b"\0", size) is None, "another frame behind it"
    assert len(whole) == masked_size(size)


@pytest.mark.parametrize("first", sorted({*range(256)} - {0x82}))
def test_what_is_no_binary_message_in_one_frame_is_for_websockets(first: int) -> None:
    assert whole_message(bytes((first,)) + frame(b"data")[1:], 4) is None


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_header_is_that_of_websockets(size: int) -> None:
    assert header(size) + bytes(size) == Frame(Opcode.BINARY, bytes(size)).serialize(mask=False)
