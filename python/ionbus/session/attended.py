"""One live session as the broker keeps it: what authorises its client to come back, its rate, its absence (docs/protocol.md, section 8)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, Literal

from ionbus.generated.protocol import Frame, Limits
from ionbus.session.session import Arrival, Session
from ionbus.wire.frames import MalformedFrame, close_fields, decode_frame

if TYPE_CHECKING:
    from ionbus.session.acceptor import Hello

_CLIENT_CODES: Final = frozenset(("closed", "protocol_error", "protocol_violation"))
"""With which a client ends its session. Others are not remembered: they could be of any length, and new ones each time."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The client said CLOSE. `over`: the session ends with it, and `code` is one that a client ends it with."""

    code: str
    message: str
    over: bool


class Rate:
    """A bucket of one second's worth of elements (docs/protocol.md, section 9).

    Args:
        per_second: how many may come, on average over a second.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._at = -math.inf
        self.left = float(per_second)
        """How many more may come at once, when it was looked at last; below 0 they were too many."""

    def spend(self, count: int, now: float) -> None:
        """So many have come."""
        left = self.left + (now - self._at) * self._per_second / 1000
        self.left = (min(self._per_second, left)) - count
        self._at = now

    def excess_ms(self, now: float) -> int:
        """How long to wait until it is within bounds again; 0: it is."""
        if self.left >= 0:
            return 0
        self.spend(0, now)
        return 0 if self.left >= 0 else math.ceil(-self.left * 1000 / self._per_second)


class Attended:
    """One live session at the broker: its engine, and what authorises a client to resume it.

    Attributes:
        id: the session's id.
        session: the engine.
        principal: who it belongs to, as `authenticate` said.
        carrier: whatever drives the channel that carries it now; None while it is absent.
    """

    def __init__(self, session_id: bytes, secret: bytes, principal: Hashable, limits: Limits) -> None:
        self.id = session_id
        self.session = Session(limits)
        self.principal = principal
        self.carrier: object | None = None
        self.agent = ""
        self.contracts: list[tuple[str, str, str]] = []
        self.max_message_bytes = limits.max_message_bytes
        self._limits = limits
        self._secret = secret
        self._next_secret: bytes | None = None
        self._attempt = 0
        self._absence = 0.0  # milliseconds without a channel while our own loop ran
        self._stalled = 0.0  # the same, without any progress though something waits
        self._progress: tuple[int, tuple[int, int]] | None = None  # None: nothing waits
        self._rate = Rate(limits.max_rate)
        self._is_proven = False

    def receive(self, frame: bytes, now: float) -> Sequence[Arrival | Ended]:
        """A frame has arrived on the session's channel, after HELLO."""
        try:
            decoded = decode_frame(frame)
            if decoded[0] == Frame.CLOSE:
                code, message, options = close_fields(decoded)
                over = options.get("over") is True
                return [Ended(code if not over or code in _CLIENT_CODES else "closed", message, over)]
        except MalformedFrame as error:
            return [self.session.violation(str(error))]
        if not self._is_proven:  # a later frame proves that WELCOME arrived: only the next secret is good now
            self._is_proven = True
            if self._next_secret is not None:
                self._secret, self._next_secret = self._next_secret, None
        count = len(decoded) - 3
        self._rate.spend(max(1, count), now)
        return self.session.receive(decoded, len(frame), now)

    def leave(self) -> None:
        """The channel is gone."""
        self.carrier = None
        self.session.detach()
        self._absence = self._stalled = 0.0

    def admits(self, secret: bytes) -> bool:
        """Whether `secret` is the one in force or the one last given."""
        is_current = compare_digest(secret, self._secret)
        is_next = self._next_secret is not None and compare_digest(secret, self._next_secret)
        return is_current or is_next

    def greet(self, hello: Hello, secret: bytes, received: int, next_secret: bytes, now: float) -> None:
        """Take up a channel: remember its attempt and secrets, attach the engine."""
        # HELLO's credit is that of the session that it wants to resume; for a fresh one CREDIT follows.
        credit = hello.credit if hello.session == self.id else (0, 0)
        self.session.attach(received, credit, now)
        self._attempt = hello.attempt
        self._secret, self._next_secret = secret, next_secret
        self._is_proven = False
        self.agent = hello.agent
        self.contracts = hello.contracts
        if hello.max_message_bytes is not None:
            self.max_message_bytes = hello.max_message_bytes

    def is_stale(self, attempt: int) -> bool:
        """Whether an attempt with this or a higher number was accepted before."""
        return attempt <= self._attempt

    @property
    def is_hasty(self) -> bool:
        """Whether the client has sent too much lately, and perhaps `must_rest`."""
        return self._rate.left < 0

    def must_rest(self, now: float) -> int:
        """For how many milliseconds the client sends too much; 0: it does not."""
        return self._rate.excess_ms(now)

    def age(self, passed: float) -> Literal["absent", "slow_consumer"] | None:
        """`passed` milliseconds went by, in which our own loop ran; the code to end with where it has been too long.

        Too long absent, or there without taking anything though something waits.
        """
        session = self.session
        progress = None if session.is_at_rest else (session.acked, session.credit)
        if self.carrier is None:
            self._absence += passed
        elif progress is None or progress != self._progress:
            self._stalled = 0.0
        else:
            self._stalled += passed
        self._progress = progress
        if self._absence >= self._limits.absence_ms:
            return "absent"
        return "slow_consumer" if self._stalled >= self._limits.slow_consumer_ms else None
