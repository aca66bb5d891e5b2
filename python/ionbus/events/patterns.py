"""Patterns over event names, and a table that finds what matches a name (docs/protocol.md, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

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

    The values of one pattern are kept together. Those patterns that are no names stand in a tree, segment by segment, so that a
    name finds the patterns that match it by walking down its words, however many others there are. What a name has
    found is kept until it may be something else, so that who does nothing but subscribe and unsubscribe costs little.
    """

    def __init__(self) -> None:
        self._patterns: dict[object, str] = {}
        self._under: dict[
            str, dict[object, tuple[int, T]]
        ] = {}  # by pattern, then by key: the order, and the value
        self._tree: _Tree = {}
        self._found: dict[str, tuple[T, ...]] = {}
        self._added = 0

    def __len__(self) -> int:
        return len(self._patterns)

    def __contains__(self, key: object) -> bool:
        return key in self._patterns

    def add(self, key: object, pattern: str, value: T) -> None:
        """Keep a value under a pattern; `key` takes it away again."""
        self.remove(key)
        self._added += 1
        self._patterns[key] = pattern
        under = self._under.get(pattern)
        if under is None:
            under = self._under[pattern] = {}
            if not is_exact(pattern):
                _plant(self._tree, pattern)
        under[key] = (self._added, value)
        self._forget(pattern)

    def remove(self, key: object) -> T | None:
        """Take a value away; None where there is none."""
        pattern = self._patterns.pop(key, None)
        if pattern is None:
            return None
        under = self._under[pattern]
        _, value = under.pop(key)
        if not under:
            del self._under[pattern]
            if not is_exact(pattern):
                _fell(self._tree, pattern.split("."))
        self._forget(pattern)
        return value

    def get(self, key: object) -> T | None:
        """The value that was added with this key."""
        pattern = self._patterns.get(key)
        return None if pattern is None else self._under[pattern][key][1]

    def under(self, pattern: str) -> list[T]:
        """Every value under exactly this pattern, in order."""
        return [value for _, value in self._under.get(pattern, {}).values()]

    def count(self, pattern: str) -> int:
        """How many values there are under exactly this pattern."""
        return len(self._under.get(pattern, ()))

    def matching(self, name: str) -> tuple[T, ...]:
        """Every value whose pattern matches the name."""
        found = self._found.get(name)
        if found is None:
            if len(self._found) >= _KNOWN_NAMES:
                self._found.clear()
            found = self._found[name] = self._find(name)
        return found

    def values(self) -> list[T]:
        """Every value, in order."""
        return [self._under[pattern][key][1] for key, pattern in self._patterns.items()]

    def _find(self, name: str) -> tuple[T, ...]:
        patterns = _patterns_for(self._tree, name.split(".")) if self._tree else []
        if name in self._under and is_exact(name):
            patterns.append(name)
        if len(patterns) == 1:
            return tuple([value for _, value in self._under[patterns[0]].values()])
        placed = [placed for pattern in patterns for placed in self._under[pattern].values()]
        placed.sort(key=_order_of)
        return tuple([value for _, value in placed])

    def _forget(self, pattern: str) -> None:
        """What names have found is no longer so."""
        if is_exact(pattern):
            self._found.pop(pattern, None)
        else:
            self._found.clear()


_Tree = dict[str, Any]
"""The next segments, and under `_END` the pattern that ends here."""

_END: Final = "."
"""No segment has a dot in it, whatever the other side sends for a pattern."""

_NO_WORDS: Final = ("*", "**")
"""Other sides may send names with such segments in them; they have another meaning here."""


def _order_of(placed: tuple[int, Any]) -> int:
    return placed[0]


def _plant(tree: _Tree, pattern: str) -> None:
    for segment in pattern.split("."):
        tree = tree.setdefault(segment, {})
    tree[_END] = pattern


def _fell(tree: _Tree, segments: list[str]) -> None:
    """Take a pattern away, and all of its path that no other needs."""
    path = [tree]
    for segment in segments:
        path.append(path[-1][segment])
    del path[-1][_END]
    for above, segment in zip(reversed(path[:-1]), reversed(segments), strict=True):
        if above[segment]:
            return
        del above[segment]


def _patterns_for(tree: _Tree, words: list[str]) -> list[str]:
    """The patterns in a tree that match a name of these words."""
    found: list[str] = []
    level = [tree]
    for word in words:
        rests = [node["**"] for node in level if "**" in node]
        found += [rest[_END] for rest in rests if _END in rest]
        steps = ("*",) if word in _NO_WORDS else (word, "*")
        level = [node[step] for node in level for step in steps if step in node]
    return found + [node[_END] for node in level if _END in node]
