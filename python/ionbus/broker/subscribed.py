"""What one client has subscribed to, and the newest values that a new subscription is given (docs/protocol.md, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ionbus.broker.principals import Principal
from ionbus.broker.shares import EventShare, Share
from ionbus.broker.suggestions import Suggestions
from ionbus.contract.members import Event, Member
from ionbus.dispatch.latest import LatestValues, newest
from ionbus.errors import InvalidPayload, IonbusError, NotAllowed, NotFound, TooLarge, shortened
from ionbus.events.filters import FilterProblem
from ionbus.events.options import Aggregation
from ionbus.events.patterns import PatternTable, is_exact, matcher, pattern_problem
from ionbus.session.attended import Rate
from ionbus.session.session import Session as Engine
from ionbus.wire.frames import MalformedFrame
from ionbus.wire.messages import encode_envelope
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving


@dataclass(frozen=True, slots=True)
class ClientSubscription:
    """What one client has subscribed to: one of `broker.subscriptions()`.

    Args:
        session: the session's id, in hexadecimal digits.
        principal: whose it is, as text; None: nobody's.
        pattern: what it is for.
        options: what it asks for besides, as SUBSCRIBE has it (docs/protocol.md, section 5.2). How many listeners share it on the
            client's side is not known here.
        since: when it came into force.
    """

    session: str
    principal: str | None
    pattern: str
    options: Mapping[str, object]
    since: datetime


class Subscribed:
    """See the module.

    Args:
        serving: knows the events, and the newest values that are for all.
        session: whose it is.
        engine: the session's.
        may: whether this client may use a member.
    """

    def __init__(
        self, serving: Serving, session: Session, engine: Engine, may: Callable[[Member], bool]
    ) -> None:
        limits = serving.limits
        self._serving = serving
        self._session = session
        self._engine = engine
        self._may = may
        self._table: PatternTable[int] = PatternTable()
        self._shares: PatternTable[Share] = PatternTable()
        self._records: dict[int, ClientSubscription] = {}
        self._suggestions = Suggestions(serving.members, may)
        self.shares_hold = 0
        """Bytes that subscriptions with options keep, what they take themselves included."""
        self._latest = LatestValues(limits.max_latest_keys, limits.max_latest_bytes)
        self._newest_given = Rate(limits.max_newest_rate)

    @property
    def held_bytes(self) -> int:
        """Bytes of the newest values that are for this client alone, and of what waits for its subscriptions with options."""
        return self._latest.held_bytes + self.shares_hold

    @property
    def records(self) -> list[ClientSubscription]:
        """What is in force."""
        return list(self._records.values())

    def wants(self, name: str) -> bool:
        """Whether the client gets the event of this name, each time."""
        if not self._table.matching(name):
            return False
        member = self._serving.members.get(name)
        return member is None or self._may(member)

    def shares_of(self, event: Event[Any, Any]) -> list[EventShare]:
        """What its subscriptions with options get of an event."""
        shares = self._shares.matching(event.name)
        if not shares or not self._may(event):
            return []
        return [found for share in shares if (found := share.of(event)) is not None]

    def near(self, name: str, kind: str) -> str:
        """What to append to the refusal of a name (`Suggestions`)."""
        return self._suggestions.near(name, kind)

    def keep(self, name: str, key: Hashable, message: Encoded, cost: int) -> None:
        """Remember a `latest` event that was emitted to this client alone."""
        self._latest.keep(name, key, message, cost)

    def problem(
        self, number: int, pattern: str, now: float, *, is_snapshot: bool = False
    ) -> IonbusError | None:
        """Why a subscription is refused, or None.

        Args:
            number: the client's number for it.
            pattern: what it is for.
            now: milliseconds.
            is_snapshot: nothing will be kept of it.

        Raises:
            MalformedFrame: the number is taken.
        """
        if number in self._table or number in self._shares:
            raise MalformedFrame(f"subscription {number} exists already")
        in_force = len(self._table) + len(self._shares)
        if in_force >= self._serving.limits.max_subscriptions and not is_snapshot:
            return TooLarge(f"{pattern}: {in_force} subscriptions are in force already")
        misspelt = pattern_problem(pattern)
        if misspelt is not None:
            return NotFound(misspelt)
        rest = self._newest_given.excess_ms(now)
        if rest:
            return TooLarge(f"{pattern}: too many newest values were asked for; subscribe again in {rest} ms")
        if is_exact(pattern):
            member = self._serving.members.get(pattern)
            if not isinstance(member, Event):
                near = self._suggestions.near(pattern, "event")
                return NotFound(f"{pattern}: no such event is served here{near}")
            if not self._may(member):
                return withheld(member)
        return None

    def add(
        self, number: int, pattern: str, options: Mapping[str, object], *, is_snapshot: bool = False
    ) -> IonbusError | None:
        """It is in force, unless what it asks for makes no sense; then this says why.

        Args:
            number: the client's for it.
            pattern: what it is for.
            options: of SUBSCRIBE.
            is_snapshot: only the newest values are asked for, by `send_newest`; it is to be removed after that.
        """
        try:
            asked = Aggregation.from_wire(options)
            if asked:
                share = Share(self._serving, self._session, self._may, number, pattern, asked)
                self._shares.add(number, pattern, share)
            elif not is_snapshot:
                self._table.add(number, pattern, number)
        except FilterProblem as problem:
            return InvalidPayload(f"{pattern}: {problem}")
        principal = self._session.principal
        whose = principal.name if isinstance(principal, Principal) else principal
        self._records[number] = ClientSubscription(
            self._session.id,
            None if whose is None else shortened(str(whose)),
            pattern,
            asked.to_wire(),
            datetime.now(UTC),
        )
        return None

    def remove(self, number: int) -> None:
        """It is not any more, if it was."""
        self._records.pop(number, None)
        self._table.remove(number)
        share = self._shares.remove(number)
        if share is not None:
            share.close()
            self.shares_hold -= share.held_bytes

    def flush(self) -> None:
        """Send what waits for subscriptions with options, before its time."""
        for share in self._shares.values():
            share.flush()

    def close(self) -> None:
        """The session has ended."""
        for share in self._shares.values():
            share.close()

    def send_newest(self, number: int, pattern: str, now: float, *, is_snapshot: bool = False) -> None:
        """Give a new subscription the newest value of each key of the `latest` events that it matches.

        Args:
            number: the client's for it.
            pattern: what it is for.
            now: milliseconds.
            is_snapshot: it is for this alone, and not in force: the client has another one for what follows.
        """
        engine, limits, matches = self._engine, self._serving.limits, matcher(pattern)
        share = self._shares.get(number)
        for name in self._serving.latest_names:
            if not matches(name) or not self._may(self._serving.members[name]):
                continue
            if engine.queued_events > limits.replay_elements or engine.queued_bytes > limits.max_queued_bytes:
                return  # the session is ended for it when its bounds are looked at
            has_others = is_snapshot or len(self._table.matching(name)) > 1  # this one is there as well
            values = newest(name, self._serving.events.latest, self._latest)
            self._newest_given.spend(len(values), now)
            meter = self._serving.meter
            if share is not None:
                member = self._serving.members[name]
                found = share.of(member) if isinstance(member, Event) else None
                if found is not None:
                    found.begin(values)
                continue
            for value in values:
                if meter is not None and not (has_others and engine.is_waiting(value.key)):
                    meter.event(name).queued += 1
                if not has_others:
                    engine.emit(value.message, value.cost, "latest", value.key)
                elif not engine.is_waiting(value.key):  # else it is on its way to all
                    message = encode_envelope([number], value.message)
                    engine.emit(message, value.cost, "latest", (number, value.key))


def withheld(member: Member) -> NotAllowed:
    """What a client is told that has none of a member's roles."""
    return NotAllowed(f"{member.name} needs the role {' or '.join(sorted(member.roles))}")
