"""Events that follow on one another, taken as one: what is the same for all of them is done once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ionbus.generated.protocol import Message
from ionbus.session.session import Delivered

T = TypeVar("T")

_EVENT: Final = int(Message.EVENT)  # to compare enum members takes longer


@dataclass(slots=True)
class EventRun:
    """EVENTs of one name whose numbers follow on one another.

    Attributes:
        seq: the number of the first.
        name: as it was sent, maybe by its number.
        payloads: of each.
        trace: the traceparent of the only one.
    """

    seq: int
    name: str | int
    payloads: list[bytes]
    trace: str | None = None


def in_runs(arrivals: Sequence[T]) -> Sequence[EventRun | T]:
    """The same arrivals in the same order, their events in runs; but for those with options, and those after ANNOUNCE, which may be in question."""
    if len(arrivals) == 1:  # which is no run
        return arrivals
    found: list[EventRun | T] = []
    name: str | int | None = None
    payloads: list[bytes] = []
    expected = 0
    is_announced = False
    for arrival in arrivals:
        if isinstance(arrival, Delivered):
            message = arrival.message
            kind = message[0]
            if kind == _EVENT and len(message) == 3 and not is_announced:
                if arrival.seq != expected or message[1] != name:
                    name, payloads, expected = message[1], [], arrival.seq
                    found.append(EventRun(expected, name, payloads))
                payloads.append(message[2])
                expected += 1
                continue
            is_announced = is_announced or kind == Message.ANNOUNCE
        found.append(arrival)
        expected = 0
    return found
