"""Patterns over event names, and a table that finds what matches a name (docs/protocol.md, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ionbus.contract.names import MAX_NAME_BYTES

T = TypeVar("T")

_KNOWN_NAMES = 10_000
"""How many names a table remembers the answer for; a peer that makes up names cannot make it grow further."""


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if not 0 < len(pattern.encode()) <= MAX_NAME_BYTES:
        return f"a pattern has 1 to {MAX_NAME_BYTES} bytes"
    segments = pattern.split(".")
    for index, segment in enumerate(segments):
        if segment == "**" and index < len(segments) - 1:
            return f"{pattern!r}: ** stands for the rest of a name, so it comes last"
        if segment in ("*", "**"):
            continue
        if not segment or "*" in segment:
            return f"{pattern!r}: a segment is a word, * or, as the last one, **"
    return None


def is_exact(pattern: str) -> bool:
    """Whether the pattern is a name."""
    return "*" not in pattern


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a name matches."""
    if is_exact(pattern):
        return pattern.__eq__
    segments = pattern.split(".")
    if segments[-1] == "**":
        head = segments[:-1]

        def matches_head(name: str) -> bool:
            words = name.split(".")
            return len(words) > len(head) and _fits(head, words)

        return matches_head

    def matches_all(name: str) -> bool:
        words = name.split(".")
        return len(words) == len(segments) and _fits(segments, words)

    return matches_all


def _fits(segments: list[str], words: list[str]) -> bool:
    return all(segment in ("*", word) for segment, word in zip(segments, words, strict=False))


class PatternTable(Generic[T]):
    """Values under patterns; `matching` gives those for a name, in the order in which they were added.

    What a name has found is kept when patterns come and go, so that who does nothing but subscribe and unsubscribe costs little.
    """

    def __init__(self) -> None:
        self._entries: dict[object, tuple[Callable[[str], bool], T]] = {}
        self._found: dict[str, tuple[tuple[object, ...], tuple[T, ...]]] = {}  # keys and values

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: object, pattern: str, value: T) -> None:
        """Keep a value under a pattern; `key` takes it away again."""
        self.remove(key)
        matches = matcher(pattern)
        self._entries[key] = (matches, value)
        for name in self._names_of(pattern, matches):
            keys, values = self._found[name]
            self._found[name] = ((*keys, key), (*values, value))

    def remove(self, key: object) -> T | None:
        """Take a value away; None where there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        matches, value = entry
        for name, (keys, values) in self._found.items():
            if matches(name):
                at = keys.index(key)
                self._found[name] = (keys[:at] + keys[at + 1 :], values[:at] + values[at + 1 :])
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def get(self, key: object) -> T | None:
        """The value that was added with this key."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def matching(self, name: str) -> tuple[T, ...]:
        """Every value whose pattern matches the name."""
        found = self._found.get(name)
        if found is None:
            keys = tuple(key for key, (matches, _) in self._entries.items() if matches(name))
            found = (keys, tuple(self._entries[key][1] for key in keys))
            if len(self._found) >= _KNOWN_NAMES:
                self._found.clear()
            self._found[name] = found
        return found[1]

    def values(self) -> list[T]:
        """Every value, in order."""
        return [value for _, value in self._entries.values()]

    def _names_of(self, pattern: str, matches: Callable[[str], bool]) -> list[str]:
        """The names that were looked up and that a pattern matches."""
        if is_exact(pattern):
            return [pattern] if pattern in self._found else []
        return [name for name in self._found if matches(name)]
