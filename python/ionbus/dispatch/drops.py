"""Events that never arrived, as applications are told of them (docs/delivery.md)."""

from __future__ import annotations

from collections.abc import Mapping


def by_name(dropped: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts by name, then by reason."""
    names: dict[str, dict[str, int]] = {}
    for (name, reason), count in sorted(dropped.items()):
        names.setdefault(name, {})[reason] = count
    return names
