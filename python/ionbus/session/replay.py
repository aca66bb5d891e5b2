"""Elements that were sent and not acknowledged yet (docs/protocol.md, sections 4.5 and 4.7)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from ionbus.generated.protocol import Message
from ionbus.session.outbox import Entry


class Part:
    """An element that is no message of its own: a part of a transfer, or nil.

    Attributes:
        data: the element's bytes.
        entry: the message that ends with it, if one does.
    """

    __slots__ = ("data", "entry")

    def __init__(self, data: bytes, entry: Entry | None = None) -> None:
        self.data = data
        self.entry = entry


NIL: Final = Part(b"\xc0")


class Replay:
    """The replay buffer: numbers elements as they enter, keeps them until they are acknowledged, gives them again after a cut.

    Args:
        max_bytes: above it nothing more is numbered; one element may exceed it.
        max_elements: likewise.
    """

    __slots__ = ("_again", "_kept", "_max_bytes", "_max_elements", "acked", "sent", "size")

    def __init__(self, max_bytes: int, max_elements: int) -> None:
        self._max_bytes = max_bytes
        self._max_elements = max_elements
        self._kept: deque[Entry | Part] = deque()
        self._again: deque[bytes] = deque()
        self.sent = 0
        """The number of the newest element."""
        self.acked = 0
        """The newest number that the other side acknowledged."""
        self.size = 0
        """Bytes kept."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be numbered."""
        return self.size >= self._max_bytes or len(self._kept) >= self._max_elements

    @property
    def room(self) -> tuple[int, int]:
        """Elements that may still be numbered, and the bytes with which it is full; none and none where it is."""
        return self._max_elements - len(self._kept), self._max_bytes - self.size

    @property
    def resending(self) -> int:
        """How many elements wait to be sent again."""
        return len(self._again)

    @property
    def is_resending(self) -> bool:
        """Whether elements wait to be sent again; until then nothing new may leave."""
        return bool(self._again)

    def append(self, element: Entry | Part) -> None:
        """Number a new element and keep it."""
        self._kept.append(element)
        self.size += len(element.data)
        self.sent += 1

    def extend(self, elements: Sequence[Entry], size: int) -> None:
        """Number several, of `size` bytes together."""
        self._kept.extend(elements)
        self.size += size
        self.sent += len(elements)

    def acknowledge(self, seq: int) -> None:
        """Forget every element up to and including `seq`, which is at most `sent`; an older number changes nothing."""
        if seq <= self.acked:
            return
        forget = self._kept.popleft
        size = 0
        for _ in range(seq - self.acked):
            size += len(forget().data)
        self.size -= size
        self.acked = seq
        while self._again and self.sent - len(self._again) < seq:
            self._again.popleft()

    def rewind(self, received: int) -> list[Entry]:
        """A new channel is there and the other side has `received`: send again what follows.

        An unacknowledged volatile event and a `latest` one that has a successor become nil.

        Returns:
            The events that became nil.
        """
        self.acknowledge(received)
        dropped: list[Entry] = []
        newest = set()
        for index in range(len(self._kept) - 1, -1, -1):
            entry = self._kept[index]
            if (
                isinstance(entry, Part) or entry.cost < 0 or entry.data[1] != Message.EVENT
            ):  # no ENVELOPE either
                continue
            if entry.delivery == "volatile" or (entry.delivery == "latest" and entry.key in newest):
                dropped.append(entry)
                self._kept[index] = NIL
                self.size -= len(entry.data) - len(NIL.data)
            elif entry.delivery == "latest":
                newest.add(entry.key)
        self._again = deque(bytes(element.data) for element in self._kept)
        return dropped

    def next_again(self) -> tuple[int, bytes] | None:
        """The next element to send again with its number, without taking it."""
        return (self.sent - len(self._again) + 1, self._again[0]) if self._again else None

    def take_again(self) -> None:
        """It has entered a frame."""
        self._again.popleft()

    def unacknowledged_events(self) -> list[Entry]:
        """Events that were numbered and not acknowledged: what may be lost when the session ends."""
        entries = (kept.entry if isinstance(kept, Part) else kept for kept in tuple(self._kept))
        return [entry for entry in entries if entry is not None and entry.cost >= 0]
