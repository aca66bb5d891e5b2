"""How many sessions came and went: what a broker counts in any case, since it is so seldom."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, NamedTuple

from ionbus.errors import RESERVED_CODES
from ionbus.session.session import Session as Engine

_CODES: Final = RESERVED_CODES | {"absent", "closed", "protocol_violation", "stopping"}
"""With which sessions end; a channel may have told another, which would be one more label."""

OTHER: Final = "other"


class EndedSlow(NamedTuple):
    """A session that was ended because it did not read.

    Attributes:
        session: which one, in words.
        ended: seconds on the loop's clock.
        why: what was too much.
    """

    session: str
    ended: float
    why: str


class SessionCounts:
    """See the module.

    Attributes:
        opened: sessions that were new.
        resumed: times that a client came back to one.
        ended: those that are over, by code.
        sent: elements that were sent in them.
        received: likewise.
        slow: the newest that were ended as slow consumers.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.resumed = 0
        self.ended: Counter[str] = Counter()
        self.sent = 0
        self.received = 0
        self.slow: deque[EndedSlow] = deque(maxlen=10)

    def end(self, engine: Engine, code: str) -> None:
        """A session is over."""
        self.ended[code if code in _CODES else OTHER] += 1
        self.sent += engine.sent
        self.received += engine.received
