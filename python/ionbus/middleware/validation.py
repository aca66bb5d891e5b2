"""Checks of a payload that its type cannot say."""

from __future__ import annotations

import logging as std
from collections.abc import Callable, Iterable
from typing import Any, Literal

from ionbus.errors import InvalidPayload, printable
from ionbus.middleware.message import AnyMiddleware, Message

log = std.getLogger("ionbus.messages")

Problems = Iterable[tuple[str, str]] | None
"""Pairs of a path in the payload and what is wrong there; none where all is well."""


def validation(
    check: Callable[[Any], Problems], *, level: Literal["refuse", "warn", "off"] = "refuse"
) -> AnyMiddleware:
    """Check payloads beyond their types, which are validated anyway.

    Args:
        check: given a payload, gives what is wrong with it, as `[("flow.nodes", "a node is named twice")]`.
        level: "refuse": `InvalidPayload` with these paths; "warn": a warning in the log `ionbus.messages`, and the message passes;
            "off": nothing is checked.

    Raises:
        ValueError: there is no such level.
    """
    if level not in ("refuse", "warn", "off"):
        raise ValueError(f"level={level!r} is none of refuse, warn, off")

    async def checked(message: Message[Any], next: Any) -> Any:
        problems = [] if level == "off" else list(check(message.payload) or ())
        if problems:
            told = "; ".join(f"{path}: {problem}" if path else problem for path, problem in problems)
            if level == "refuse":
                raise InvalidPayload(f"{message.name}: {told}", paths=problems)
            log.warning("%s %s %s: %s", message.direction, message.kind, message.name, printable(told))
        return await next(message)

    checked.__qualname__ = "validation"
    return checked
