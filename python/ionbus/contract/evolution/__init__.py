"""Compares two canonical descriptions of a contract: what changed, and who breaks by it (docs/evolution.md).

The old description is what a client was built with, the new one what the broker serves. What clients send is made by
the old one and read by the new one; what the broker sends is made by the new one and read by the old one. So every
question is the same: is each value that its maker may write accepted by its reader? The names of the changes always
look from old to new.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ionbus.contract.evolution.changes import Change, Incomparable, Json, Rule
from ionbus.contract.evolution.members import Comparison

__all__ = ["Change", "Incomparable", "Rule", "compare", "first_breaking"]


def compare(old: Json, new: Json) -> list[Change]:
    """Name every change from one canonical description of a contract to another, in the order of the names.

    Args:
        old: what clients were built with.
        new: what the broker serves.

    Raises:
        Incomparable: one of them is no canonical description, or too large to compare.
    """
    with _told_apart():
        return list(Comparison(old, new).changes())


def first_breaking(old: Json, new: Json) -> Change | None:
    """Give the first change by which a client with `old` and a broker with `new` cannot work together, or None.

    Raises:
        Incomparable: as for `compare`.
    """
    with _told_apart():
        return next((change for change in Comparison(old, new).changes() if change.is_breaking), None)


@contextmanager
def _told_apart() -> Iterator[None]:
    """Whatever is raised because a description is none becomes `Incomparable`."""
    try:
        yield
    except Incomparable:
        raise
    except RecursionError:
        raise Incomparable("a description is nested too deep to be compared") from None
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Incomparable(f"not a canonical description of a contract ({error!r:.200})") from error
