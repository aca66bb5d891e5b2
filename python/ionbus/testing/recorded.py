"""What a recorder has written down, and whether it is what a test waits for. Pure."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ionbus.client.bus import Bus
from ionbus.contract.contract import Contract
from ionbus.contract.members import Event
from ionbus.contract.received import Received
from ionbus.events.patterns import matcher
from ionbus.generated.states import ConnectionState
from ionbus.session.connection import StateChange

What: TypeAlias = "Event[Any, Any] | ConnectionState | type[Contract] | str"
"""What may be waited for: an event, a state that is reached, any event of a contract, or of a pattern as `"conductor.*"`."""

SHOWN = 40
"""How many of what was recorded an error shows, the newest."""
LONGEST = 200
"""How many characters of a payload it shows."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One thing that happened on a bus.

    Args:
        bus: where.
        label: that bus' name in this recording.
        at: when, in seconds since the recorder was made, by the loop's clock.
        name: the event's full name, or `"state"`.
        payload: the event's, or the `StateChange`.
    """

    bus: Bus
    label: str
    at: float
    name: str
    payload: Any  # of any contract

    @property
    def kind(self) -> Literal["event", "state"]:
        """What it is."""
        return "state" if isinstance(self.payload, StateChange) else "event"

    def __str__(self) -> str:
        if isinstance(self.payload, StateChange):
            change = self.payload
            more = ", ".join(part for part in (change.outcome, change.code, change.reason) if part)
            told = f"{change.before} -> {change.after}{f' ({more})' if more else ''}"
        else:
            told = repr(self.payload)
        if len(told) > LONGEST:
            told = f"{told[:LONGEST]}…"
        return f"{self.at:+9.3f} s  {self.label}  {self.name}  {told}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a test waits for.

    Args:
        what: an event, a state, a contract or a pattern.
        where: given the payload (or `StateChange`, or `Received`), says whether this is the one.
        bus: on this bus only.
    """

    what: What
    where: Callable[[Any], object] | None = None  # of any payload
    bus: Bus | None = None

    def __post_init__(self) -> None:
        what: object = self.what
        is_contract = isinstance(what, type) and hasattr(what, "__contract__")
        if not (is_contract or isinstance(what, (Event, str))):
            raise TypeError(f"an event, a state, a contract or a pattern can be waited for, not {what!r}")
        if self.where is not None and not callable(self.where):
            raise TypeError(f"where is a function of the payload, not {self.where!r}")

    def __str__(self) -> str:
        what = self.what
        if isinstance(what, ConnectionState):
            name = f"the state {what.value!r}"
        elif isinstance(what, (Event, str)):
            name = what if isinstance(what, str) else what.name
        else:
            name = f"an event of {what.__contract__.name}"
        return name if self.where is None else f"{name} {_described(self.where)}"

    def is_named_by(self, recorded: Recorded) -> bool:
        """Whether it is this event or state, whatever its payload."""
        what = self.what
        if self.bus is not None and recorded.bus is not self.bus:
            return False
        if isinstance(what, ConnectionState):
            return isinstance(recorded.payload, StateChange) and recorded.payload.after == what
        if recorded.kind == "state":
            return False
        if isinstance(what, Event):
            return recorded.name == what.name
        return matcher(what if isinstance(what, str) else f"{what.__contract__.name}.**")(recorded.name)

    def value_of(self, recorded: Recorded) -> Any:
        """What the test is given of what was recorded."""
        if isinstance(self.what, (Event, ConnectionState)):
            return recorded.payload
        return Received(recorded.name, recorded.payload)

    def is_met_by(self, recorded: Recorded) -> bool:
        """Whether this is the one."""
        return self.is_named_by(recorded) and (
            self.where is None or bool(self.where(self.value_of(recorded)))
        )


def find_all(wanted: Sequence[Wanted], among: Sequence[Recorded]) -> list[Recorded] | None:
    """A different recorded thing for each that is wanted, or None where there are not enough."""
    takers: dict[int, int] = {}
    fits = [[index for index, each in enumerate(among) if want.is_met_by(each)] for want in wanted]

    def place(number: int, tried: set[int]) -> bool:
        free = [index for index in fits[number] if index not in takers]
        for index in free[:1] or [index for index in fits[number] if index not in tried]:
            tried.add(index)
            if index not in takers or place(takers[index], tried):
                takers[index] = number
                return True
        return False

    if not all(place(number, set()) for number in range(len(wanted))):
        return None
    return [among[index] for _, index in sorted((number, index) for index, number in takers.items())]


def find_in_order(wanted: Sequence[Wanted], among: Sequence[Recorded]) -> list[Recorded] | None:
    """The first of each after that of the one before, whatever lies between; None where one is missing."""
    found: list[Recorded] = []
    rest = iter(among)
    for want in wanted:
        met = next((each for each in rest if want.is_met_by(each)), None)
        if met is None:
            return None
        found.append(met)
    return found


def instead(wanted: Sequence[Wanted], among: Sequence[Recorded]) -> str:
    """What was recorded, for an error: those that have the name of what is wanted are marked."""
    if not among:
        return "Nothing was recorded."
    lines = [
        f"{'! ' if any(want.is_named_by(each) for want in wanted) else '  '}{each}" for each in among[-SHOWN:]
    ]
    left_out = f" ({len(among) - SHOWN} earlier ones are left out)" if len(among) > SHOWN else ""
    marked = ", marked ! where the name is right" if wanted else ""
    return "\n".join([f"Recorded{left_out}{marked}:", *lines])


def _described(where: Callable[[Any], object]) -> str:
    code = getattr(where, "__code__", None)
    if code is None:
        return f"where {where!r}"
    name = code.co_name
    if name == "<lambda>":
        line = linecache.getline(code.co_filename, code.co_firstlineno).strip()
        name = line[max(0, line.find("lambda")) :] or name
    return f"where {name} ({Path(code.co_filename).name}:{code.co_firstlineno})"
