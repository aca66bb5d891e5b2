"""How middleware that ships refuses, and which failures it takes for ones that may pass."""

from __future__ import annotations

from typing import Final

from ionbus.errors import IonbusError
from ionbus.middleware.message import MiddlewareError


class RateLimited(IonbusError):
    """More came than `rate_limit` lets pass.

    Args:
        message: says of what.
        retry_after: seconds after which it would have passed.
    """

    code = "rate_limited"
    retry_after: float

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def details(self) -> dict[str, object]:
        """What travels beside the message."""
        return {"retry_after": self.retry_after}


class CircuitOpen(RateLimited):
    """`circuit_breaker` lets nothing pass for now, after too many failures."""

    code = "circuit_open"


_TRANSIENT: Final = frozenset(
    ("call_timeout", "connection_lost", "session_lost", "internal_error", RateLimited.code, CircuitOpen.code)
)


def is_transient(error: BaseException) -> bool:
    """Whether the same may succeed later: an error that says so by its code, or one that no contract and no rule foresees."""
    if isinstance(error, IonbusError):
        return error.code in _TRANSIENT
    return isinstance(error, Exception) and not isinstance(error, MiddlewareError)


def retry_after(error: BaseException | None) -> float:
    """Seconds before which there is no use in trying again; 0 where nobody said so."""
    given = getattr(error, "retry_after", 0.0)
    return given if isinstance(given, (int, float)) else 0.0
