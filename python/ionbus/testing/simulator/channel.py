"""A channel between a client and the broker that keeps its order and may do everything else to them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ionbus.generated.protocol import Frame, Record
from ionbus.testing.simulator.clock import Clock
from ionbus.testing.simulator.plan import Direction, Noticed, Quality
from ionbus.wire.records import RecordReader, encode_record

_GREETINGS: Final = (Frame.HELLO, Frame.WELCOME, Frame.CLOSE)


class End(Protocol):
    """Who listens at one end."""

    def frame_received(self, frame: bytes) -> None:
        """A frame has arrived."""

    def writable(self) -> None:
        """There is room again for what goes the other way."""

    def closed(self, over: bool, code: str) -> None:
        """The channel has ended; nothing more comes."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The last thing in a pipe: whoever sent has closed the channel."""

    over: bool
    code: str


class Pipe:
    """One direction.

    Args:
        clock: the simulation's.
        rng: for jitter, duplicates and the length of pieces.
        quality: how it behaves.
        tamper: gives what arrives in place of a frame.
    """

    def __init__(
        self, clock: Clock, rng: random.Random, quality: Quality, tamper: Callable[[bytes], bytes] | None
    ) -> None:
        self.quality = quality
        self.is_stalled = False
        self.receiver: End | None = None
        self.sender: End | None = None
        self.trip: tuple[int, Callable[[], None]] | None = None
        """After so many more frames that arrived, what to do."""
        self._clock = clock
        self._rng = rng
        self._tamper = tamper
        self._reader = RecordReader()
        self._under_way: deque[tuple[float, bytes | Closed]] = deque()
        self._last_due = 0.0
        self._is_closed = False
        self._is_lost = False

    @property
    def is_writable(self) -> bool:
        """Whether there is room for a frame."""
        return len(self._under_way) < self.quality.capacity and not self._is_closed

    def send(self, frame: bytes) -> None:
        """Put a frame on its way; on a lost channel it goes nowhere, and its sender does not see that."""
        if self._is_closed or self._is_lost:
            return
        if self._tamper is not None:
            frame = self._tamper(frame)
        quality, rng = self.quality, self._rng
        if not quality.piece:
            self._put(frame)
            if quality.duplicate and rng.random() < quality.duplicate and kind_of(frame) not in _GREETINGS:
                self._put(frame)
            return
        record = encode_record(Record.DATA, 1, frame)
        start = 0
        while start < len(record):
            end = start + rng.randint(1, 2 * quality.piece)
            self._put(record[start:end])
            start = end

    def close(self, over: bool, code: str) -> None:
        """The sender has closed: the receiver learns of it behind what is under way."""
        if not self._is_closed and not self._is_lost:
            self._put(Closed(over, code))
        self._is_closed = True

    def lose(self, kept: int) -> None:
        """Lose all that is under way but the first `kept` pieces, which arrive now."""
        while kept > 0 and self._under_way:
            self._arrive()
            kept -= 1
        self._under_way.clear()
        self.sever()

    def sever(self) -> None:
        """Nothing more gets into the pipe; what is under way arrives still."""
        self._is_lost = True

    def resume(self) -> None:
        """A stall is over."""
        self.is_stalled = False
        for _ in self._under_way:
            self._clock.after(0, self._deliver)

    def _put(self, thing: bytes | Closed) -> None:
        quality = self.quality
        jitter = self._rng.random() * quality.jitter if quality.jitter else 0.0
        due = max(self._last_due, self._clock.now + quality.delay + jitter)
        self._last_due = due
        self._under_way.append((due, thing))
        self._clock.at(due, self._deliver)

    def _deliver(self) -> None:
        if not self.is_stalled and self._under_way and self._under_way[0][0] <= self._clock.now:
            self._arrive()

    def _arrive(self) -> None:
        was_writable = self.is_writable
        _, thing = self._under_way.popleft()
        if self.receiver is None:
            return
        if isinstance(thing, Closed):
            self.receiver.closed(thing.over, thing.code)
            return
        frames = [record.body for record in self._reader.feed(thing)] if self.quality.piece else (thing,)
        for frame in frames:
            if self.receiver is not None:
                self.receiver.frame_received(frame)
            if self.trip is not None:
                count, do = self.trip
                self.trip = (count - 1, do) if count > 1 else None
                if count <= 1:
                    do()
        if not was_writable and self.is_writable and self.sender is not None:
            self.sender.writable()


class Channel:
    """Both directions, from the moment at which the client has it.

    Args:
        clock: the simulation's.
        rng: for all that is left to chance.
        quality: how it behaves.
        tamper: as in `Pipe`, for a hostile client.
    """

    def __init__(
        self, clock: Clock, rng: random.Random, quality: Quality, tamper: Callable[[bytes], bytes] | None
    ) -> None:
        self._clock = clock
        self.to_broker = Pipe(clock, rng, quality, tamper)
        self.to_client = Pipe(clock, rng, quality, tamper)

    def pipe(self, direction: Direction) -> Pipe:
        """One of the two."""
        return self.to_broker if direction == "to_broker" else self.to_client

    def join(self, client: End, broker: End) -> None:
        """Both ends are there."""
        self.to_broker.sender, self.to_broker.receiver = client, broker
        self.to_client.sender, self.to_client.receiver = broker, client

    @property
    def is_used(self) -> bool:
        """Whether anybody listens at either end."""
        return self.to_broker.receiver is not None or self.to_client.receiver is not None

    def resume(self) -> None:
        """Both directions flow again."""
        self.to_broker.resume()
        self.to_client.resume()

    def leave(self, end: End) -> None:
        """This end does not listen any more."""
        for pipe in (self.to_broker, self.to_client):
            if pipe.receiver is end:
                pipe.receiver = None
            if pipe.sender is end:
                pipe.sender = None

    def cut(self, kept: int, noticed: Noticed, later: float) -> None:
        """The connection is lost.

        Args:
            kept: so many of the pieces under way arrive still, in each direction.
            noticed: who learns of it now; the other does after `later` milliseconds, and until then takes what is under way.
            later: milliseconds.
        """
        client, broker = self.to_client.receiver, self.to_broker.receiver
        self.to_client.sever()
        self.to_broker.sever()
        if noticed != "broker":
            self.to_client.lose(kept)
            self._tell(client)
        if noticed != "client":
            self.to_broker.lose(kept)
            self._tell(broker)
        if noticed == "client":
            self._clock.after(later, lambda: self._lost(self.to_broker, broker))
        if noticed == "broker":
            self._clock.after(later, lambda: self._lost(self.to_client, client))

    def _lost(self, pipe: Pipe, end: End | None) -> None:
        pipe.lose(0)
        self._tell(end)

    def _tell(self, end: End | None) -> None:
        if end is not None and end in (self.to_broker.receiver, self.to_client.receiver):
            self.leave(end)
            end.closed(False, "connection_lost")


def kind_of(frame: bytes) -> int:
    """A frame's kind, without decoding it; -1 where there is none."""
    at = {0xDC: 3, 0xDD: 5}.get(frame[0], 1) if frame else 1
    return frame[at] if len(frame) > at else -1
