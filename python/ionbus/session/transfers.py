"""Messages that travel in parts (docs/protocol.md, section 7)."""

from __future__ import annotations

from collections import deque
from typing import Final

from ionbus.generated.protocol import Limits, Message
from ionbus.session.outbox import Entry
from ionbus.wire.frames import MalformedFrame
from ionbus.wire.messages import encode_message, encode_part

TRANSFER_BYTES: Final = 256
"""What a transfer that arrives takes besides its parts."""


class Sending:
    """One message that is being sent in parts."""

    __slots__ = ("entry", "granted", "number", "offset")

    def __init__(self, number: int, entry: Entry, granted: int) -> None:
        self.number = number
        self.entry = entry
        self.offset = 0
        self.granted = granted


class Outgoing:
    """The transfers that this side sends; they take turns, one part each.

    Parts go only so far ahead of their acknowledgements: what is sent meanwhile would wait behind them, in the system's buffers.
    """

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_last",
        "_most_ahead",
        "_part_bytes",
        "_under_way",
        "queued_bytes",
        "turns",
    )

    def __init__(self, part_bytes: int, most_ahead: int) -> None:
        self._part_bytes = part_bytes
        self._most_ahead = most_ahead
        self._ahead: deque[tuple[int, int]] = deque()  # number and bytes of parts, until acknowledged
        self._ahead_bytes = 0
        self._last = 0
        self.turns: dict[int, Sending] = {}
        """Those that may go on, in the order of their turns."""
        self._under_way: dict[int, Sending] = {}
        self.queued_bytes = 0
        """Bytes of the messages under way."""

    def begin(self, entry: Entry) -> None:
        """Take up a message; its first part needs no grant."""
        self._last += 1
        self.queued_bytes += len(entry.data)
        sending = Sending(self._last, entry, self._part_bytes)
        self._under_way[self._last] = self.turns[self._last] = sending

    def next_part(self, seq: int, acked: int) -> tuple[bytes, Entry | None] | None:
        """The next element to send, with the message's entry where it is its last part; None while no transfer may go on.

        Args:
            seq: the number that it will have.
            acked: the last one that is acknowledged.
        """
        if not self.turns:
            return None
        while self._ahead and self._ahead[0][0] <= acked:
            self._ahead_bytes -= self._ahead.popleft()[1]
        if self._ahead_bytes >= self._most_ahead:
            return None
        number = next(iter(self.turns))
        sending = self.turns.pop(number)
        data, offset = sending.entry.data, sending.offset
        end = sending.offset = min(offset + self._part_bytes, sending.granted, len(data))
        self._ahead.append((seq, end - offset))
        self._ahead_bytes += end - offset
        is_last = end == len(data)
        if is_last:
            self._forget(sending)
        elif sending.offset < sending.granted:
            self.turns[number] = sending
        if offset:
            element = encode_part(Message.CHUNK, number, of=data, start=offset, stop=end)
        else:
            element = encode_part(Message.BEGIN, number, len(data), of=data, start=offset, stop=end)
        return element, sending.entry if is_last else None

    def grant(self, number: int, total: int) -> None:
        """The receiver takes parts up to `total` bytes."""
        sending = self._find(number, "GRANT")
        if sending is not None and total > sending.granted:
            sending.granted = total
            self.turns.setdefault(number, sending)

    def reject(self, number: int) -> Entry | None:
        """The receiver refuses the transfer; gives the entry unless it had ended before."""
        sending = self._find(number, "REJECT")
        if sending is None:
            return None
        self._forget(sending)
        return sending.entry

    def abort(self, entry: Entry) -> Sending | None:
        """Give up the transfer of `entry`; what there was of it, or None where it is not under way."""
        for sending in self._under_way.values():
            if sending.entry is entry:
                self._forget(sending)
                return sending
        return None

    def entries(self) -> list[Entry]:
        """The messages that are under way."""
        return [sending.entry for sending in tuple(self._under_way.values())]

    def _forget(self, sending: Sending) -> None:
        del self._under_way[sending.number]
        self.turns.pop(sending.number, None)
        self.queued_bytes -= len(sending.entry.data)

    def _find(self, number: int, what: str) -> Sending | None:
        if not 0 < number <= self._last:
            raise MalformedFrame(f"{what} for transfer {number}, which never was")
        return self._under_way.get(number)


