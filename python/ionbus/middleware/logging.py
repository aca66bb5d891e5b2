"""A record of each passage in Python's `logging`, with structured extras."""

from __future__ import annotations

import asyncio
import logging as std
from typing import Any

from ionbus.errors import IonbusError, printable
from ionbus.middleware.message import AnyMiddleware, Dropped, Message
from ionbus.middleware.passing import Passing, now

_LONGEST = 200
"""Characters of a payload that are logged."""


def logging(
    logger: std.Logger | str = "ionbus.messages",
    *,
    level: int = std.INFO,
    failed: int = std.WARNING,
    payloads: bool = False,
) -> AnyMiddleware:
    """Log each message when its passage is over: of a stream, when its items are.

    The record's extras: `ionbus_name`, `ionbus_kind`, `ionbus_direction`, `ionbus_outcome` ("answered", "ended", "closed", "passed",
    "dropped", "cancelled", an error's code or class), `ionbus_seconds`, `ionbus_items`, `ionbus_session`, `ionbus_request`,
    `ionbus_trace`; with `payloads` also `ionbus_payload`.

    Args:
        logger: a logger, or its name.
        level: of what went well, and of what was dropped or cancelled.
        failed: of what failed.
        payloads: whether the beginning of each payload is logged; it may hold what no log should.
    """
    log = std.getLogger(logger) if isinstance(logger, str) else logger

    async def logged(message: Message[Any], next: Any) -> Any:
        began = now()

        def over(outcome: str, items: int | None = None, error: BaseException | None = None) -> None:
            at = level if error is None else failed
            if log.isEnabledFor(at):
                _write(log, at, message, outcome, now() - began, items, error, shows=payloads)

        def items_over(count: int, error: BaseException | None) -> None:
            if isinstance(error, GeneratorExit):
                over("closed", count)
            elif error is None or isinstance(error, asyncio.CancelledError):
                over("ended" if error is None else "cancelled", count)
            else:
                over(_code(error), count, error)

        try:
            result = await next(message)
        except asyncio.CancelledError:
            over("cancelled")
            raise
        except Exception as error:
            over(_code(error), None, error)
            raise
        if message.kind == "stream":
            return Passing(result, items_over)
        if isinstance(result, Dropped):
            over("dropped")
        else:
            over("answered" if message.kind == "call" else "passed")
        return result

    logged.__qualname__ = "logging"
    return logged


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, IonbusError) else type(error).__name__


def _write(
    log: std.Logger,
    level: int,
    message: Message[Any],
    outcome: str,
    seconds: float,
    items: int | None,
    error: BaseException | None,
    *,
    shows: bool,
) -> None:
    context = message.context
    extra: dict[str, object] = {
        "ionbus_name": message.name,
        "ionbus_kind": message.kind,
        "ionbus_direction": message.direction,
        "ionbus_outcome": outcome,
        "ionbus_seconds": seconds,
        "ionbus_items": items,
        "ionbus_session": None if context.session is None else context.session.id,
        "ionbus_request": context.request_id,
        "ionbus_trace": context.trace,
    }
    if shows:
        extra["ionbus_payload"] = printable(repr(message.payload), _LONGEST)
    log.log(
        level,
        "%s %s %s: %s in %.1f ms%s%s",
        message.direction,
        message.kind,
        message.name,
        outcome,
        seconds * 1000,
        "" if items is None else f", {items} items",
        "" if error is None else f": {printable(error)}",
        extra=extra,
    )
