"""A WebSocket and a pipe whose bytes pass through memory, and which fail at the byte that a test names.

Everything but the operating system is the real thing: HTTP and WebSocket, or the records of a pipe, on both sides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from websockets.uri import parse_uri

from ionbus.channels.base import Accept, Channel, Opened, Receiver
from ionbus.channels.multiplex import Multiplex
from ionbus.channels.websocket_client import _ClientChannel
from ionbus.channels.websocket_server import WebSocketServer, _ServerChannel
from ionbus.errors import ConnectionLost
from ionbus.generated.protocol import Limits
from ionbus.testing.faults import Direction

Told = Literal["both", "client", "broker"]
"""Which ends see that a connection is lost; the other one keeps it half open."""


@dataclass(frozen=True)
class Cut:
    """Where a connection is lost: once exactly so many bytes have arrived in one direction."""

    direction: Direction
    after_bytes: int
    told: Told = "both"


class Lane:
    """Bytes in one direction. They arrive in the next turn of the loop.

    Args:
        arrive: takes bytes.
        cut_after: so many bytes arrive, then `cut` is called; None: never.
        cut: what happens then.
    """

    def __init__(
        self, arrive: Callable[[bytes], None], cut_after: int | None, cut: Callable[[], None]
    ) -> None:
        self.passed = 0
        self._arrive = arrive
        self._cut_after = cut_after
        self._cut = cut
        self._waiting: deque[bytes | Callable[[], None]] = deque()
        self._is_due = False
        self._is_dead = False

    def put(self, what: bytes | Callable[[], None]) -> None:
        """Take bytes, or what is to be done behind them."""
        if not self._is_dead:
            self._waiting.append(what)
            self._plan()

    def kill(self) -> None:
        """Lose all that is under way, and all that comes."""
        self._is_dead = True
        self._waiting.clear()

    def _plan(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._move)

    def _move(self) -> None:
        self._is_due = False
        if not self._waiting:
            return
        first = self._waiting.popleft()
        if self._waiting:
            self._plan()
        if not isinstance(first, bytes):
            first()
            return
        if self._cut_after is not None and self.passed + len(first) >= self._cut_after:
            now, later = first[: self._cut_after - self.passed], first[self._cut_after - self.passed :]
            self._cut_after = None
            self._pass(now)
            self._cut()
            if later and not self._is_dead:
                self._waiting.appendleft(later)
                self._plan()
        else:
            self._pass(first)

    def _pass(self, data: bytes) -> None:
        self.passed += len(data)
        if data:
            self._arrive(data)


class End(asyncio.Transport):
    """One end of a connection in memory: what asyncio gives a protocol."""

    def __init__(self, line: Line, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.out: Lane
        self.is_over = False
        self._line = line

    def write(self, data: Any) -> None:
        if not self.is_over:
            self.out.put(bytes(data))

    def write_eof(self) -> None:
        self.out.put(partial(self._line.eof, self))

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.is_over

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.write_eof()
        self.lose(None)

    def abort(self) -> None:
        self.write_eof()
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """It is gone, and its protocol is told."""
        if not self.is_over:
            self.is_over = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)


class Line:
    """A connection between two protocols."""

    def __init__(self, client: asyncio.Protocol, broker: asyncio.Protocol, cut: Cut | None) -> None:
        self._cut = cut
        self.client, self.broker = End(self, client), End(self, broker)
        self.lanes: dict[Direction, Lane] = {
            "to_broker": Lane(partial(self._arrive, self.broker), self._after("to_broker"), self._lose),
            "to_client": Lane(partial(self._arrive, self.client), self._after("to_client"), self._lose),
        }
        self.client.out, self.broker.out = self.lanes["to_broker"], self.lanes["to_client"]
        client.connection_made(self.client)
        broker.connection_made(self.broker)

    def eof(self, end: End) -> None:
        """One end will send no more."""
        other = self.broker if end is self.client else self.client
        if not other.is_over and not other.protocol.eof_received():
            other.close()

    def _after(self, direction: Direction) -> int | None:
        return self._cut.after_bytes if self._cut is not None and self._cut.direction == direction else None

    def _arrive(self, end: End, data: bytes) -> None:
        if not end.is_over:
            end.protocol.data_received(data)

    def _lose(self) -> None:
        assert self._cut is not None
        for lane in self.lanes.values():
            lane.kill()
        for end, name in ((self.client, "client"), (self.broker, "broker")):
            if self._cut.told in ("both", name):
                end.lose(ConnectionResetError("cut"))


class Wire:
    """What a client connects through: the first connections are cut, each at its own byte, the others are sound."""

    def __init__(self, cuts: list[Cut]) -> None:
        self.passed: list[Callable[[Direction], int]] = []
        """For each connection: how many bytes have arrived in a direction."""
        self._cuts = deque(cuts)

    def next_cut(self) -> Cut | None:
        """Where the next connection is cut."""
        return self._cuts.popleft() if self._cuts else None

    async def open(self, receiver: Receiver) -> Opened:
        """Open a channel. This is an opener."""
        raise NotImplementedError


class WebSocketWire(Wire):
    """Each connection is a WebSocket of its own."""

    def __init__(self, accept: Accept, cuts: list[Cut], limits: Limits) -> None:
        super().__init__(cuts)
        self._server = WebSocketServer(accept, limits)
        self._server.hosts = frozenset({"wire"})

    async def open(self, receiver: Receiver) -> Opened:
        client = _ClientChannel(parse_uri("ws://wire"), receiver)
        line = Line(client, _ServerChannel(self._server), self.next_cut())
        self.passed.append(lambda direction: line.lanes[direction].passed)
        try:
            async with asyncio.timeout(10):
                await client.greeted
        except Exception as error:  # whatever it was: there is no channel
            raise ConnectionLost(str(error)) from error
        return Opened(client)


class PipeWire(Wire):
    """Each connection is a channel of one pipe, which goes on; a relay lends the pipe and loses the channel.

    Args:
        lost_frames: whether what the client sent last had not left the relay when it was lost.
    """

    is_writable = True

    def __init__(self, accept: Accept, cuts: list[Cut], *, loses_frames: bool) -> None:
        super().__init__(cuts)
        self._broker = Multiplex(accept)
        self._parent = Multiplex()
        self._loses_frames = loses_frames
        self._to_broker = Lane(self._broker.feed, None, self._cut_now)
        self._to_client = Lane(self._parent.feed, None, self._cut_now)
        self._broker.use(_Output(self._to_client))
        self._parent.use(_Output(self._to_broker))
        self._relay: _Relay | None = None
        self._cut: Cut | None = None

    async def open(self, receiver: Receiver) -> Opened:
        cut = self._cut = self.next_cut()
        lanes = {"to_broker": self._to_broker, "to_client": self._to_client}
        began = {direction: lane.passed for direction, lane in lanes.items()}
        self.passed.append(lambda direction: lanes[direction].passed - began[direction])
        if cut is not None:
            lane = lanes[cut.direction]
            lane._cut_after = lane.passed + cut.after_bytes
        relay = self._relay = _Relay(receiver)
        relay.channel = self._parent.open(relay, {"role": "client"})
        return Opened(relay)

    def _cut_now(self) -> None:
        assert self._cut is not None
        assert self._relay is not None
        self._relay.lose(self._cut.told, loses_frames=self._loses_frames)


class _Output:
    """One end of a pipe, as its multiplexer writes to it."""

    is_writable = True

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def write(self, chunk: bytes) -> None:
        self._lane.put(chunk)


class _Relay:
    """Stands between a client and its channel of the pipe, as a window's port does; frames take a turn of the loop to pass."""

    channel: Channel
    kind = "stdio"
    silence_is_fatal = True  # so that a client notices that it is half open
    is_writable = True

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._is_lost = False
        self._is_closed = False
        self._sent: deque[bytes] = deque()

    @property
    def max_frame_bytes(self) -> int:
        return self.channel.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, max_bytes: int) -> None:
        self.channel.max_frame_bytes = max_bytes

    def send(self, frame: bytes) -> None:
        if not self._is_lost:
            self._sent.append(frame)
            asyncio.get_running_loop().call_soon(self._pass)

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        self._is_closed = True
        while self._sent:
            self._pass()
        self.channel.close(over, code, message)

    def lose(self, told: Told, *, loses_frames: bool) -> None:
        """Pass nothing on any more, and tell whom it is told."""
        self._is_lost = True
        while self._sent and not loses_frames:
            self.channel.send(self._sent.popleft())
        self._sent.clear()
        if told != "client":
            self.channel.close(False, "connection_lost", "cut")
        if told != "broker" and not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().call_soon(self._receiver.closed, False, "connection_lost", "cut")

    def frame_received(self, frame: bytes) -> None:
        if not self._is_lost and not self._is_closed:
            self._receiver.frame_received(frame)

    def writable(self) -> None:
        """Frames are never held back here."""

    def closed(self, over: bool, code: str, message: str) -> None:
        if not self._is_lost and not self._is_closed:
            self._is_closed = True
            self._receiver.closed(over, code, message)

    def _pass(self) -> None:
        if self._sent:
            self.channel.send(self._sent.popleft())
