"""The engines as a simulation drives them: each input can be followed, to record it or to give it to a second implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ionbus.generated.protocol import Frame, Limits
from ionbus.generated.states import ConnectionState
from ionbus.session.attended import Attended, Ended
from ionbus.session.connection import Connection, ConnectionEffect
from ionbus.session.outbox import Delivery, Entry
from ionbus.session.session import Arrival, Session, Violation
from ionbus.testing.simulator.channel import kind_of
from ionbus.testing.simulator.clock import Clock

Input = dict[str, Any]
"""A step of a vector (schemas/vectors/session.json, connection.json) without what it gives; frames are bytes here."""

CONTRACTS = (("a", "1.0", "f" * 32),)
"""What clients announce, here and in the vectors."""


class Follower(Protocol):
    """Who is told all that an engine is asked, in order."""

    def took(self, given: Input, gives: object, effects: list[ConnectionEffect]) -> None:
        """The engine has taken an input; `effects` are a connection's, empty for a session."""

    def frame(self, frame: bytes | None, now: float) -> bytes | None:
        """The engine gave a frame, or none; returns the one to send."""


Follow = Callable[[Input, object], None]
Draws = list[bytes | float]
"""What an engine has drawn; whoever follows it takes it out."""


def as_step(given: Input) -> Input:
    """An input as it stands in a vector: bytes as hexadecimal text, and nothing that is None."""
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in given.items()
        if value is not None
    }


class Outlet:
    """What an application does with its half of a session; messages are named by tags.

    Args:
        session: gives the engine: a client's is replaced when its session is.
        follow: told each input and what it gave.
    """

    def __init__(self, session: Callable[[], Session], follow: Follow) -> None:
        self._session = session
        self._follow = follow
        self._entries: dict[str, Entry | None] = {}

    @property
    def session(self) -> Session:
        """For its facts."""
        return self._session()

    def send(self, message: bytes, lane: int | None, tag: str) -> None:
        """`Session.send`."""
        self._entries[tag] = self.session.send(message, lane, tag)
        self._follow({"do": "send", "message": message, "lane": lane, "tag": tag}, None)

    def emit(self, message: bytes, cost: int, delivery: Delivery, key: str | None, tag: str) -> bool:
        """`Session.emit`; whether the event was queued."""
        entry = self._entries[tag] = self.session.emit(message, cost, delivery, key, tag)
        given = {"do": "emit", "message": message, "cost": cost, "delivery": delivery, "key": key, "tag": tag}
        self._follow(given, "dropped" if entry is None else "queued")
        return entry is not None

    def withdraw(self, tag: str) -> bool:
        """`Session.withdraw`."""
        entry = self._entries[tag]
        if entry is None:
            return True
        gives = self.session.withdraw(entry)
        self._follow({"do": "withdraw", "tag": tag}, gives)
        return gives

    def consumed(self, cost: int) -> None:
        """`Session.consumed`."""
        self.session.consumed(cost)
        self._follow({"do": "consumed", "cost": cost}, None)


class SessionEngine:
    """A broker's half of a session.

    Attributes:
        count: inputs taken and frames given so far.
    """

    def __init__(self, attended: Attended, clock: Clock, follower: Follower | None = None) -> None:
        self.attended = attended
        self.session = attended.session
        self.outlet = Outlet(lambda: self.session, self._follow)
        self.count = 0
        self._clock = clock
        self._follower = follower

    def attached(self, received: int, credit: tuple[int, int]) -> None:
        """The acceptor has attached it."""
        self._follow({"do": "attach", "received": received, "credit": list(credit)}, None)

    def leave(self) -> None:
        """Its channel is gone."""
        self.attended.leave()
        self._follow({"do": "detach"}, None)

    def receive(self, frame: bytes) -> Sequence[Arrival | Ended]:
        """A frame has arrived."""
        arrivals = self.attended.receive(frame, self._clock.now)
        if kind_of(frame) != Frame.CLOSE:
            self._follow({"do": "receive", "frame": frame}, arrivals)
        else:  # it is not for the session, unless it is malformed
            for violation in arrivals:
                if isinstance(violation, Violation):
                    self._follow({"do": "violation", "reason": violation.message}, violation)
        return arrivals

    def tick(self) -> bool:
        """Its deadline has come; whether the client has become silent."""
        gives = self.session.tick(self._clock.now)
        self._follow({"do": "tick"}, gives)
        return gives is not None

    def next_frame(self) -> bytes | None:
        """What to send now."""
        self.count += 1
        now = self._clock.now
        frame = self.session.next_frame(now)
        return frame if self._follower is None else self._follower.frame(frame, now)

    def deadline(self) -> float:
        """When it wants to be ticked."""
        return self.session.deadline()

    def _follow(self, given: Input, gives: object) -> None:
        self.count += 1
        if self._follower is not None:
            self._follower.took({"at": self._clock.now, **given}, gives, [])


