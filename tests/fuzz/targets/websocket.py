"""The broker's end of a WebSocket: bytes of an opening handshake and of frames, cut anywhere, right, wrong and damaged.

The server's channel runs on a transport that only remembers. Nothing is raised, a page of a foreign origin never gets in, what
is refused is refused with a status or a close code, and no more is kept than one message.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import check
from ionbus.channels.base import Channel, PeerIdentity
from ionbus.channels.websocket_server import WebSocketServer, _ServerChannel
from ionbus.generated.protocol import Limits

KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
LINES: Final = (
    b"Host: 127.0.0.1:7000", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Protocol: ionbus.v1",
)  # fmt: skip
ODD_LINES: Final = (
    b"Host: evil.example", b"Host: localhost:7000", b"Host:", b"Origin: http://127.0.0.1:7000", b"Origin: https://evil.example",
    b"Origin: null", b"Origin: file://", b"Sec-WebSocket-Protocol: a, b, ionbus.v1", b"Sec-WebSocket-Protocol: ,", b"Content-Length: 5",
    b"Sec-WebSocket-Extensions: permessage-deflate", b"Transfer-Encoding: chunked", b"Sec-WebSocket-Key: short", b"Sec-WebSocket-Version: 8",
    b"Connection: keep-alive, upgrade", b"X: " + b"y" * 9_000, b" folded", b"no colon", b"\xff: \xfe", b"", b"Upgrade: h2c",
)  # fmt: skip
MASK: Final = b"\x00\x00\x00\x00"


class Transport(asyncio.Transport):
    """What is written, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5)})
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        check(not self.is_closed, "written behind the end")
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0


class Receiver:
    """Takes frames, raises the bound after the first as the greeting does, and is told of the end once."""

    channel: Channel
    identity: PeerIdentity

    def __init__(self) -> None:
        self.frames = 0
        self.end: str | None = None

    def use(self, channel: Channel, identity: PeerIdentity) -> None:
        """The channel that it listens to."""
        self.channel = channel
        self.identity = identity

    def frame_received(self, frame: bytes) -> None:
        check(self.end is None, "a frame behind the end")
        check(len(frame) <= self.channel.max_frame_bytes, "a frame above the limit")
        self.frames += 1
        self.channel.send(frame)
        if self.frames == 1:
            self.channel.max_frame_bytes = 1_048_576
        elif self.frames == 4:
            self.channel.close(False, "protocol_error", "enough")
            self.end = "closed by us"

    def writable(self) -> None: ...

    def closed(self, over: bool, code: str, message: str) -> None:
        check(self.end is None, "told of the end twice")
        self.end = code


def request(choices: Choices) -> bytes:
    """An opening handshake, about every second one right."""
    lines = list(LINES)
    first = b"GET / HTTP/1.1"
    if choices.one_in(2):
        for _ in range(choices.below(3) + 1):
            match choices.below(5):
                case 0:
                    lines.insert(choices.below(len(lines) + 1), choices.pick(ODD_LINES))
                case 1 if lines:
                    del lines[choices.below(len(lines))]
                case 2 if lines:
                    lines[choices.below(len(lines))] = choices.pick(ODD_LINES)
                case 3:
                    first = choices.pick(
                        (
                            b"GET /a?b HTTP/1.1",
                            b"POST / HTTP/1.1",
                            b"GET / HTTP/1.0",
                            b"GET",
                            b"",
                            b"GET " + b"/" * 9_000 + b" HTTP/1.1",
                        )
                    )
                case _:
                    lines.extend([b"A: b"] * choices.pick((1, 127, 128, 300)))
    end = b"\n" if choices.one_in(30) else b"\r\n"
    return end.join([first, *lines, b"", b""])


