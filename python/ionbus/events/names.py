"""The names that an emitter knows, what somebody wants of them, and the nearest to one that is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from ionbus.contract.contract import Contract, is_contract
from ionbus.contract.members import Event
from ionbus.errors import NotFound
from ionbus.events.patterns import is_exact, matcher, pattern_problem

MOST_COMPARED: Final = 256
"""Names that are looked through for the nearest, those that begin alike first: to compare two may take 40 microseconds."""
_LONGEST: Final = 100
"""Characters of a name that is compared: what is longer was not mistyped."""


class Wanted(NamedTuple):
    """What somebody listens to."""

    pattern: str
    takes_received: bool
    """Whether listeners are given the name as well: of a contract, or of a pattern."""


def wanted(what: object) -> Wanted:
    """Read what to listen to.

    Raises:
        TypeError: it is no event, contract or text.
        ValueError: the text is no pattern.
    """
    if isinstance(what, Event):
        return Wanted(what.name, takes_received=False)
    if is_contract(what) and hasattr(what, "__contract__"):
        return Wanted(f"{what.__contract__.name}.**", takes_received=True)
    if not isinstance(what, str):
        raise TypeError(f"what to listen to is an event, a contract or a pattern, not {what!r}")
    problem = pattern_problem(what)
    if problem is not None:
        raise ValueError(problem)
    return Wanted(what, takes_received=True)


class Names:
    """The events of some contracts, by name.

    Args:
        contracts: they; without any everything is known.

    Raises:
        TypeError: one is no contract.
    """

    def __init__(self, contracts: Sequence[type[Contract]]) -> None:
        for contract in contracts:
            if not hasattr(contract, "__contract__"):
                raise TypeError(f"an emitter is made with contracts, not {contract!r}")
        self._are_all = not contracts
        self._events: dict[str, Event[Any, Any]] = {
            member.name: member
            for contract in contracts
            for member in contract.__contract__.members.values()
            if isinstance(member, Event)
        }

    def check_event(self, event: Event[Any, Any]) -> None:
        """Refuse an event that is not known.

        Raises:
            NotFound: the message suggests the nearest.
        """
        if not self._are_all and self._events.get(event.name) is not event:
            raise NotFound(
                f"{event.name} is no event of this emitter's contracts{self._suggestion(event.name)}"
            )

    def check_pattern(self, pattern: str) -> None:
        """Refuse a pattern that matches no event that is known.

        Raises:
            NotFound: the message suggests the nearest.
        """
        if self._are_all:
            return
        if is_exact(pattern):
            matches_any = pattern in self._events
        else:
            matches_any = any(map(matcher(pattern), self._events))
        if not matches_any:
            raise NotFound(
                f"{pattern} matches no event of this emitter's contracts{self._suggestion(pattern)}"
            )

    def _suggestion(self, pattern: str) -> str:
        return suggestion(pattern, self._events)


def suggestion(pattern: str, names: Iterable[str]) -> str:
    """What to append to an error about a name or pattern: `; did you mean conductor.progress?`, or nothing."""
    near = nearest(pattern, names)
    return "" if near is None else f"; did you mean {near}?"


def nearest(pattern: str, names: Iterable[str]) -> str | None:
    """The name, or the pattern that matches one, that is spelled almost like an unknown one; None where none is near."""
    if len(pattern) > _LONGEST:
        return None
    segments = pattern.split(".")
    candidates: dict[str, None] = {}
    for name in sorted(names, key=lambda name: name.partition(".")[0] != segments[0]):
        if len(candidates) >= MOST_COMPARED:
            break
        shaped = _in_shape(name.split("."), segments)
        if shaped is not None and shaped != pattern:
            candidates[shaped] = None
    from difflib import get_close_matches  # noqa: PLC0415 - few ever mistype

    found = get_close_matches(pattern, candidates, n=1, cutoff=0.7)
    return found[0] if found else None


def _in_shape(words: list[str], segments: list[str]) -> str | None:
    """A name's words, with stars where a pattern has them; None where they are too few or too many."""
    is_open = segments[-1] == "**"
    head = segments[:-1] if is_open else segments
    if len(words) <= len(head) if is_open else len(words) != len(head):
        return None if "*" in "".join(segments) else ".".join(words)
    shaped = ["*" if segment == "*" else word for segment, word in zip(head, words, strict=False)]
    return ".".join([*shaped, "**"] if is_open else shaped)
