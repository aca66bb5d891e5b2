"""Many channels on one pipe: records in and out, and whose turn it is to write (docs/protocol.md, section 2.2).

Both ends use this: the broker's is given `accept`, the parent's opens channels with `open`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgpack

from ionbus.channels.base import Accept, PeerIdentity, Receiver
from ionbus.generated.protocol import Limits, Record as RecordKind
from ionbus.wire.records import Record, RecordReader, encode_record

MAX_QUEUED_BYTES: Final = 16 * 2**20
"""A channel for which more than this waits, since nobody reads the pipe, is lost."""

MAX_RING: Final = 10_000
"""With more channels waiting for their turn than this, violations are not answered."""

WRITE_BYTES: Final = 65_536
"""Records are joined up to about this size into one write."""

_ROLES: Final = ("main", "window", "client")
_MAX_CLOSE_BYTES: Final = 4_096
_LONGEST_CODE: Final = 64
_LONGEST_REASON: Final = 900


class PipeOutput(Protocol):
    """Where the records go."""

    @property
    def is_writable(self) -> bool:
        """False while it is behind."""

    def write(self, chunk: bytes) -> None:
        """Write, or buffer what cannot be written now."""


class PipeChannel:
    """One channel of a pipe."""

    kind = "stdio"
    silence_is_fatal = False

    def __init__(self, multiplex: Multiplex, number: int) -> None:
        self.max_frame_bytes = Limits().max_greeting_bytes
        self.number = number
        self.receiver: Receiver | None = None
        self.is_closed = False
        self.waiting: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.is_behind = False
        self._multiplex = multiplex

    @property
    def is_writable(self) -> bool:
        """False while the pipe is behind and something of ours waits: then the channels take turns, one frame each."""
        return not self.is_behind

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        if not self.is_closed:
            self._multiplex.put(self, encode_record(RecordKind.DATA, self.number, frame))

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Close after what was sent has left."""
        if not self.is_closed:
            self.is_closed = True
            self._multiplex.forget(self, over, code, message)

    def end(self, over: bool, code: str, message: str) -> None:
        """The channel is gone, and not because we closed it."""
        if not self.is_closed:
            self.is_closed = True
            if self.receiver is not None:
                self.receiver.closed(over, code, message)


