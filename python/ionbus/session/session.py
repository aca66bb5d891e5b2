"""One side's half of a session: numbers, acknowledgements, replay, credit, transfers, heartbeats (docs/protocol.md, 4 to 8).

Pure: frames and the time (milliseconds on any monotonic clock) go in, frames to send and what arrived come out. The
same class serves client and broker; the greeting is around it (`connection`, `acceptor`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ionbus.generated.protocol import Frame, Limits, Message
from ionbus.session.liveness import Liveness
from ionbus.session.outbox import EVENTS, Delivery, Entry, Outbox, SharedEvent
from ionbus.session.replay import Part, Replay
from ionbus.session.transfers import Incoming, Outgoing
from ionbus.wire.frames import MalformedFrame, decode_frame, encode_control, encode_data, uint_fields
from ionbus.wire.messages import check_message, encode_message, event_name
from ionbus.wire.pieces import Encoded

_OF_TRANSFERS = frozenset((Message.BEGIN, Message.CHUNK, Message.GRANT, Message.ABORT, Message.REJECT))
"""Messages that are for the engine itself."""


@dataclass(slots=True)  # one for each message: to freeze it doubles the time that it takes
class Delivered:
    """A message for the application, in order, once. `message` is a list, its type first; `seq` is its number."""

    seq: int
    message: list[Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The other side refused to take a large message; `tag` is what `send` or `emit` was given."""

    tag: object
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Violation:
    """The other side broke the protocol: CLOSE with this code, then drop the channel. `over`: the session ends too."""

    code: Literal["protocol_error", "protocol_violation"]
    message: str
    over: bool


Arrival = Delivered | Rejected | Violation


