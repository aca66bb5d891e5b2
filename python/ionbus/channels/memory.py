"""A pair of channels in one process, which fail on command (docs/protocol.md, section 2.4).

Nothing here sleeps: a frame arrives in a later turn of the event loop, or when a test releases it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from ionbus.channels.base import Accept, Opened, PeerIdentity, Receiver
from ionbus.errors import ConnectionLost
from ionbus.generated.protocol import Limits

HIGH_WATER_BYTES: Final = 65_536
"""A lane that holds more is behind: its sender is not writable until it is empty."""


class _Closing(NamedTuple):
    over: bool
    code: str
    message: str


class Lane:
    """One direction of a wire. What was sent waits here for a turn of the loop, or for `release`."""

    def __init__(self) -> None:
        self.is_writable = True
        self._waiting: deque[bytes | _Closing] = deque()
        self._waiting_bytes = 0
        self._is_held = False
        self._is_dead = False
        self._is_scheduled = False
        self._duplicates = 0
        self._length: int | None = None
        self._to: MemoryChannel | None = None
        self._from: MemoryChannel | None = None

    def __len__(self) -> int:
        """How many frames wait."""
        return sum(isinstance(each, bytes) for each in self._waiting)

    def join(self, source: MemoryChannel, target: MemoryChannel) -> None:
        """Say whose frames these are and for whom."""
        self._from, self._to = source, target

    def hold(self) -> None:
        """Delay: frames wait until `release`."""
        self._is_held = True

    def release(self, count: int | None = None) -> None:
        """Let `count` of the waiting frames arrive now and hold on to the rest; without a count, all, and hold no longer."""
        if count is None:
            self._is_held = False
        self._deliver(count)

    def duplicate(self, count: int = 1) -> None:
        """The next `count` frames arrive twice each."""
        self._duplicates += count

    def truncate(self, length: int) -> None:
        """Of the next frame only the first `length` bytes arrive."""
        self._length = length

    def stop(self) -> None:
        """Half-open: from now on nothing arrives, neither frames nor the end, and the sender does not notice."""
        self._is_dead = True
        self.clear()

    def put(self, sent: bytes | _Closing) -> None:
        """Take a frame or the end from the sender."""
        if self._is_dead:
            return
        self._waiting.append(sent)
        self._waiting_bytes += len(sent) if isinstance(sent, bytes) else 0
        if self._waiting_bytes > HIGH_WATER_BYTES:
            self.is_writable = False
        if not self._is_held and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def clear(self) -> None:
        """Lose what waits."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def _turn(self) -> None:
        self._is_scheduled = False
        if not self._is_held:
            self._deliver(None)

    def _deliver(self, count: int | None) -> None:
        left = len(self._waiting) if count is None else count
        while left > 0 and self._waiting:
            left -= 1
            self._arrive(self._waiting.popleft())
        if not self.is_writable and not self._waiting and not self._is_dead:
            self.is_writable = True
            if self._from is not None:
                self._from.lane_is_empty()

    def _arrive(self, sent: bytes | _Closing) -> None:
        if self._to is None:
            return
        if isinstance(sent, _Closing):
            self._to.end(*sent)
            return
        self._waiting_bytes -= len(sent)
        if self._length is not None:
            sent, self._length = sent[: self._length], None
        times = 2 if self._duplicates else 1
        self._duplicates -= times - 1
        for _ in range(times):
            self._to.take(sent)


class MemoryChannel:
    """One end of a wire."""

    kind = "memory"

    def __init__(self, outgoing: Lane, silence_is_fatal: bool) -> None:
        self.silence_is_fatal = silence_is_fatal
        self.max_frame_bytes = Limits().max_greeting_bytes
        self._outgoing = outgoing
        self._receiver: Receiver | None = None
        self._is_closed = False

    def listen(self, receiver: Receiver) -> None:
        """Say who listens; before the first frame."""
        self._receiver = receiver

    @property
    def is_writable(self) -> bool:
        """Whether the lane is not behind."""
        return self._outgoing.is_writable

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        if not self._is_closed:
            self._outgoing.put(frame)

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Close after what was sent has arrived."""
        if not self._is_closed:
            self._is_closed = True
            self._outgoing.put(_Closing(over, code, message))

    def take(self, frame: bytes) -> None:
        """A frame has arrived."""
        if self._is_closed or self._receiver is None:
            return
        if len(frame) > self.max_frame_bytes:
            text = f"a frame of {len(frame)} bytes; at most {self.max_frame_bytes} are taken"
            self._outgoing.put(_Closing(False, "too_large", text))
            self.end(False, "too_large", text)
        else:
            self._receiver.frame_received(frame)

    def end(self, over: bool, code: str, message: str) -> None:
        """The channel is gone, and not because this end closed it."""
        if not self._is_closed:
            self._is_closed = True
            if self._receiver is not None:
                self._receiver.closed(over, code, message)

    def lane_is_empty(self) -> None:
        """What was sent has arrived."""
        if not self._is_closed and self._receiver is not None:
            self._receiver.writable()


class MemoryWire:
    """Two channels and the lanes between them.

    Args:
        receiver: who listens at the client's end.
        accept: called with the broker's end.
        identity: whom the broker sees.
        silence_is_fatal: what both ends say of themselves (docs/protocol.md, section 8.5).
    """

    def __init__(
        self, receiver: Receiver, accept: Accept, identity: PeerIdentity, *, silence_is_fatal: bool = False
    ) -> None:
        self.to_broker = Lane()
        self.to_client = Lane()
        self.client = MemoryChannel(self.to_broker, silence_is_fatal)
        self.broker = MemoryChannel(self.to_client, silence_is_fatal)
        self.to_broker.join(self.client, self.broker)
        self.to_client.join(self.broker, self.client)
        self.client.listen(receiver)
        self.broker.listen(accept(self.broker, identity))

    def cut(self, message: str = "the memory channel was cut") -> None:
        """Cut both directions: what is under way is lost, and both ends are told at once."""
        self.to_broker.stop()
        self.to_client.stop()
        self.client.end(False, "connection_lost", message)
        self.broker.end(False, "connection_lost", message)

    def half_open(self) -> None:
        """Let nothing arrive any more in either direction, and tell nobody."""
        self.to_broker.stop()
        self.to_client.stop()


class MemoryListener:
    """What a client in the same process connects to: `open` is its opener.

    Args:
        accept: the broker's side, called for each channel.
        token: given to the client for its HELLO.
        identity: whom the broker sees.
        silence_is_fatal: as for `MemoryWire`.
    """

    def __init__(
        self,
        accept: Accept,
        *,
        token: str | None = None,
        identity: PeerIdentity | None = None,
        silence_is_fatal: bool = False,
    ) -> None:
        self.is_refusing = False
        """Set it, and each attempt to connect fails."""
        self.wire: MemoryWire | None = None
        """The newest wire, for tests that lay hands on it."""
        self.attempts = 0
        self._accept = accept
        self._token = token
        self._identity = identity or PeerIdentity()
        self._silence_is_fatal = silence_is_fatal

    async def open(self, receiver: Receiver) -> Opened:
        """Open a channel.

        Raises:
            ConnectionLost: `is_refusing` is set.
        """
        self.attempts += 1
        if self.is_refusing:
            raise ConnectionLost("the memory listener refuses connections")
        self.wire = MemoryWire(
            receiver, self._accept, self._identity, silence_is_fatal=self._silence_is_fatal
        )
        return Opened(self.wire.client, self._token)
