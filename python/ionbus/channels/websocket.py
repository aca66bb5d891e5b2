"""A WebSocket as a channel: websockets' Sans-I/O protocol under an asyncio protocol (docs/protocol.md, section 2.1).

No stream, no task and no queue stand between the socket and the receiver: a frame is delivered in the turn of the loop in
which it was read. benchmarks/experiments/websocket_adapter.py has the figures.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from abc import ABC, abstractmethod
from typing import Final, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State

from ionbus.channels.base import Receiver
from ionbus.generated.protocol import Limits

CLOSE_TIMEOUT: Final = 3.0
"""Seconds that the closing handshake may take before the socket is given up."""

MAX_BUFFERED_BYTES: Final = 16 * 2**20
"""A peer that reads so little that more than this waits for it has lost its channel."""

CORKED_BYTES: Final = 65_536
"""Answers to what came in with one read are written together, up to so many bytes."""

quiet = logging.getLogger("ionbus.channels.websocket.protocol")
quiet.setLevel(logging.WARNING)  # at DEBUG, websockets would log frames, and HELLO holds secrets

_CLOSE_CODES: Final = {
    "closed": CloseCode.NORMAL_CLOSURE,
    "stopping": CloseCode.GOING_AWAY,
    "protocol_error": CloseCode.PROTOCOL_ERROR,
    "too_large": CloseCode.MESSAGE_TOO_BIG,
}
_LONGEST_REASON: Final = 123  # bytes, RFC 6455 section 5.5


class WebSocketChannel(asyncio.Protocol, ABC):
    """What client and server have in common: everything but the opening handshake.

    Args:
        protocol: the Sans-I/O half, still connecting.
    """

    kind = "websocket"
    silence_is_fatal = True
    _least_bound = 0
    """What is read whatever `max_frame_bytes` says, and refused afterwards."""

    def __init__(self, protocol: Protocol) -> None:
        self.is_writable = True
        self._protocol = protocol
        self.max_frame_bytes = Limits().max_greeting_bytes
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport | None = None
        self._partial: bytearray | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unwritten: list[bytes] = []
        self._is_corked = False
        self._corked_bytes = 0
        self._is_over = False

    # The channel's side.

    @property
    def max_frame_bytes(self) -> int:
        """The largest frame to take, in bytes; what is announced as larger is not read into memory."""
        return self._max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, max_bytes: int) -> None:
        self._max_frame_bytes = max_bytes
        name = (
            "max_message_size" if hasattr(self._protocol, "max_message_size") else "max_size"
        )  # websockets < 16
        setattr(self._protocol, name, max(max_bytes, self._least_bound))

    def send(self, frame: bytes) -> None:
        """Send one frame as one binary message."""
        if self._is_over or self._protocol.state is not State.OPEN:
            return
        self._put(frame)
        self._corked_bytes += len(frame)
        if not self._is_corked or self._corked_bytes > CORKED_BYTES:  # the transport says when it is behind
            self._flush()

    def _put(self, frame: bytes) -> None:
        """Put one frame among what is to be written."""
        self._protocol.send_binary(frame)

    def close(self, over: bool = False, code: str = "closed", message: str = "") -> None:
        """Close with the closing handshake; `over` is said by the session's own CLOSE (docs/protocol.md, section 9)."""
        if not self._is_over:
            self._is_over = True
            self._shut(
                _CLOSE_CODES.get(code, CloseCode.POLICY_VIOLATION), f"{code}: {message}" if message else code
            )

    def _shut(self, close_code: CloseCode, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(close_code, _shorten(reason))
            self._flush()
            self._give_up_after(CLOSE_TIMEOUT)
        elif self._protocol.state is State.CONNECTING and self._transport is not None:
            self._transport.abort()

    def _violate(self, close_code: CloseCode, code: str, message: str) -> None:
        self._shut(close_code, message)
        self._end(code, message)

    def _end(self, code: str, message: str) -> None:
        if not self._is_over:
            self._is_over = True
            if self._receiver is not None:
                self._receiver.closed(False, code, message)

    @abstractmethod
    def _greet(self, event: Request | Response) -> None:
        """The opening handshake, for client and server to fill in."""

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is of another class

    def data_received(self, data: bytes) -> None:
        """Bytes came in: deliver what they complete, then write all answers at once."""
        protocol = self._protocol
        self._is_corked = True
        try:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Frame):
                    self._take(event)
                else:
                    self._greet(event)
        finally:
            self._is_corked = False
            self._flush()
        if protocol.parser_exc is not None:
            self._parser_failed(protocol.parser_exc)

    def eof_received(self) -> None:
        """The peer will send no more: asyncio closes the socket."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, for whatever reason."""
        if self._timer is not None:
            self._timer.cancel()
        self.is_writable = False
        self._protocol.receive_eof()
        self._end(
            "connection_lost", f"the connection broke: {exc}" if exc else "the peer closed the connection"
        )

    def pause_writing(self) -> None:
        """The transport is behind."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """The transport has caught up."""
        self.is_writable = True
        if not self._is_over and self._receiver is not None:
            self._receiver.writable()

    # One event, and what is to be written.

    def _take(self, frame: Frame) -> None:
        if self._is_over:
            return
        opcode = frame.opcode
        if opcode is Opcode.BINARY:
            if frame.fin:
                self._deliver(frame.data)
            else:
                self._partial = bytearray(frame.data)
        elif opcode is Opcode.CONT and self._partial is not None:
            self._partial += frame.data
            if frame.fin:
                message, self._partial = self._partial, None
                self._deliver(message)
        elif opcode is Opcode.TEXT:
            self._violate(
                CloseCode.UNSUPPORTED_DATA,
                "protocol_error",
                "a text message; each frame is one binary message",
            )
        elif opcode is Opcode.CLOSE:
            self._give_up_after(CLOSE_TIMEOUT)
            self._end("connection_lost", f"the peer closed the WebSocket: {self._protocol.close_rcvd}")

    def _deliver(self, message: bytes | bytearray | memoryview) -> None:
        size = len(message)
        if size > self.max_frame_bytes:
            self._violate(CloseCode.MESSAGE_TOO_BIG, "too_large", self._too_large(size))
        elif self._receiver is not None:
            self._receiver.frame_received(message if type(message) is bytes else bytes(message))

    def _parser_failed(self, error: Exception) -> None:
        if isinstance(error, EOFError):
            return  # connection_lost follows
        self._give_up_after(CLOSE_TIMEOUT)
        if isinstance(error, PayloadTooBig):
            self._end("too_large", self._too_large(error.size))
        else:
            self._end("protocol_error", f"not a WebSocket frame: {error}")

    def _too_large(self, size: int | None) -> str:
        return f"a frame of {size} bytes; at most {self.max_frame_bytes} are taken"

    def _flush(self) -> None:
        self._corked_bytes = 0
        writes, self._unwritten = self._unwritten, []
        writes += self._protocol.data_to_send()  # after our frames: its last words are CLOSE and the end
        transport = self._transport
        if not writes or transport is None or transport.is_closing():
            return
        is_end = not writes[-1]  # websockets' SEND_EOF
        if is_end:
            writes.pop()
        if len(writes) > 1:
            transport.writelines(writes)
        elif writes:
            transport.write(writes[0])
        if is_end:
            self._half_close(transport)
        elif not self.is_writable and transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            transport.abort()
            self._end("connection_lost", f"the peer has left more than {MAX_BUFFERED_BYTES} bytes unread")

    def _half_close(self, transport: asyncio.Transport) -> None:
        """End our direction only: a socket that is closed with unread bytes resets, and our last words would be lost."""
        if transport.can_write_eof():
            transport.write_eof()
            self._give_up_after(CLOSE_TIMEOUT)
        else:
            transport.close()

    def _give_up_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)


def _shorten(reason: str) -> str:
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. A name other than localhost is not looked up, and counts as not."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
