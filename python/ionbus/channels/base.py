"""What every channel implements, and what it needs of whoever listens (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Channel(Protocol):
    """One open channel: it moves whole frames in order. All methods are called on the event loop's thread."""

    @property
    def kind(self) -> str:
        """`"websocket"`, `"stdio"` or `"memory"`."""

    @property
    def silence_is_fatal(self) -> bool:
        """Whether a silent peer costs the channel (WebSocket) or is only a state (docs/protocol.md, section 8.5)."""

    @property
    def is_writable(self) -> bool:
        """False while the transport is behind: what is sent then is buffered. `Receiver.writable` tells when it is over."""

    max_frame_bytes: int
    """The largest frame to take, in bytes: small until the greeting is over, then raised by the link."""

    def send(self, frame: bytes) -> None:
        """Send one frame; after the channel has closed this does nothing."""

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Close after what was sent has left. `over`: the session ends with it (stdio says so in its record)."""


class Receiver(Protocol):
    """Who listens to a channel."""

    def frame_received(self, frame: bytes) -> None:
        """One whole frame, at most `max_frame_bytes` long."""

    def writable(self) -> None:
        """The transport has caught up."""

    def closed(self, over: bool, code: str, message: str) -> None:
        """The channel is gone; called once, and not after our own `close`. `code`: what the other end said, or `too_large`, `protocol_error`, `connection_lost`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What an opener gives: the channel, and the token to put into HELLO (None: none)."""

    channel: Channel
    token: str | None = field(default=None, repr=False)


Opener = Callable[[Receiver], Awaitable[Opened]]
"""Opens a channel for a client, once an attempt; raises `OSError` or an `IonbusError` where it cannot."""


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who is at the other end of a channel that a broker accepted, as far as the channel itself knows.

    `roles`: what whoever opened it says that its client may use, where that is somebody to be believed (OPEN on stdio).
    """

    role: str = "client"
    origin: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()


Accept = Callable[[Channel, PeerIdentity], Receiver]
"""A broker's side: called for each channel that was opened to it."""
