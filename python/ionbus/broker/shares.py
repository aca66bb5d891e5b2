"""What a subscription with options gets of the events that it matches (docs/aggregation.md, docs/protocol.md, section 5.2).

Each event that it matches is aggregated by itself, and looked at as plain data. It is encoded when the first of all that asked for some of
its kind is given it, and then once: nothing is encoded that nobody gets.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgpack

from ionbus.contract.members import Event, Member
from ionbus.dispatch.latest import Newest, hashable
from ionbus.errors import InvalidPayload
from ionbus.events.aggregation import Aggregate, Bounds, Reading
from ionbus.events.fields import Fields
from ionbus.events.filters import Filter, FilterProblem, predicate, read_filter, value_at
from ionbus.events.options import Aggregation
from ionbus.events.patterns import matcher
from ionbus.events.timed import Timed
from ionbus.session.outbox import Delivery
from ionbus.wire.messages import array_of, encode_envelope, encode_event, size_of
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving

AnyEvent = Event[Any, Any]
Question = Callable[[object], Any]
"""Asks something of a payload as plain data."""

MAX_KNOWN: Final = 1_000
"""Questions that are kept for whoever asks the same."""
MAX_SHARED_FILTER: Final = 1_024
"""Bytes of a filter that is: clients that ask for ever larger ones cannot fill the broker with what they asked for once."""

SHARE_BYTES: Final = 1_400
"""What one event of a subscription takes before anything waits: a pattern may match every event there is, and a client may have a
thousand patterns."""


class Outgoing:
    """One event on its way to those that asked for some of its kind.

    Args:
        event: which.
        plain: its payload as plain data.
        payload: its bytes, where they are known.
        trace: a W3C traceparent to send along, where it goes out by itself.
    """

    __slots__ = ("_answers", "_envelopes", "_options", "_payload", "_size", "event", "plain")

    def __init__(
        self, event: AnyEvent, plain: object, payload: Encoded | None = None, trace: str | None = None
    ) -> None:
        self.event = event
        self.plain = plain
        self._payload = payload
        self._options = None if trace is None else {"trace": trace}
        self._answers: dict[Question, Any] = {}
        self._envelopes: dict[int, Encoded] = {}
        self._size: int | None = None

    @property
    def payload(self) -> Encoded:
        """Its bytes. Raises InvalidPayload where it holds what cannot travel."""
        payload = self._payload
        if payload is None:
            payload = self._payload = self.event.payload.encode_plain(self.plain)
        return payload

    @property
    def size(self) -> int:
        """About how many bytes it takes; the same each time."""
        if self._size is None:
            self._size = size_of(self.plain) if self._payload is None else len(self._payload)
        return self._size

    def ask(self, question: Question) -> Any:
        """The answer to a question, which is asked once however many want to know."""
        answers = self._answers
        if question in answers:
            return answers[question]
        answer = answers[question] = question(self.plain)
        return answer

    def envelope(self, number: int) -> Encoded:
        """ENVELOPE for a subscription of this number: most clients count alike."""
        message = self._envelopes.get(number)
        if message is None:
            message = encode_envelope([number], encode_event(self.event.name, self.payload, self._options))
            self._envelopes[number] = message
        return message


class Questions:
    """What subscriptions ask of events: made once for all that ask the same."""

    def __init__(self) -> None:
        self._fields: dict[AnyEvent, Fields] = {}
        self._tests: dict[tuple[AnyEvent, bytes], Question] = {}
        self._keys: dict[tuple[tuple[str, ...], ...], Question] = {}
        self._read: tuple[bytes, Filter] | None = (
            None  # the filter that was read last, for each event that a pattern matches
        )

    def reading(self, event: AnyEvent, options: Aggregation) -> Reading[Outgoing]:
        """How a subscription with these options looks at an event.

        Raises:
            FilterProblem: they do not fit it.
        """
        test: Question | None = None
        if options.where is not None or options.latest_by:
            fields = self._fields_of(event)
            for path in options.latest_by:
                fields.check_path(path)
            test = None if options.where is None else self._test(event, fields, options)
        key = self._key(keys_of(event, options))
        return Reading(
            None if test is None else lambda outgoing: bool(outgoing.ask(test)),
            None if key is None else lambda outgoing: outgoing.ask(key),
            lambda outgoing: outgoing.plain,
            lambda outgoing: outgoing.size,
        )

    def _fields_of(self, event: AnyEvent) -> Fields:
        fields = self._fields.get(event)
        if fields is None:
            fields = self._fields[event] = Fields(event.payload)
        return fields

    def _test(self, event: AnyEvent, fields: Fields, options: Aggregation) -> Question:
        assert options.where is not None
        test = self._tests.get((event, options.where))
        if test is None:
            if self._read is None or self._read[0] is not options.where:
                self._read = options.where, read_filter(options.filter)
            test = predicate(fields.fitted(self._read[1]))
            if len(options.where) > MAX_SHARED_FILTER:
                return test
            if len(self._tests) >= MAX_KNOWN:
                self._tests.clear()
            self._tests[event, options.where] = test
        return test

    def _key(self, paths: tuple[tuple[str, ...], ...]) -> Question | None:
        if not paths:
            return None
        key = self._keys.get(paths)
        if key is None:
            if len(self._keys) >= MAX_KNOWN:
                self._keys.clear()
            finds = tuple(map(value_at, paths))
            key = self._keys[paths] = lambda plain: tuple(hashable(find(plain)) for find in finds)
        return key


def keys_of(event: AnyEvent, options: Aggregation) -> tuple[tuple[str, ...], ...]:
    """The paths of what tells values apart: those asked for, else a `latest` event's own."""
    if options.latest_by or event.delivery != "latest":
        return options.latest_by
    return tuple((name,) for name in event.wire_key)


