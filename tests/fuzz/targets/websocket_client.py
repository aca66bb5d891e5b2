"""The client's end of a WebSocket whose server is hostile: its answer to the opening handshake, and its frames."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import Final

from websockets.uri import parse_uri

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.scripts import check
from fuzz.targets.websocket import Receiver, Transport, damage, frames
from ionbus.channels.base import PeerIdentity
from ionbus.channels.websocket_client import _ClientChannel

URI: Final = parse_uri("ws://127.0.0.1:7000")
ODD_LINES: Final = (
    b"Sec-WebSocket-Protocol: other", b"Sec-WebSocket-Protocol: ionbus.v1", b"Sec-WebSocket-Extensions: permessage-deflate",
    b"Sec-WebSocket-Accept: no", b"Upgrade: h2c", b"Connection: close", b"Content-Length: 5", b"Transfer-Encoding: chunked",
    b"Location: ws://evil.example", b"Set-Cookie: a=b", b" folded", b"no colon", b"\xff: \xfe", b"X: " + b"y" * 9_000, b"",
)  # fmt: skip


def response(choices: Choices, request: bytes) -> bytes:
    """An answer to an opening handshake, about every second one right."""
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    key = found.group(1) if found is not None else b""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    first = b"HTTP/1.1 101 Switching Protocols"
    lines = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept]
    lines.append(b"Sec-WebSocket-Protocol: ionbus.v1")
    if choices.one_in(2):
        for _ in range(choices.below(3) + 1):
            match choices.below(4):
                case 0:
                    lines.insert(choices.below(len(lines) + 1), choices.pick(ODD_LINES))
                case 1 if lines:
                    lines[choices.below(len(lines))] = choices.pick(ODD_LINES)
                case 2:
                    answers = (b"200 OK", b"403 No", b"426 Upgrade", b"302 Found", b"abc", b"101", b"99999 x")
                    first = b"HTTP/1.1 " + choices.pick(answers)
                case _:
                    lines.extend([b"A: b"] * choices.pick((1, 127, 128, 300)))
    return b"\r\n".join([first, *lines, b"", b""])


class Scene:
    """An event loop for all connections."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def run(self, data: bytes) -> Outcome:
        """One connection."""
        return self.loop.run_until_complete(self._run(Choices(data)))

    async def _run(self, choices: Choices) -> Outcome:
        receiver = Receiver()
        how = choices.byte()
        channel, transport = _ClientChannel(URI, receiver), Transport()
        receiver.use(channel, PeerIdentity("client"))
        channel.connection_made(transport)
        parts = [
            damage(choices, response(choices, bytes(transport.written))),
            frames(choices, is_masked=False),
        ]
        stream = parts if how & 3 else [b"".join(parts)]
        size = (33, 99, 500, 1 << 20)[how >> 3 & 3]
        for chunk in (part[at : at + size] for part in stream for at in range(0, len(part), size)):
            if transport.is_closed:
                break
            channel.data_received(chunk)
            check(len(transport.written) < 100_000, "answers with more than it was sent")
        if how & 64 and not transport.is_closed:
            channel.eof_received()
        channel.connection_lost(None)
        greeted = channel.greeted
        check(greeted.done(), "whoever waits for the answer waits for ever")
        error = greeted.exception()
        if error is not None:
            check(receiver.end is None and not receiver.frames, "a channel that was never open has ended")
            return Outcome(f"{type(error).__name__}: {' '.join(str(error).split()[:3])[:30]}")
        check(receiver.end is not None, "nobody was told of the end")
        return Outcome(f"open {min(receiver.frames, 4)} {receiver.end}")

    def close(self) -> None:
        """The last connection is gone."""
        self.loop.close()


def target() -> Target:
    """See the module."""
    scene = Scene()
    seeds = tuple(corpus("websocket_client").values())
    return Target("websocket_client", scene.run, seeds, longest=200, close=scene.close)