class Receiving:
    """One message that is arriving in parts. They are joined at once: as objects, small ones take many times their bytes."""

    __slots__ = ("data", "granted", "total")

    def __init__(self, total: int, granted: int) -> None:
        self.total = total
        self.granted = granted
        self.data = bytearray()


class Incoming:
    """The transfers that this side receives, all together at most `max_assembly_bytes`; the others wait for their grant."""

    __slots__ = ("_last", "_limits", "_reserved", "_under_way", "_waiting", "held_bytes", "replies")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._last = 0
        self._under_way: dict[int, Receiving] = {}
        self._waiting: dict[int, Receiving] = {}  # in their order
        self._reserved = 0
        self.held_bytes = 0
        """Bytes of all parts that have arrived, and what each transfer takes besides."""
        self.replies: list[bytes] = []
        """GRANT and REJECT messages to send; whoever reads them empties the list."""

    def begin(self, number: int, total: int, part: bytes) -> bytearray | None:
        """BEGIN arrived; gives the message where this part is all of it (which no sender should do).

        Raises:
            MalformedFrame: the number is not above all earlier ones, the total or part is out of bounds, or too many are under way.
        """
        if number <= self._last:
            raise MalformedFrame(f"BEGIN of transfer {number} after {self._last}")
        if total <= self._limits.transfer_threshold_bytes:
            raise MalformedFrame(f"transfer {number} of {total} bytes: too small to be one")
        most = 2 * self._limits.max_requests
        if len(self._under_way) >= most:
            raise MalformedFrame(f"transfer {number} while {most} are under way")
        self._last = number
        if total > self._limits.max_message_bytes:
            message = f"a message of {total} bytes; the receiver takes {self._limits.max_message_bytes}"
            self.replies.append(encode_message(Message.REJECT, number, "too_large", message))
            return None
        receiving = Receiving(total, self._limits.transfer_part_bytes)
        self._under_way[number] = self._waiting[number] = receiving
        self.held_bytes += TRANSFER_BYTES
        self._grant_waiting()
        return self._add(number, part)

    def chunk(self, number: int, part: bytes) -> bytearray | None:
        """CHUNK arrived; gives the whole message with its last part.

        Raises:
            MalformedFrame: no such transfer, or more bytes than granted or announced.
        """
        if not 0 < number <= self._last:
            raise MalformedFrame(f"CHUNK for transfer {number}, which never was")
        return self._add(number, part) if number in self._under_way else None

    def abort(self, number: int) -> None:
        """The sender gives up.

        Raises:
            MalformedFrame: no such transfer.
        """
        if not 0 < number <= self._last:
            raise MalformedFrame(f"ABORT of transfer {number}, which never was")
        self._finish(number)

    def _add(self, number: int, part: bytes) -> bytearray | None:
        receiving = self._under_way[number]
        if not 0 < len(part) <= self._limits.transfer_part_bytes:
            raise MalformedFrame(f"transfer {number}: a part of {len(part)} bytes")
        received = len(receiving.data) + len(part)
        if received > min(receiving.granted, receiving.total):
            raise MalformedFrame(
                f"transfer {number}: byte {received} of {receiving.total}, granted {receiving.granted}"
            )
        receiving.data += part
        self.held_bytes += len(part)
        if received < receiving.total:
            return None
        self._finish(number)
        return receiving.data

    def _finish(self, number: int) -> None:
        receiving = self._under_way.pop(number, None)
        if receiving is None:
            return
        self.held_bytes -= TRANSFER_BYTES + len(receiving.data)
        if self._waiting.pop(number, None) is None:
            self._reserved -= receiving.total
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        while self._waiting:
            number, receiving = next(iter(self._waiting.items()))
            if self._reserved + receiving.total > self._limits.max_assembly_bytes:
                return
            del self._waiting[number]
            self._reserved += receiving.total
            receiving.granted = receiving.total
            self.replies.append(encode_message(Message.GRANT, number, receiving.total))
