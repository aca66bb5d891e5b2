"""Functions that are called with each change of something, until they are taken back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("ionbus")


class Watchers(Generic[T]):
    """Those of one thing, called in the order in which they were added.

    Args:
        of: what they watch, for the log.
    """

    def __init__(self, of: str) -> None:
        self._of = of
        self._watchers: list[Callable[[T], object]] = []

    def __len__(self) -> int:
        return len(self._watchers)

    def add(self, watch: Callable[[T], object]) -> Callable[[], None]:
        """Call a function from now on; gives a function that ends this.

        Raises:
            TypeError: it is none.
        """
        given: object = watch
        if not callable(given):
            raise TypeError(f"a watcher is a function, not {watch!r}")

        def told(what: T) -> object:  # the same function may be added twice
            return watch(what)

        self._watchers.append(told)

        def stop() -> None:
            if told in self._watchers:
                self._watchers.remove(told)

        return stop

    def tell(self, what: T) -> None:
        """Call them all; one that fails harms no other."""
        for watch in tuple(self._watchers):
            try:
                watch(what)
            except Exception:
                log.exception("a watcher of %s failed", self._of)