class Share:
    """One subscription with options.

    Args:
        serving: the broker at work.
        session: whose it is.
        may: whether its client may use a member.
        number: the client's for it.
        pattern: what it is for.
        options: what it asks for.

    Raises:
        FilterProblem: they fit none of the events that it matches and the client may have.
    """

    def __init__(
        self,
        serving: Serving,
        session: Session,
        may: Callable[[Member], bool],
        number: int,
        pattern: str,
        options: Aggregation,
    ) -> None:
        self.serving = serving
        self.session = session
        self.may = may
        self.number = number
        self.options = options
        self.held_bytes = 0
        """What is kept for it, what it takes itself included."""
        self._of: dict[str, EventShare | None] = {}
        matches = matcher(pattern)
        problem: FilterProblem | None = None
        for name, member in serving.members.items():
            if isinstance(member, Event) and matches(name) and may(member):
                try:
                    self._of[name] = EventShare(self, member)
                except FilterProblem as error:
                    self._of[name] = None
                    problem = problem or error
        if problem is not None and not any(self._of.values()):
            raise problem
        fitting = sum(each is not None for each in self._of.values())
        self.hold(SHARE_BYTES * fitting + len(options.where or b""))

    def of(self, event: AnyEvent) -> EventShare | None:
        """Its share of one event; None: what it asks for does not fit that."""
        name = event.name
        if name not in self._of:  # it may be had since the rights are others
            try:
                self._of[name] = EventShare(self, event)
                self.hold(SHARE_BYTES)
            except FilterProblem:
                self._of[name] = None
        return self._of[name]

    def hold(self, more: int) -> None:
        """So many bytes more are kept for it, in the session's account too."""
        self.held_bytes += more
        self.session.shares_hold(more)

    def flush(self) -> None:
        """Give what waits."""
        for each in self._of.values():
            if each is not None:
                each.flush()

    def close(self) -> None:
        """Drop what waits."""
        for each in self._of.values():
            if each is not None:
                each.close()


class EventShare:
    """What a subscription gets of one event.

    Args:
        share: the subscription's.
        event: which.

    Raises:
        FilterProblem: what the subscription asks for does not fit it.
    """

    __slots__ = (
        "_delivery",
        "_event",
        "_forgotten",
        "_held",
        "_is_behind",
        "_is_giving",
        "_reading",
        "_share",
        "_timed",
        "session",
    )

    def __init__(self, share: Share, event: AnyEvent) -> None:
        serving, options = share.serving, share.options
        limits = serving.limits
        self.session = share.session
        self._share = share
        self._event = event
        self._reading = serving.events.questions.reading(event, options)
        self._delivery: Delivery = event.delivery
        if options.batch is not None:
            self._delivery = "volatile" if event.delivery == "volatile" else "session"
        elif self._reading.key is not None:
            self._delivery = "latest"
        bounds = Bounds(limits.max_latest_keys, limits.max_latest_bytes, limits.transfer_threshold_bytes // 2)
        self._timed = Timed(Aggregate(options, self._reading, bounds), serving.loop, self._hand)
        self._held = self._forgotten = 0
        self._is_behind = self._is_giving = False

    def give(self, outgoing: Outgoing) -> bool:
        """The event was emitted; whether its sender should wait for this session.

        Raises:
            InvalidPayload: it holds what cannot travel.
        """
        passes = self._reading.passes
        if passes is not None and not passes(outgoing):  # most that is emitted may be nothing to it
            return False
        self._is_behind, self._is_giving = False, True
        try:
            self._timed.add(outgoing)
        finally:
            self._is_giving = False
            self._account()
        return self._is_behind

    def begin(self, values: Iterable[Newest]) -> None:
        """The subscription is new: give it the newest values."""
        payload = self._event.payload
        outgoing = []
        for value in values:
            data: bytes = msgpack.unpackb(bytes(value.message))[2]
            outgoing.append(Outgoing(self._event, payload.plain(payload.decode(data)), data))
        self._timed.begin(outgoing)
        self._account()

    def flush(self) -> None:
        """Give what waits."""
        self._timed.flush()

    def close(self) -> None:
        """Drop what waits."""
        self._timed.close()

    def _hand(self, values: Sequence[Outgoing]) -> None:
        """Queue what goes out together."""
        session, event, share = self.session, self._event, self._share
        if not share.may(event):  # its rights are others than when it came
            return
        key: Hashable = None
        try:
            if share.options.batch is None:
                (value,) = values
                message, cost = value.envelope(share.number), len(value.payload)
                if self._delivery == "latest":
                    own = None if self._reading.key is None else self._reading.key(value)
                    key = (share.number, event.name, own)
            else:
                payload = array_of([value.payload for value in values])
                cost = len(payload)
                message = encode_envelope(
                    [share.number], encode_event(event.name, payload), {"batch": len(values)}
                )
        except InvalidPayload:
            if self._is_giving:
                raise
            share.serving.log.exception("%s: emitted, and cannot travel", event.name)
            return
        if share.serving.meter is not None:
            share.serving.meter.event(event.name).queued += 1
        if session.put(message, cost, self._delivery, key):
            self._is_behind = True
        if not self._is_giving:
            self._account()

    def _account(self) -> None:
        held, forgotten = self._timed.held_bytes, self._timed.forgotten
        if forgotten > self._forgotten:
            self.session.forget(self._event.name, forgotten - self._forgotten)
            self._forgotten = forgotten
        self._share.hold(held - self._held)
        self._held = held
