"""The application of a client whose frames are tampered with, and of its sessions at the broker: it believes nothing."""

from __future__ import annotations

from typing import Any, Final

from ionbus.generated.protocol import Message
from ionbus.testing.simulator.engines import Outlet
from ionbus.wire.messages import encode_call, encode_event, encode_message, encode_result

MOST_QUEUED: Final = 30


class Stranger:
    """It sends something, and answers what makes sense to it.

    Args:
        outlet: to the engine.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._count = 0

    def event(self, size: int) -> None:
        """Emit an event."""
        if self._outlet.session.queued_events < MOST_QUEUED:
            payload = bytes(size)
            self._outlet.emit(bytes(encode_event("an.event", payload)), size, "session", None, self._tag())

    def call(self, size: int) -> None:
        """Make a call."""
        self._send(bytes(encode_call(self._count + 1, "a.call", bytes(size))))

    def endure(self, message: list[Any]) -> None:
        """A message has arrived, whatever it is."""
        match message[0]:
            case Message.EVENT:
                self._outlet.consumed(len(message[2]))
            case Message.CALL:
                self._send(bytes(encode_result(message[1], b"")))
            case Message.STREAM:
                self._send(encode_message(Message.END, message[1]))
            case Message.SUBSCRIBE:
                self._send(encode_message(Message.SUBSCRIBED, message[1]))

    def ended(self) -> None:
        """It is over."""

    def _send(self, message: bytes) -> None:
        if self._outlet.session.queued_messages < MOST_QUEUED:
            self._outlet.send(message, None, self._tag())

    def _tag(self) -> str:
        self._count += 1
        return f"strange {self._count}"
