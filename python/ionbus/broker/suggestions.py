"""What a client is told that asks for a name which is not served: the nearest one that it may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ionbus.contract.members import Member
from ionbus.events.names import suggestion

MOST: Final = 20
"""Suggestions for one session: looking for one takes long, and nobody mistypes more often."""


class Suggestions:
    """See the module; one for each session.

    Args:
        members: what is served, by full name.
        may: whether the client may use a member: others are not spoken of.
    """

    __slots__ = ("_left", "_may", "_members")

    def __init__(self, members: Mapping[str, Member], may: Callable[[Member], bool]) -> None:
        self._members = members
        self._may = may
        self._left = MOST

    def near(self, name: str, kind: str) -> str:
        """What to append to the refusal of a name: `; did you mean conductor.progress?`, or nothing.

        Args:
            name: what was asked for.
            kind: `"event"`, `"call"` or `"stream"`: what was expected to be there.
        """
        if not self._left:
            return ""
        self._left -= 1
        names = [each.name for each in self._members.values() if each.kind == kind and self._may(each)]
        return suggestion(name, names)
