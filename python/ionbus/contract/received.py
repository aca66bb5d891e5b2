"""What a listener to many events at once is given: the event's name and its payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from typing_extensions import TypeVar

__all__ = ["Received"]

PayloadT_co = TypeVar("PayloadT_co", covariant=True, default=object)


@dataclass(frozen=True, slots=True)
class Received(Generic[PayloadT_co]):
    """One event as it arrived; `Conductor.progress.matches(received)` narrows it to that event's payload.

    Args:
        name: the event's full name, e.g. "conductor.progress".
        payload: validated where the listener's contract is known, else as it came.
    """

    name: str
    payload: PayloadT_co