class Session:
    """See the module. Until `attach` everything waits."""

    __slots__ = (
        "_ack_due",
        "_consumed_bytes",
        "_consumed_events",
        "_control",
        "_granted_at",
        "_incoming",
        "_is_attached",
        "_limits",
        "_liveness",
        "_outbox",
        "_outgoing",
        "_replay",
        "_spent_bytes",
        "_spent_events",
        "_unacked_bytes",
        "_unacked_elements",
        "_violations",
        "awaited",
        "credit",
        "dropped",
        "granted",
        "received",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._outbox = Outbox(limits.max_latest_keys)
        self._replay = Replay(limits.replay_bytes, limits.replay_elements)
        self._outgoing = Outgoing(limits.transfer_part_bytes, limits.transfer_ahead_bytes)
        self._incoming = Incoming(limits)
        self._liveness = Liveness(limits.heartbeat_ms, limits.silence_ms)
        self._control: dict[Frame, bytes] = {}  # at most one of a kind waits: the newest says all
        self._is_attached = False

        self.received = 0
        """The number of the last element taken."""
        self._unacked_elements = 0
        self._unacked_bytes = 0
        self._ack_due = math.inf

        self.credit = (0, 0)
        """The totals of bytes and events that the peer has granted."""
        self._spent_bytes = self._spent_events = 0
        self._consumed_bytes = self._consumed_events = 0
        self._granted_at = (0, 0)  # what had been consumed then
        self.granted = (limits.credit_bytes, limits.credit_messages)
        """The totals of bytes and events granted to the peer, for HELLO and WELCOME."""

        self._violations = 0
        self.awaited = 0
        """How many emitters wait for credit; whoever drives this keeps it."""
        self.dropped: Counter[tuple[str, str]] = Counter()
        """Events that will never arrive, by name and reason: `absent`, `behind`, `superseded`, `forgotten`, `too_large`."""

    # What the application does.

    def send(self, message: Encoded, lane: Hashable | None = None, tag: object = None) -> Entry:
        """Queue a message that needs no credit. `lane` keeps its order with others of the lane around a transfer."""
        entry = Entry(message, -1, "session", None, lane, tag)
        self._outbox.push(entry)
        return entry

    def emit(
        self, message: Encoded, cost: int, delivery: Delivery, key: Hashable | None = None, tag: object = None
    ) -> Entry | None:
        """Queue an event.

        Args:
            message: the EVENT or ENVELOPE.
            cost: the length of its payload, in bytes.
            delivery: `volatile` is dropped unless it could leave now; `latest` takes the place of the one with the
                same key that still waits.
            key: event name and key, for `latest`.
            tag: what `Rejected` shall give back.

        Returns:
            The entry, or None for a volatile event that was dropped.
        """
        if delivery == "latest":
            waiting = self._outbox.replace(key, message, cost)
            if waiting is not None:
                self.drop(message, "superseded")
                return waiting
        elif delivery == "volatile" and not (
            self._is_attached and self.accepts_events and not self._replay.is_full
        ):
            self.drop(message, "behind" if self._is_attached else "absent")
            return None
        entry = Entry(message, cost, delivery, key, EVENTS, tag)
        forgotten = self._outbox.push(entry)
        if forgotten is not None:
            self.drop(forgotten.data, "forgotten")
        return entry

    def share(self, entry: SharedEvent) -> bool:
        """Queue an event that is queued in other sessions as well.

        Returns:
            Whether it leaves, or is dropped, without waiting for credit.
        """
        has_credit = self.accepts_events
        if entry.delivery == "volatile" and not (
            has_credit and self._is_attached and not self._replay.is_full
        ):
            self.drop(entry.data, "behind" if self._is_attached else "absent")
            return True
        self._outbox.push_event(entry)
        return has_credit

    def drop(self, event: Encoded, reason: str) -> None:
        """Count an EVENT or ENVELOPE that will never arrive."""
        self.dropped[event_name(event), reason] += 1

    def withdraw(self, entry: Entry) -> bool:
        """Take back a message that is not fully numbered. False: too late, the other side gets it."""
        if entry.is_numbered or entry.is_dropped:
            return entry.is_dropped
        sending = self._outgoing.abort(entry)
        if sending is None:
            self._outbox.withdraw(entry)
        else:
            self._give_back(entry)
            if sending.offset:  # else its BEGIN never left: there is nothing to abort
                abort = encode_message(
                    Message.ABORT, sending.number, "call_cancelled", "given up by its sender"
                )
                self.send(abort)
            self._outbox.release(entry.lane)
        return True

    def consumed(self, cost: int, count: int = 1) -> None:
        """The application took, dropped or refused `count` events of `cost` payload bytes together: the peer may send as much again."""
        self._consumed_bytes += cost
        self._consumed_events += count
        size, count = self._granted_at
        limits = self._limits
        if (self._consumed_bytes - size) * 2 >= limits.credit_bytes or (
            self._consumed_events - count
        ) * 2 >= limits.credit_messages:
            self._granted_at = size, count = self._consumed_bytes, self._consumed_events
            self.granted = (size + limits.credit_bytes, count + limits.credit_messages)
            if self._is_attached:
                self.tell_credit()

    def tell_credit(self) -> None:
        """Send the totals granted, which the peer does not know yet."""
        self._control[Frame.CREDIT] = encode_control(Frame.CREDIT, *self.granted)

    @property
    def accepts_events(self) -> bool:
        """Whether an event emitted now has credit and waits for nothing but its turn; not where much waits whatever was granted."""
        outbox, credit = self._outbox, self.credit
        return (
            self._spent_events + outbox.queued_events < credit[1]
            and self._spent_bytes + outbox.queued_bytes < credit[0]
            and outbox.queued_bytes * 2 <= self._limits.max_queued_bytes
        )

    def is_waiting(self, key: Hashable) -> bool:
        """Whether a `latest` event with this key waits for its number."""
        return self._outbox.is_waiting(key)

    @property
    def queued_events(self) -> int:
        """Events that wait."""
        return self._outbox.queued_events

    @property
    def queued_bytes(self) -> int:
        """Payload bytes of the events that wait."""
        return self._outbox.queued_bytes

    @property
    def queued_messages(self) -> int:
        """Messages other than events that wait."""
        return self._outbox.queued_messages

    @property
    def queued_message_bytes(self) -> int:
        """Bytes of messages that wait and need no credit, and of all that is sent in parts."""
        return self._outbox.queued_message_bytes + self._outgoing.queued_bytes

    @property
    def has_waiting(self) -> bool:
        """Whether anything waits here for its number, or for the number of its last part."""
        outbox = self._outbox
        return bool(outbox.queued_messages or outbox.queued_events or self._outgoing.queued_bytes)

    @property
    def held_messages(self) -> int:
        """Messages that are kept here: those that wait, and what is not acknowledged."""
        outbox, replay = self._outbox, self._replay
        return outbox.queued_events + outbox.queued_messages + replay.sent - replay.acked

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept here: what waits, what is not acknowledged, and the parts that have arrived."""
        outbox = self._outbox
        return (
            outbox.queued_bytes
            + outbox.queued_message_bytes
            + self._outgoing.queued_bytes
            + self._replay.size
            + self._incoming.held_bytes
        )

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing waits here for the other side to take it."""
        return self.sent == self.acked and not self.has_waiting and not self.awaited

    @property
    def sent(self) -> int:
        """The number of the last element sent."""
        return self._replay.sent

    @property
    def acked(self) -> int:
        """The last number that the peer acknowledged."""
        return self._replay.acked

    @property
    def unacknowledged_events(self) -> int:
        """Events that were numbered and may not have arrived."""
        return len(self._replay.unacknowledged_events())

    @property
    def replayed(self) -> int:
        """How many elements are still to be sent again after a new channel was attached."""
        return self._replay.resending

    def unacknowledged(self) -> Counter[str]:
        """Events that were numbered and may not have arrived, by name."""
        return Counter(event_name(entry.data) for entry in self._replay.unacknowledged_events())

    def undelivered(self) -> Counter[str]:
        """Those, and the events that wait, by name."""
        return Counter(event_name(entry.data) for entry in self.undelivered_events())

    def undelivered_events(self) -> list[Entry]:
        """The events that were numbered and may not have arrived, then those that wait."""
        waiting = [*self._outgoing.entries(), *self._outbox.waiting_events()]
        return [*self._replay.unacknowledged_events(), *(entry for entry in waiting if entry.cost >= 0)]

    def unnumbered(self) -> list[Entry]:
        """Messages of which the other side cannot have got all, in order: they may go to another session."""
        entries = [*self._outgoing.entries(), *self._outbox.waiting()]
        return sorted(entries, key=lambda entry: entry.ordinal)

    # What the channel does.

    def set_heartbeat(self, interval: int, silence: int) -> None:
        """Milliseconds, as WELCOME gave them."""
        self._liveness = Liveness(interval, silence)

    def attach(self, received: int, credit: tuple[int, int], now: float) -> None:
        """A greeted channel is there.

        Args:
            received: the last element that the peer has.
            credit: totals that it grants.
            now: milliseconds.

        Raises:
            MalformedFrame: `received` was never sent, or was acknowledged further before.
        """
        if not self._replay.acked <= received <= self._replay.sent:
            raise MalformedFrame(
                f"received {received} of a session in which {self._replay.sent} were sent and {self._replay.acked} acknowledged"
            )
        for entry in self._replay.rewind(received):
            # What becomes nil never arrives, so that its receiver cannot give its credit back.
            self._spent_bytes -= entry.cost
            self._spent_events -= 1
            self.drop(entry.data, "absent" if entry.delivery == "volatile" else "superseded")
        self._raise_credit(credit)
        self._control.clear()
        self._unacked_elements = self._unacked_bytes = 0
        self._ack_due = math.inf
        self._is_attached = True
        self._liveness.start(now)

    def detach(self) -> None:
        """The channel is gone; what it did not deliver will be sent on the next."""
        self._is_attached = False
        self._liveness.stop()
        self._ack_due = math.inf

    def receive_bytes(self, frame: bytes, now: float) -> list[Arrival]:
        """`decode_frame`, then `receive`."""
        try:
            decoded = decode_frame(frame)
        except MalformedFrame as error:
            return [self.violation(str(error))]
        return self.receive(decoded, len(frame), now)

    def receive(self, frame: list[Any], size: int, now: float) -> list[Arrival]:
        """Take a decoded frame of `size` bytes; greetings and CLOSE are not for this class.

        Returns:
            What arrived, in order; a `Violation` comes last, and nothing of the frame behind it was taken.
        """
        self._liveness.heard(now)
        arrivals: list[Arrival] = []
        try:
            match frame[0]:
                case Frame.DATA:
                    self._receive_data(frame, size, now, arrivals)
                case Frame.ACK:
                    self._acknowledge(uint_fields(frame, 1)[0])
                case Frame.CREDIT:
                    granted, events = uint_fields(frame, 2)
                    self._raise_credit((granted, events))
                case Frame.PING:
                    self._control[Frame.PONG] = encode_control(Frame.PONG, uint_fields(frame, 1)[0])
                case Frame.PONG:
                    uint_fields(frame, 1)
                case Frame.HELLO | Frame.WELCOME:
                    raise MalformedFrame("a second greeting")
                case _:
                    pass  # a later version's frame
        except MalformedFrame as error:
            arrivals.append(self.violation(str(error)))
        return arrivals

    def violation(self, message: str) -> Violation:
        """Count a violation: the second without progress in between ends the session, lest it be replayed for ever."""
        self._violations += 1
        if self._violations > 1:
            return Violation("protocol_violation", message, over=True)
        return Violation("protocol_error", message, over=False)

    def next_frame(self, now: float) -> bytes | None:
        """What to send now. Call again until it gives None, while the channel is writable."""
        if not self._is_attached:
            return None
        if self._control:
            frame = self._control.pop(next(iter(self._control)))
        else:
            data = self._next_data()
            if data is not None:
                frame = data
            elif self._ack_due <= now:
                frame = encode_control(Frame.ACK, self.received)
            else:
                return None
            self._unacked_elements = self._unacked_bytes = 0
            self._ack_due = math.inf
        self._liveness.sent(now)
        return frame

    def tick(self, now: float) -> Literal["silent"] | None:
        """Call at `deadline`, then ask `next_frame`. Gives "silent" once when the peer has become so."""
        action = self._liveness.tick(now)
        if action == "ping":
            self._control[Frame.PING] = encode_control(Frame.PING, max(0, int(now)))
        return "silent" if action == "silent" else None

    def deadline(self) -> float:
        """When `tick` and `next_frame` want to be called though nothing happens: milliseconds, or infinity."""
        return min(self._ack_due, self._liveness.due)

    # Inside.

    def _receive_data(self, frame: list[Any], size: int, now: float, arrivals: list[Arrival]) -> None:
        first_seq, ack = uint_fields(frame, 2)
        if first_seq == 0 or first_seq > self.received + 1:
            raise MalformedFrame(f"element {first_seq} after {self.received}: a gap")
        if len(frame) - 3 > self._limits.max_frame_elements:
            raise MalformedFrame(
                f"a frame of {len(frame) - 3} elements; it holds {self._limits.max_frame_elements} at most"
            )
        self._acknowledge(ack)
        self._take_elements(islice(frame, 4 + self.received - first_seq, None), arrivals)
        self._unacked_bytes += size
        limits = self._limits
        if self._unacked_elements >= limits.ack_elements or self._unacked_bytes >= limits.ack_bytes:
            self._ack_due = now
        else:  # what was skipped is acknowledged again: its sender may not know
            self._ack_due = min(self._ack_due, now + limits.ack_delay_ms)

    def _take_elements(self, elements: Iterable[Any], arrivals: list[Arrival]) -> None:
        """Take those that are new, up to one that is malformed."""
        limits, seq = self._limits, self.received
        try:
            for element in elements:
                if element is not None:
                    if type(element) is not list:
                        raise MalformedFrame("an element is a message or nil")
                    if check_message(element, limits):
                        message = (
                            self._of_transfer(element, arrivals) if element[0] in _OF_TRANSFERS else element
                        )
                        if message is not None:
                            arrivals.append(Delivered(seq + 1, message))
                seq += 1
        finally:
            if seq > self.received:
                self._unacked_elements += seq - self.received
                self._violations = 0
                self.received = seq

    def _of_transfer(self, element: list[Any], arrivals: list[Arrival]) -> list[Any] | None:
        """Take what concerns a transfer; gives the message of one that is whole."""
        match element[0]:
            case Message.BEGIN:
                return self._whole(self._incoming.begin(element[1], element[2], element[3]))
            case Message.CHUNK:
                return self._whole(self._incoming.chunk(element[1], element[2]))
            case Message.ABORT:
                self._incoming.abort(element[1])
                self._send_replies()
            case Message.GRANT:
                self._outgoing.grant(element[1], element[2])
            case Message.REJECT:
                entry = self._outgoing.reject(element[1])
                if entry is not None:
                    self._give_back(entry)
                    if entry.cost >= 0:
                        self.drop(entry.data, "too_large")
                    self._outbox.release(entry.lane)
                    arrivals.append(Rejected(entry.tag, element[2], element[3]))
        return None

    def _whole(self, data: bytearray | None) -> list[Any] | None:
        """A transfer's message, once its last part is there."""
        self._send_replies()
        if data is None:
            return None
        message = decode_frame(data)
        if not check_message(message, self._limits):
            return None
        if message[0] in (Message.BEGIN, Message.CHUNK):
            raise MalformedFrame("a transfer within a transfer")
        return message

    def _send_replies(self) -> None:
        for reply in self._incoming.replies:
            self.send(reply)
        self._incoming.replies.clear()

    def _acknowledge(self, ack: int) -> None:
        if ack > self._replay.sent:
            raise MalformedFrame(f"acknowledges element {ack}; {self._replay.sent} were sent")
        self._replay.acknowledge(ack)

    def _raise_credit(self, credit: tuple[int, int]) -> None:
        self.credit = (max(self.credit[0], credit[0]), max(self.credit[1], credit[1]))

    def _give_back(self, entry: Entry) -> None:
        """An event whose transfer ends early never arrives, so that its receiver cannot give its credit back."""
        entry.is_dropped = True
        if entry.cost >= 0:
            self._spent_bytes -= entry.cost
            self._spent_events -= 1

    def _has_credit(self) -> bool:
        return self._spent_bytes < self.credit[0] and self._spent_events < self.credit[1]

    def _next_data(self) -> bytes | None:
        replay, limits, outbox, outgoing = self._replay, self._limits, self._outbox, self._outgoing
        if replay.is_resending:
            return self._sent_again()
        if not (outbox.queued_messages or outbox.queued_events or outgoing.turns):
            return None
        first = replay.sent + 1
        # One place is kept for a part, so that no flood of small messages holds up a transfer.
        room = limits.batch_elements - bool(outgoing.turns)
        elements, size = self._number_run(room)
        if outbox.queued_messages or outbox.queued_events:
            self._number_each(room, elements, size)
        if outgoing.turns and len(elements) < limits.batch_elements and not replay.is_full:
            part = outgoing.next_part(replay.sent + 1, replay.acked)
            if part is not None:
                element, entry = part
                replay.append(Part(element, entry))
                elements.append(element)
                if entry is not None:
                    entry.is_numbered = True
                    outbox.release(entry.lane)
        return encode_data(first, self.received, elements, len(elements)) if elements else None

    def _sent_again(self) -> bytes:
        """A frame of what a cut may have lost."""
        replay, limits = self._replay, self._limits
        elements: list[bytes] = []
        first = size = parts = 0
        while len(elements) < limits.batch_elements and size < limits.batch_bytes:
            again = replay.next_again()
            if again is None:
                break
            parts += is_part(again[1])
            if parts > 1:
                break
            first = first or again[0]
            elements.append(again[1])
            size += len(again[1])
            replay.take_again()
        return encode_data(first, self.received, elements, len(elements))

    def _number_run(self, most: int) -> tuple[list[bytes], int]:
        """The usual case, all in one: what waits first are messages, or events, with nothing special about them. Gives them and their bytes."""
        replay, limits, outbox, credit = self._replay, self._limits, self._outbox, self.credit
        free_elements, free_bytes = replay.room
        most, max_bytes = min(most, free_elements), min(limits.batch_bytes, free_bytes)
        if outbox.queued_events:
            waiting = outbox.queued_bytes
            entries = outbox.take_events(
                min(most, credit[1] - self._spent_events),
                max_bytes,
                credit[0] - self._spent_bytes,
                limits.transfer_threshold_bytes,
            )
            self._spent_bytes += waiting - outbox.queued_bytes
            self._spent_events += len(entries)
        else:
            entries = outbox.take_messages(most, max_bytes, limits.transfer_threshold_bytes)
        elements: list[bytes] = [entry.data for entry in entries]  # type: ignore[misc] # small, so in one piece
        size = sum(map(len, elements))
        replay.extend(entries, size)
        return elements, size

    def _number_each(self, most: int, elements: list[bytes], size: int) -> None:
        """Number what comes next, one by one, behind those of `size` bytes, until there are `most`."""
        replay, limits, outbox = self._replay, self._limits, self._outbox
        while len(elements) < most and size < limits.batch_bytes and not replay.is_full:
            entry = outbox.take(self._has_credit())
            if entry is None:
                break
            if entry.cost >= 0:
                self._spent_bytes += entry.cost
                self._spent_events += 1
            if len(entry.data) > limits.transfer_threshold_bytes:
                outbox.hold(entry.lane)
                self._outgoing.begin(entry)
                continue
            entry.data = whole = bytes(entry.data)  # which copies only what is in pieces
            replay.append(entry)
            elements.append(whole)
            entry.is_numbered = True
            size += len(whole)


def is_part(element: bytes) -> bool:
    """Whether an encoded element is BEGIN or CHUNK."""
    return len(element) > 1 and element[1] in (Message.BEGIN, Message.CHUNK) and element[0] & 0xF0 == 0x90
