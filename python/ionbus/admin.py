"""What operators ask of a running broker, over the wire: every broker serves this contract to those with the role `admin`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from ionbus.contract.contract import Call, Contract, ContractError
from ionbus.events.patterns import pattern_problem
from ionbus.observe.health import Health
from ionbus.observe.metrics import Metrics

__all__ = [
    "Admin",
    "CannotBeResent",
    "DeadLetterQuery",
    "Letter",
    "LetterId",
    "LetterWhole",
    "Listening",
    "Resend",
]

ADMIN = frozenset({"admin"})


class Listening(BaseModel):
    """What one client has subscribed to."""

    session: str
    principal: str | None
    pattern: str
    options: dict[str, Any]
    """What it asks for besides, as SUBSCRIBE has it (docs/protocol.md, section 5.2)."""
    since: datetime


class DeadLetterQuery(BaseModel):
    """Which dead letters: of members whose names match, of one reason, and no more than so many, the newest."""

    pattern: str = "**"
    reason: Literal["invalid", "failed", "undelivered"] | None = None
    newest: int = Field(default=100, ge=1, le=10_000)

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        problem = None if pattern == "**" else pattern_problem(pattern)
        if problem is not None:
            raise ValueError(problem)
        return pattern


class Letter(BaseModel):
    """A dead letter without its payload."""

    id: int
    at: datetime
    reason: Literal["invalid", "failed", "undelivered"]
    code: str
    """The error's, or that which the session ended with."""
    error: str
    kind: Literal["event", "call", "stream"]
    name: str
    session: str
    """The id of the session that it came from, or was for."""
    principal: str
    size: int
    """Of the payload, in bytes."""
    listener: str | None
    """The function that failed at it, where one did."""
    resent: int
    """How often it was sent again, in vain."""


class LetterWhole(BaseModel):
    """A dead letter with its payload, as plain data; it is null where the payload was too large to keep, or cannot be read."""

    letter: Letter
    payload: Any


class LetterId(BaseModel):
    """Which one."""

    id: int


class Resend(BaseModel):
    """Which one, and the id of the session that takes the place of its own where that is over."""

    id: int
    session: str | None = None


class NoSuchLetter(ContractError):
    """There is no such dead letter: it was dropped, sent again, or made room for newer ones."""

    code = "no_such_letter"


class CannotBeResent(ContractError):
    """The dead letter cannot be sent again, or has come to nothing again."""

    code = "cannot_be_resent"


class Admin(Contract, name="ionbus_admin", version="1.0"):
    """What operators ask of a running broker."""

    health = Call(None, Health, roles=ADMIN, doc="What is wrong with the broker, in sentences.")
    metrics = Call(None, Metrics, roles=ADMIN, doc="What it has counted.")

    subscriptions = Call(None, list[Listening], roles=ADMIN, doc="Which clients listen to what.")

    class dead_letters(Contract):  # noqa: N801 - its name on the wire
        """Events and requests that could not be delivered, validated or handled."""

        list = Call(DeadLetterQuery, list[Letter], roles=ADMIN, doc="Those that are kept, oldest first.")
        show = Call(LetterId, LetterWhole, raises=[NoSuchLetter], roles=ADMIN, doc="One, with its payload.")
        resend = Call(
            Resend,
            Any,
            raises=[NoSuchLetter, CannotBeResent],
            roles=ADMIN,
            doc="Send one again; gives a call's answer. It is dropped when that has worked.",
        )
        drop = Call(LetterId, bool, roles=ADMIN, doc="Forget one; whether it was there.")
        clear = Call(None, int, roles=ADMIN, doc="Forget all; gives how many there were.")