class Multiplex:
    """The channels of one pipe.

    Args:
        accept: called for each channel that the other end opens; None at the parent's end.
    """

    def __init__(self, accept: Accept | None = None) -> None:
        self._pipe: PipeOutput | None = None
        self._accept = accept
        self._reader = RecordReader()
        self._channels: dict[int, PipeChannel] = {}
        self._highest = 0
        self._ring: deque[PipeChannel] = deque()
        self._is_feeding = False
        self._is_over = False
        self.has_heard = False
        """Whether there was a record: the other end speaks ionbus."""

    @property
    def carried(self) -> bytes:
        """The beginning of a record whose end has not arrived."""
        return self._reader.carried

    def use(self, pipe: PipeOutput) -> None:
        """Say where the records go; what was queued goes there now."""
        self._pipe = pipe
        self.pump()

    def open(self, receiver: Receiver, identity: Mapping[str, object]) -> PipeChannel:
        """Open a channel to the other end, saying who it is."""
        self._highest += 1
        channel = PipeChannel(self, self._highest)
        channel.receiver = receiver
        self._channels[channel.number] = channel
        self.put(channel, encode_record(RecordKind.OPEN, channel.number, msgpack.packb(identity)))
        return channel

    def feed(self, chunk: bytes) -> None:
        """Take what came in.

        Raises:
            MalformedRecord: the pipe is over; call `end`.
        """
        if self._is_over:
            return
        self._is_feeding = True
        try:
            for record in self._reader.feed(chunk):
                self.has_heard = True
                self._take(record)
        finally:
            self._is_feeding = False
            self.pump()
            for channel in self._ring:
                channel.is_behind = True

    def end(self, message: str) -> None:
        """The pipe is over: so are its channels."""
        self._is_over = True
        self._ring.clear()
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            channel.end(False, "connection_lost", message)

    # Writing.

    def put(self, channel: PipeChannel, record: bytes) -> None:
        """Queue a record and write what the pipe takes."""
        if self._is_over:
            return
        pipe = self._pipe
        if not self._ring and not self._is_feeding and pipe is not None and pipe.is_writable:
            pipe.write(record)  # nobody waits for a turn
            return
        if not channel.waiting:
            self._ring.append(channel)
        channel.waiting.append(record)
        channel.waiting_bytes += len(record)
        if channel.waiting_bytes > MAX_QUEUED_BYTES and not channel.is_closed:
            self._drop(
                channel, "connection_lost", f"more than {MAX_QUEUED_BYTES} bytes wait and nobody reads them"
            )
        elif (
            self._is_feeding
        ):  # what answers one read is written together, but no more is taken than the pipe would take
            channel.is_behind = channel.waiting_bytes > WRITE_BYTES
        else:
            self.pump()
            channel.is_behind = bool(channel.waiting)

    def forget(self, channel: PipeChannel, over: bool, code: str, message: str) -> None:
        """The channel is closed from this end: say so behind what it sent."""
        self._channels.pop(channel.number, None)
        self.put(channel, _close_record(channel.number, over, code, message))

    def flush(self) -> None:
        """Write all that waits, whether or not the pipe is behind: it will be closed."""
        if self._pipe is not None and not self._is_over:
            while self._ring:
                self._pipe.write(self._turn())

    def pump(self) -> None:
        """Write while the pipe takes it: one record of each waiting channel, in turn."""
        pipe = self._pipe
        if pipe is None or self._is_over:
            return
        caught_up: list[PipeChannel] = []
        while self._ring and pipe.is_writable:
            pipe.write(self._turn(caught_up))
        for channel in caught_up:
            if channel.is_behind and not channel.waiting:
                channel.is_behind = False
                if not channel.is_closed and channel.receiver is not None:
                    channel.receiver.writable()

    def _turn(self, caught_up: list[PipeChannel] | None = None) -> bytes:
        """Up to about `WRITE_BYTES`, one record of each channel after the other; `caught_up` gets those with no more."""
        batch: list[bytes] = []
        size = 0
        while self._ring and size < WRITE_BYTES:
            channel = self._ring.popleft()
            record = channel.waiting.popleft()
            batch.append(record)
            size += len(record)
            channel.waiting_bytes -= len(record)
            if channel.waiting:
                self._ring.append(channel)
            elif caught_up is not None:
                caught_up.append(channel)
        return batch[0] if len(batch) == 1 else b"".join(batch)

    # Reading.

    def _take(self, record: Record) -> None:
        number = record.channel
        if record.kind is RecordKind.OPEN:
            self._opened(number, record.body)
            return
        channel = self._channels.get(number)
        if channel is None:
            if not 0 < number <= self._highest:
                self._refuse(number, "protocol_error", f"channel {number} was never opened")
        elif record.kind is RecordKind.CLOSE:
            del self._channels[number]
            self._unqueue(channel)
            channel.end(*_read_close(record.body))
        elif len(record.body) > channel.max_frame_bytes:
            self._drop(
                channel,
                "too_large",
                f"a frame of {len(record.body)} bytes; at most {channel.max_frame_bytes} are taken",
            )
        elif channel.receiver is not None:
            channel.receiver.frame_received(record.body)

    def _opened(self, number: int, body: bytes) -> None:
        if self._accept is None:
            self._violate(number, "the broker opens no channels")
        elif number <= self._highest:
            self._violate(
                number, f"channel {number} was opened before" if number else "channel ids begin at 1"
            )
        else:
            self._highest = number
            identity = _read_identity(body)
            if isinstance(identity, str):
                self._refuse(number, "protocol_error", identity)
                return
            channel = self._channels[number] = PipeChannel(self, number)
            channel.receiver = self._accept(channel, identity)

    def _violate(self, number: int, message: str) -> None:
        channel = self._channels.get(number)
        if channel is not None:
            self._drop(channel, "protocol_error", message)
        else:
            self._refuse(number, "protocol_error", message)

    def _refuse(self, number: int, code: str, message: str) -> None:
        if len(self._ring) <= MAX_RING:  # whoever breaks the rules and does not read gets no answer
            self.put(PipeChannel(self, number), _close_record(number, False, code, message))

    def _drop(self, channel: PipeChannel, code: str, message: str) -> None:
        self._channels.pop(channel.number, None)
        self._unqueue(channel)
        self._refuse(channel.number, code, message)
        channel.end(False, code, message)

    def _unqueue(self, channel: PipeChannel) -> None:
        if channel.waiting:
            self._ring.remove(channel)
            channel.waiting.clear()
            channel.waiting_bytes = 0


def _close_record(number: int, over: bool, code: str, message: str) -> bytes:
    # Both may be the client's, and the parent takes a small record only.
    fields = [over, code[:_LONGEST_CODE], message[:_LONGEST_REASON]]
    return encode_record(RecordKind.CLOSE, number, msgpack.packb(fields))


def _read_close(body: bytes) -> tuple[bool, str, str]:
    fields = _unpack(body, _MAX_CLOSE_BYTES)
    if isinstance(fields, list) and len(fields) >= 3:
        over, code, message = fields[:3]
        if isinstance(over, bool) and isinstance(code, str) and isinstance(message, str):
            return over, code, message
    return False, "protocol_error", "the record CLOSE holds no [is_over, code, message]"


def _read_identity(body: bytes) -> PeerIdentity | str:
    """Who opens a channel, or what is wrong with the record."""
    fields = _unpack(body, Limits().max_greeting_bytes)
    if not isinstance(fields, dict):
        return "the record OPEN holds no map with text keys"
    role, origin, roles = fields.get("role"), fields.get("origin"), fields.get("roles") or []
    if role not in _ROLES:
        return f"OPEN: role must be one of {', '.join(_ROLES)}"
    if origin is not None and not isinstance(origin, str):
        return "OPEN: origin must be text"
    details = {key: fields[key] for key in ("web_contents", "frame") if fields.get(key) is not None}
    for key, value in details.items():
        if type(value) is not int or value < 0:
            return f"OPEN: {key} must be a uint"
    if role == "window" and (len(details) < 2 or origin is None):
        return "OPEN: a window has web_contents, frame and origin"
    if not isinstance(roles, list) or not all(isinstance(each, str) for each in roles):
        return "OPEN: roles must be texts"
    return PeerIdentity(role, origin, details, frozenset(roles))


def _unpack(body: bytes, max_bytes: int) -> Any:  # what a peer packed can be anything
    if len(body) > max_bytes:
        return None
    try:
        return msgpack.unpackb(body, strict_map_key=True)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        return None
