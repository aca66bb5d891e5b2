"""What is told of a listener that failed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

log = logging.getLogger("ionbus")

MOST_TOLD: Final = 200
"""Characters of a payload that are told."""


@dataclass(frozen=True, slots=True)
class ListenerFailure:
    """One failure of one listener: it harms no other, and does not make `emit` fail.

    Args:
        event: the event's full name.
        listener: the function's name.
        payload: what it was given, in short: at most 200 characters, what a model does not show of itself left out
            (`Field(repr=False)`, `SecretStr`).
        error: what it raised.
        pattern: what it listens to.
    """

    event: str
    listener: str
    payload: str
    error: BaseException = field(compare=False)
    pattern: str


OnError = Callable[[ListenerFailure], object]


def report(failure: ListenerFailure, on_error: OnError | None) -> None:
    """Tell of a failure; what `on_error` itself raises is logged."""
    if on_error is None:
        log.error(
            "a listener of %s failed: %s, given %s",
            failure.event,
            failure.listener,
            failure.payload,
            exc_info=failure.error,
        )
        return
    try:
        on_error(failure)
    except Exception:
        log.exception("on_error failed, told of the failure of %s at %s", failure.listener, failure.event)


def summary(payload: object) -> str:
    """A payload in short."""
    try:
        text = repr(payload)
    except Exception:  # noqa: BLE001 - whatever the user's own __repr__ raises
        text = f"<{type(payload).__name__}, which cannot be shown>"
    return text if len(text) <= MOST_TOLD else f"{text[: MOST_TOLD - 1]}…"


def name_of(function: Any) -> str:
    """What a function is called."""
    while isinstance(function, partial):
        function = function.func
    name: str = getattr(function, "__qualname__", "") or type(function).__qualname__
    return name.rpartition("<locals>.")[2]