def frames(choices: Choices, *, is_masked: bool = True) -> bytes:
    """Frames, most of them right: binary, whole or in pieces, pings, closes."""
    bit, mask = (0x80, MASK) if is_masked else (0, b"")
    parts: list[bytes] = []
    while not choices.is_over and len(parts) < 12:
        head = (
            choices.pick((0x82, 0x82, 0x82, 0x02, 0x80, 0x89, 0x8A, 0x88, 0x81, 0x00))
            if not choices.one_in(12)
            else choices.byte()
        )
        size = (
            choices.pick((0, 1, 2, 125, 126, 300, 16_384, 16_385)) if choices.one_in(3) else choices.below(30)
        )
        told = size if not choices.one_in(20) else choices.number(size) & (2**64 - 1)
        if told < 126:
            length = bytes((bit | told,))
        elif told < 65_536:
            length = bytes((bit | 126,)) + struct.pack(">H", told)
        else:
            length = bytes((bit | 127,)) + struct.pack(">Q", told)
        if choices.one_in(25):
            length = bytes((length[0] ^ 0x80,)) + length[1:]
        parts.append(bytes((head,)) + length + mask + choices.blob(min(size, 8)).ljust(size, b"\0"))
    return b"".join(parts)


def damage(choices: Choices, part: bytes) -> bytes:
    """Bytes, now and then with a few of them changed."""
    if not part or not choices.one_in(6):
        return part
    damaged = bytearray(part)
    for _ in range(choices.below(4) + 1):
        at = choices.below(len(damaged) + 1)
        damaged[at : at + choices.below(3)] = choices.blob(choices.below(3))
    return bytes(damaged)


class Scene:
    """A server that does not listen, and an event loop for its timers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.receivers: list[Receiver] = []
        self.server = WebSocketServer(self._accept, Limits())
        self.server.hosts = frozenset({"127.0.0.1:7000", "localhost:7000"})
        self.server.origins = frozenset({"http://127.0.0.1:7000", "file://"})

    def _accept(self, channel: Channel, identity: PeerIdentity) -> Receiver:
        check(
            identity.origin in (None, "http://127.0.0.1:7000", "file://"),
            f"the origin {identity.origin} got in",
        )
        receiver = Receiver()
        receiver.use(channel, identity)
        self.receivers.append(receiver)
        return receiver

    def run(self, data: bytes) -> Outcome:
        """One connection."""
        return self.loop.run_until_complete(self._run(Choices(data)))

    async def _run(self, choices: Choices) -> Outcome:
        self.receivers.clear()
        how = choices.byte()
        parts = [damage(choices, part) for part in (request(choices), frames(choices))]
        stream = (
            parts if how & 3 else [b"".join(parts)]
        )  # a client waits for the answer, unless it is hostile
        size = (33, 99, 500, 1 << 20)[how >> 3 & 3]
        chunks = [part[at : at + size] for part in stream for at in range(0, len(part), size)]
        channel, transport = _ServerChannel(self.server), Transport()
        channel.connection_made(transport)
        for chunk in chunks:
            if transport.is_closed:
                break
            channel.data_received(chunk)
            check(len(transport.written) < 100_000, "answers with more than it was sent")
        if how & 64 and not transport.is_closed:
            channel.eof_received()
        channel.connection_lost(None)
        check(len(self.receivers) <= 1 and not self.server._channels, "a socket is left")
        receiver = self.receivers[0] if self.receivers else None
        check(receiver is None or receiver.end is not None, "nobody was told of the end")
        status = bytes(transport.written[9:12]).decode("latin-1")
        if receiver is None:
            return Outcome(f"{status}")
        return Outcome(
            f"{status} {min(receiver.frames, 4)} {receiver.end} {channel._protocol.close_sent and channel._protocol.close_sent.code}"
        )

    def close(self) -> None:
        """The last connection is gone."""
        self.loop.close()


def target() -> Target:
    """See the module."""
    scene = Scene()
    return Target("websocket", scene.run, tuple(corpus("websocket").values()), longest=200, close=scene.close)
