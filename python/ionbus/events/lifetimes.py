"""What a subscription may be bound to: it ends with it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from inspect import isasyncgen, isawaitable, isgenerator, ismethod
from typing import Any, Protocol

Listener = Callable[[Any], object]


class Ends(Protocol):
    """Something that ends and tells of it, as a broker's `Session`."""

    def on_end(self, watch: Callable[[], object], /) -> Callable[[], None]:
        """Call a function when it has ended, at once if it has already; gives a function that takes this back."""


Until = asyncio.Future[Any] | asyncio.TaskGroup | Ends
"""A task or another future; a task group, whose tasks the listeners then are; or what tells of its end."""


def bind(until: asyncio.Future[Any] | Ends, close: Callable[[], None]) -> Callable[[], None]:
    """Call `close` when something ends; gives a function that takes this back.

    Raises:
        TypeError: it is nothing that ends.
    """
    if isinstance(until, asyncio.Future):
        if until.done():
            close()
            return _nothing

        def ended(_: object) -> None:
            close()

        future: asyncio.Future[Any] = until
        future.add_done_callback(ended)
        return lambda: _take_back(future, ended)
    given: object = until
    if not callable(getattr(given, "on_end", None)):
        raise TypeError(f"until= is a task or another future, a TaskGroup or a session, not {until!r}")
    return until.on_end(close)


def weakly(
    listener: Listener, vanished: Callable[[], object]
) -> tuple[Listener, Callable[[], Listener | None]]:
    """A function that calls a listener for as long as somebody else holds it, and one that gives it.

    Args:
        listener: a bound method lives as long as its object.
        vanished: called when it is gone, by whichever thread has let it go.

    Raises:
        TypeError: it cannot be held weakly.
    """

    def gone(_: object) -> None:
        vanished()

    reference: Callable[[], Listener | None]
    reference = weakref.WeakMethod(listener, gone) if ismethod(listener) else weakref.ref(listener, gone)

    def call(value: Any) -> object:
        held = reference()
        return None if held is None else held(value)

    return call, reference


def as_tasks(
    group: asyncio.TaskGroup,
    listener: Listener,
    wanted: Callable[[], bool],
    refused: Callable[[], object],
    failed: Callable[[Any, Exception], object],
) -> Listener:
    """A function that runs a listener as a task of a group, plain functions too.

    Args:
        group: whose.
        listener: what runs.
        wanted: asked when its turn has come, whether it still is to run.
        refused: called when the group takes no tasks any more.
        failed: told of what it was given and what it raised, which does no harm to the group.
    """

    async def run(value: Any) -> None:
        try:
            result = listener(value) if wanted() else None
            if isawaitable(result):
                await result
            elif isgenerator(result) or isasyncgen(result):
                raise nobody_runs(result)
        except Exception as error:  # noqa: BLE001 - whatever the user's function raises
            failed(value, error)

    def call(value: Any) -> object:
        work = run(value)
        try:
            return group.create_task(work)
        except RuntimeError:
            work.close()
            refused()
            return None

    return call


def nobody_runs(generator: object) -> TypeError:
    """What is told of a listener that has returned a generator, or an async one."""
    kind = "a generator" if isgenerator(generator) else "an async generator"
    return TypeError(f"a listener returned {kind}, which nobody runs")


def _take_back(future: asyncio.Future[Any], ended: Callable[[Any], object]) -> None:
    future.remove_done_callback(ended)


def _nothing() -> None:
    """Take nothing back."""