class ConnectionEngine:
    """A client's connection with its half of the session.

    Args:
        limits: of the client.
        entropy: as for `Connection`.
        random: likewise.
        clock: the simulation's.
        follow: given the connection, and the list of what it draws, makes its follower.
    """

    def __init__(
        self,
        limits: Limits,
        entropy: Callable[[int], bytes],
        random: Callable[[], float],
        clock: Clock,
        follow: Callable[[Connection, Draws], Follower | None] = lambda *_: None,
    ) -> None:
        draws: Draws = []
        self._draws = draws

        def bytes_drawn(size: int) -> bytes:
            draws.append(drawn := entropy(size))
            return drawn

        def number_drawn() -> float:
            draws.append(drawn := random())
            return drawn

        self.connection = Connection(limits, bytes_drawn, number_drawn, "client", CONTRACTS)
        self.outlet = Outlet(lambda: self.connection.session, self._follow)
        self.count = 0
        self._clock = clock
        self._effects: list[ConnectionEffect] = []
        self._follower = follow(self.connection, draws)

    @property
    def session(self) -> Session:
        """The newest one's engine."""
        return self.connection.session

    @property
    def state(self) -> ConnectionState:
        """What `bus.state` would show."""
        return self.connection.state

    def opened(self, silence_is_fatal: bool) -> None:
        """`Connection.opened`."""
        self.connection.opened("token", silence_is_fatal, self._clock.now)
        self._follow({"do": "opened", "token": "token", "silence_is_fatal": silence_is_fatal}, None)

    def failed(self, reason: str) -> None:
        """`Connection.failed`."""
        self.connection.failed(reason, self._clock.now)
        self._follow({"do": "failed", "reason": reason}, None)

    def lost(self, code: str, reason: str) -> None:
        """`Connection.lost`."""
        self.connection.lost(code, reason, self._clock.now)
        self._follow({"do": "lost", "code": code, "reason": reason}, None)

    def receive(self, frame: bytes) -> None:
        """`Connection.receive`."""
        self.connection.receive(frame, self._clock.now)
        self._follow({"do": "receive", "frame": frame}, None)

    def retry(self) -> None:
        """`Connection.retry`."""
        self.connection.retry(self._clock.now)
        self._follow({"do": "retry"}, None)

    def close(self) -> None:
        """`Connection.close`."""
        self.connection.close(self._clock.now)
        self._follow({"do": "close"}, None)

    def tick(self) -> None:
        """`Connection.tick`."""
        self.connection.tick(self._clock.now)
        self._follow({"do": "tick"}, None)

    def effects(self) -> list[ConnectionEffect]:
        """What to do, in order, since the last call."""
        effects = [*self._effects, *self.connection.effects()]
        self._effects = []
        return effects

    def next_frame(self) -> bytes | None:
        """What to send now."""
        self.count += 1
        now = self._clock.now
        frame = self.connection.next_frame(now)
        return frame if self._follower is None else self._follower.frame(frame, now)

    def deadline(self) -> float:
        """When it wants to be ticked."""
        return self.connection.deadline()

    def _follow(self, given: Input, gives: object) -> None:
        self.count += 1
        if self._follower is not None:  # a second implementation tells its effects with each input
            effects = self.connection.effects()
            self._effects += effects
            self._follower.took({"at": self._clock.now, **given}, gives, effects)
        self._draws.clear()
