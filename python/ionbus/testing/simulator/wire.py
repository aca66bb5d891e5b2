"""The frames of one side in one session as they leave: numbers, replay, batches, acknowledgements, parts.

It finds in them the messages of the application and tells the ledger, whose account of what is expected is the other half.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ionbus.generated.protocol import Frame, Limits, Message
from ionbus.session.session import Session
from ionbus.testing.simulator.broken import Broken, expect
from ionbus.testing.simulator.ledger import INTERNAL, Ledger, Totals
from ionbus.wire.frames import decode_frame


@dataclass(slots=True)
class _Transfer:
    """A message as its parts were seen to leave."""

    total: int
    data: bytearray = field(default_factory=bytearray)


class Wire:
    """See the module.

    Args:
        limits: of the sending side.
        ledger: of what it sends.

    Attributes:
        sent: the newest number.
    """

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self.ledger = ledger
        self.sent = 0
        self._limits = limits
        self._owner = ledger.owner
        self._elements: dict[int, Any] = {}  # as they left, until they are acknowledged
        self._transfers: dict[int, _Transfer] = {}
        self._acked = 0
        self._next = 1

    def attached(self, received: int) -> None:
        """A channel was greeted, and the other side has `received`: what follows is sent again, some of it as nil."""
        self._acknowledged(received)
        self._next = received + 1
        for number in self.ledger.rewound(received, self.sent):
            self._elements[number] = None

    def leaves(self, frame: bytes, engine: Session, granted: Totals) -> None:
        """A frame leaves.

        Args:
            frame: as it goes on its way.
            engine: of this side, whose facts it tells.
            granted: the totals that the other side has granted so far.
        """
        kind, *fields = decode_frame(frame)
        if kind == Frame.DATA:
            self._acknowledged(engine.acked)
            self._data(fields, len(frame), engine, granted)
        elif kind == Frame.ACK:
            self._expect(fields[0] == engine.received, "ack", f"ACK {fields[0]} of {engine.received}")
        elif kind == Frame.CREDIT:
            self._expect(
                tuple(fields) == engine.granted, "grant", f"CREDIT {fields}; granted {engine.granted}"
            )

    def _data(self, fields: list[Any], size: int, engine: Session, granted: Totals) -> None:
        first, ack, *elements = fields
        self._expect(ack == engine.received, "ack", f"DATA acknowledges {ack} of {engine.received}")
        begin = max(self._next, self._acked + 1)
        self._expect(
            first == begin, "replay", f"DATA begins at {first}, not at {begin}; {self.sent} were sent"
        )
        limits = self._limits
        largest = limits.batch_bytes + limits.transfer_threshold_bytes + limits.transfer_part_bytes + 60
        self._expect(0 < len(elements) <= limits.batch_elements, "batch", f"{len(elements)} elements")
        self._expect(size <= largest, "batch", f"a frame of {size} bytes")
        parts = sum(
            element is not None and element[0] in (Message.BEGIN, Message.CHUNK) for element in elements
        )
        self._expect(parts <= 1, "batch", f"{parts} parts in one frame")
        for number, element in enumerate(elements, first):
            if number <= self.sent:
                was = self._elements[number]
                self._expect(element == was, "replay", f"element {number} was {was}, is {element} now")
            else:
                self.sent = number
                self._elements[number] = element
                message = self._message(element)
                if message is not None:
                    self.ledger.leaves(number, message, engine.credit, granted)
        self._next = first + len(elements)

    def _message(self, element: list[Any]) -> list[Any] | None:
        """The message that ends with a new element, if one of the application does."""
        match element[0]:
            case Message.BEGIN:
                self._transfers[element[1]] = _Transfer(element[2])
                return self._part(element[1], element[3])
            case Message.CHUNK:
                return self._part(element[1], element[2])
            case Message.ABORT:
                known = self._transfers.pop(element[1], None)
                self._expect(known is not None, "transfer", f"ABORT of transfer {element[1]}, which is none")
            case kind if kind not in INTERNAL:
                return element
        return None

    def _part(self, number: int, part: bytes) -> list[Any] | None:
        transfer = self._transfers.get(number)
        if transfer is None:
            raise Broken("transfer", f"a part of transfer {number}, which is none", self._owner)
        transfer.data += part
        size, total = len(transfer.data), transfer.total
        is_right = 0 < len(part) <= self._limits.transfer_part_bytes and size <= total
        self._expect(is_right, "transfer", f"a part of {len(part)} bytes, {size} of {total}")
        if size < total:
            return None
        del self._transfers[number]
        return decode_frame(bytes(transfer.data))

    def _acknowledged(self, number: int) -> None:
        while self._acked < number:
            self._acked += 1
            self._elements.pop(self._acked, None)
            self.ledger.acknowledged(self._acked)

    def _expect(self, holds: bool, rule: str, text: str) -> None:
        expect(holds, rule, text, self._owner)
