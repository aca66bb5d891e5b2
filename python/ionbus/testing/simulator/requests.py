"""The requests of one side, and those that it owes an answer: each ends exactly once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from ionbus.generated.protocol import Message
from ionbus.testing.simulator.broken import expect
from ionbus.testing.simulator.ledger import Item, Totals
from ionbus.testing.simulator.sender import Sender
from ionbus.wire.messages import encode_call, encode_item, encode_message, encode_result

MOST_ASKED: Final = 12
"""Requests of one side under way at once."""
_LARGEST_ITEM: Final = 600
"""Items are always taken: a stream whose item is rejected is a matter of handlers."""

T = TypeVar("T")
Kind = Literal["call", "stream"]
Fate = Literal["pending", "cancelled", "answered", "withdrawn", "rejected", "lost"]
_UNDER_WAY: Final = ("pending", "cancelled")


@dataclass(slots=True, eq=False)
class Asked:
    """A request that this side has made; `items` are the sizes of those that arrived and were not read."""

    id: int
    kind: Kind
    tag: str
    fate: Fate = "pending"
    items: deque[int] = field(default_factory=deque)
    granted: Totals = (0, 0)
    arrived: Totals = (0, 0)
    read: Totals = (0, 0)


@dataclass(slots=True, eq=False)
class Owed:
    """A request of the other side that this one is to answer."""

    id: int
    kind: Kind
    granted: Totals = (0, 0)
    sent: Totals = (0, 0)

    @property
    def has_credit(self) -> bool:
        """Whether an item may be sent."""
        return self.sent[0] < self.granted[0] and self.sent[1] < self.granted[1]


class Requests:
    """See the module.

    Args:
        sender: into the engine.
        is_eager: calls are answered and items read as soon as they arrive.
    """

    def __init__(self, sender: Sender, *, is_eager: bool) -> None:
        self._sender = sender
        self._is_eager = is_eager
        self._asked: dict[int, Asked] = {}
        self._owed: dict[int, Owed] = {}
        self._seen: set[int] = set()
        self._last = 0

    @property
    def is_idle(self) -> bool:
        """Whether all have ended."""
        return not self._owed and not self._under_way()

    # What this side does.

    def ask(self, kind: Kind, size: int) -> None:
        """Make a request."""
        if len(self._under_way()) >= MOST_ASKED:
            return
        self._last = number = self._last + 1
        sender = self._sender
        payload = sender.payload(size)
        if kind == "call":
            asked = Asked(number, kind, sender.send(bytes(encode_call(number, "a.call", payload)), number))
        else:
            window = (sender.limits.stream_credit_bytes, sender.limits.stream_credit_messages)
            message = encode_message(Message.STREAM, number, "a.stream", payload, {"credit": list(window)})
            asked = Asked(number, kind, sender.send(message, number), granted=window)
        self._asked[number] = asked

    def cancel(self, nth: int) -> None:
        """Give up a request: take it back, or send CANCEL."""
        asked = _pick([asked for asked in self._asked.values() if asked.fate == "pending"], nth)
        if asked is None:
            return
        if self._sender.withdraw(asked.tag):
            asked.fate = "withdrawn"
        else:
            asked.fate = "cancelled"
            self._sender.send(encode_message(Message.CANCEL, asked.id), asked.id)

    def answer(self, nth: int, size: int, *, is_right: bool) -> None:
        """Answer a request, or end a stream."""
        owed = _pick(list(self._owed.values()), nth)
        if owed is not None and self._sender.has_room:
            self._answer(owed, size, is_right=is_right)

    def item(self, nth: int, size: int) -> None:
        """Send an item of a stream that has credit."""
        owed = _pick([owed for owed in self._owed.values() if owed.kind == "stream" and owed.has_credit], nth)
        if owed is not None and self._sender.has_room:
            payload = self._sender.payload(min(size, _LARGEST_ITEM))
            owed.sent = _more(owed.sent, len(payload))
            self._sender.send(bytes(encode_item(owed.id, payload)), -owed.id)

    def read(self, nth: int, count: int) -> None:
        """Take items of a stream, and grant what that frees."""
        asked = _pick([asked for asked in self._asked.values() if asked.items], nth)
        if asked is not None:
            self._read(asked, count)

    def finish(self) -> None:
        """Read and answer all that there is."""
        for asked in self._asked.values():
            self._read(asked, len(asked.items))
        for owed in list(self._owed.values()):
            if self._sender.has_room:
                self._answer(owed, 0, is_right=True)

    # What arrives.

    def arrived(self, message: list[Any]) -> None:
        """A message about a request has arrived."""
        number = message[1]
        match message[0]:
            case Message.CALL:
                self._request(Owed(number, "call"))
            case Message.STREAM:
                size, count = message[4]["credit"]
                self._request(Owed(number, "stream", granted=(size, count)))
            case Message.RESULT | Message.ERROR | Message.END:
                asked = self._asked[number]
                self._expect(
                    asked.fate in _UNDER_WAY, "once", f"request {number} is answered and was {asked.fate}"
                )
                asked.fate = "answered"
            case Message.ITEM:
                self._item(self._asked[number], len(message[2]))
            case Message.CANCEL:
                if number in self._owed:
                    self._answer(self._owed[number], 0, is_right=False)
            case Message.STREAM_CREDIT:
                owed = self._owed.get(number)
                if owed is not None:
                    owed.granted = (max(owed.granted[0], message[2]), max(owed.granted[1], message[3]))

    def rejected(self, message: list[Any]) -> None:
        """The other side does not take a message of ours."""
        number = message[1]
        if message[0] == Message.RESULT:
            self._sender.send(
                encode_message(Message.ERROR, number, "too_large", "the answer is too large"), -number
            )
        elif message[0] in (Message.CALL, Message.STREAM):
            asked = self._asked[number]
            self._expect(
                asked.fate == "pending", "once", f"request {number} is rejected and was {asked.fate}"
            )
            asked.fate = "rejected"

    # The session's end.

    def replaced(self, waiting: list[Item]) -> None:
        """The session is a new one: requests that wait go into it, the others are lost."""
        self._owed.clear()
        self._seen.clear()
        kept = {item.tag: item for item in waiting}
        for asked in self._under_way():
            if asked.fate == "pending" and asked.tag in kept:
                asked.tag = self._sender.send_again(kept[asked.tag])
            else:
                asked.fate = "lost"

    def ended(self) -> None:
        """The session is over for good."""
        self._owed.clear()
        for asked in self._under_way():
            asked.fate = "lost"

    # Inside.

    def _under_way(self) -> list[Asked]:
        return [asked for asked in self._asked.values() if asked.fate in _UNDER_WAY]

    def _request(self, owed: Owed) -> None:
        self._expect(owed.id not in self._seen, "once", f"request {owed.id} arrives again")
        self._seen.add(owed.id)
        self._owed[owed.id] = owed
        if self._is_eager and owed.kind == "call":
            self._answer(owed, 1, is_right=True)

    def _answer(self, owed: Owed, size: int, *, is_right: bool) -> None:
        del self._owed[owed.id]
        if not is_right:
            message = encode_message(Message.ERROR, owed.id, "call_cancelled", "it was not to be")
        elif owed.kind == "call":
            message = bytes(encode_result(owed.id, self._sender.payload(size)))
        else:
            message = encode_message(Message.END, owed.id)
        self._sender.send(message, -owed.id)

    def _item(self, asked: Asked, size: int) -> None:
        self._expect(
            asked.fate in _UNDER_WAY, "once", f"an item of request {asked.id}, which was {asked.fate}"
        )
        has_credit = asked.arrived[0] < asked.granted[0] and asked.arrived[1] < asked.granted[1]
        self._expect(has_credit, "credit", f"an item of request {asked.id} beyond {asked.granted}")
        asked.arrived = _more(asked.arrived, size)
        asked.items.append(size)
        if self._is_eager:
            self._read(asked, 1)

    def _read(self, asked: Asked, count: int) -> None:
        for _ in range(min(count, len(asked.items))):
            asked.read = _more(asked.read, asked.items.popleft())
        limits = self._sender.limits
        grant = (asked.read[0] + limits.stream_credit_bytes, asked.read[1] + limits.stream_credit_messages)
        if asked.kind == "stream" and grant != asked.granted and asked.fate == "pending":
            asked.granted = grant
            self._sender.send(encode_message(Message.STREAM_CREDIT, asked.id, *grant), asked.id)

    def _expect(self, holds: bool, rule: str, text: str) -> None:
        expect(holds, rule, text, self._sender.owner)


def _more(totals: Totals, size: int) -> Totals:
    return totals[0] + size, totals[1] + 1


def _pick(things: list[T], nth: int) -> T | None:
    return things[nth % len(things)] if things else None
