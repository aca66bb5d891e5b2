"""A client that sends whatever frames it is told to: no library stands between a test and the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from ionbus.channels.base import Channel

SESSION, SECRET = b"s" * 16, b"k" * 32


@dataclass
class Raw:
    """A client that sends whatever frames it is told to."""

    channel: Channel | None = None
    frames: list[Any] = field(default_factory=list)
    end: tuple[bool, str, str] | None = None

    def frame_received(self, frame: bytes) -> None:
        self.frames.append(msgpack.unpackb(frame))

    def writable(self) -> None: ...

    def closed(self, over: bool, code: str, message: str) -> None:
        self.end = (over, code, message)

    def send(self, *fields: Any) -> None:
        self.send_bytes(msgpack.packb(list(fields)))

    def send_bytes(self, frame: bytes) -> None:
        assert self.channel is not None
        self.channel.send(frame)

    def close_frame(self) -> list[Any] | None:
        return next((frame for frame in self.frames if frame[0] == 3), None)


def hello(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": 1,
        "agent": "raw",
        "session": SESSION,
        "secret": SECRET,
        "attempt": 1,
        "received": 0,
        "credit": [4_194_304, 4_096],
        **changes,
    }
