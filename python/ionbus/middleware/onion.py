"""How a message passes through middleware: the rules of docs/middleware.md, without I/O or clock.

Each middleware is a layer. It is given the message and its own `next`, which knows what it may still do: `next` runs the layers further in,
then the end, and what they give is checked as each layer returns it. A passage belongs to one message; what is under way of it is awaited or
cancelled before it is over.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Coroutine, Sequence
from functools import partial
from typing import Any, Self

from ionbus.contract.members import Call
from ionbus.errors import InvalidPayload
from ionbus.middleware.message import AnyMiddleware, Dropped, End, Message, MiddlewareError

NOT_ASYNC = "is middleware and awaits next: write async def"


async def pass_through(chain: Sequence[AnyMiddleware], message: Message[Any], end: End) -> Any:
    """Let a message pass.

    Args:
        chain: the middleware, the outermost first.
        message: what passes.
        end: what stands innermost.

    Returns:
        A call's answer; `Items` of a stream, to be closed; for an event None, or `Dropped`.

    Raises:
        MiddlewareError: one of them broke the rules.
    """
    return await Passage(chain, message, end).run()


def compose(*middleware: AnyMiddleware) -> AnyMiddleware:
    """One middleware of several, the first outermost.

    Raises:
        TypeError: one cannot be called.
    """
    for each in middleware:
        check_middleware(each)

    async def composed(message: Message[Any], next: Any) -> Any:
        return await pass_through(middleware, message, next)

    return composed


def check_middleware(middleware: object) -> None:
    """Refuse what is no middleware.

    Raises:
        TypeError: it cannot be called, or is no `async def`.
    """
    if not callable(middleware):
        raise TypeError(
            f"middleware is a function, async def …(message, next), not {middleware!r}; one that ships is called first"
        )
    called = middleware.func if isinstance(middleware, partial) else middleware
    if inspect.isfunction(called) and not inspect.iscoroutinefunction(called):
        raise TypeError(f"{name_of(middleware)} {NOT_ASYNC}")


def name_of(middleware: object) -> str:
    """What messages call a middleware."""
    while isinstance(middleware, partial):
        middleware = middleware.func
    name = getattr(middleware, "__qualname__", None) or type(middleware).__qualname__
    return str(name).rpartition("<locals>.")[2]


class Passage:
    """One message's way through a chain.

    Attributes:
        name: the member's.
        dropped: what a layer further in than whoever looks has made of an event.
        opened: the items that layers have given, the innermost first.
    """

    __slots__ = ("_chain", "_end", "_message", "dropped", "name", "opened")

    def __init__(self, chain: Sequence[AnyMiddleware], message: Message[Any], end: End) -> None:
        self.name = message.name
        self.dropped: Dropped | None = None
        self.opened: list[object] = []
        self._chain = chain
        self._message = message
        self._end = end

    async def run(self) -> Any:
        """All of it; see `pass_through`."""
        try:
            result = await self.layer(0, self._message)
        except BaseException:
            await close_all(self.opened)
            raise
        return Items(result, self.opened) if self._message.kind == "stream" else result

    async def layer(self, index: int, message: Message[Any]) -> Any:
        """One layer and those further in."""
        if index == len(self._chain):
            result = await self._end(message)
            if isinstance(result, Dropped):  # by those that this chain is composed into
                self.dropped = result
        else:
            middleware = self._chain[index]
            onward = _Onward(self, index, middleware)
            was_left_running = False
            try:
                under_way = middleware(message, onward)
                if not isinstance(under_way, Awaitable):
                    raise MiddlewareError(f"{onward.who} {NOT_ASYNC}")
                result = await under_way
            finally:
                was_left_running = await onward.leave()
            if message.kind == "stream" and result is not None:
                self.opened.append(result)
            if was_left_running:
                raise MiddlewareError(
                    f"{onward.who} returned while next was still running for {self.name}; await it"
                )
            return self._checked(onward, result)
        if message.kind == "stream":
            self.opened.append(result)
        return result

    def takes(self, message: object) -> bool:
        """Whether a message is of this passage."""
        return isinstance(message, Message) and message.state is self._message.state

    def _checked(self, onward: _Onward, result: object) -> object:
        """What a layer has returned, if it may."""
        who, name, kind = onward.who, self.name, self._message.kind
        if isinstance(result, Dropped):
            if kind != "event":
                raise MiddlewareError(f"{who} dropped {name}, which is no event; raise an error, or answer")
            if self.dropped is None:
                if onward.has_succeeded:
                    raise MiddlewareError(f"{who} dropped {name} after it had passed it on")
                self.dropped = result
        elif result is None:
            if not (onward.has_succeeded if kind == "event" else self._may_be_nothing()):
                raise self._nothing(onward)
        elif kind == "event":
            raise MiddlewareError(f"{who} returned a value for the event {name}, which has no answer")
        elif kind == "stream" and not isinstance(result, AsyncIterable):
            raise MiddlewareError(
                f"{who} answered the stream {name} with {type(result).__name__}, which cannot be iterated"
            )
        return self.dropped if kind == "event" else result

    def _may_be_nothing(self) -> bool:
        """Whether nothing is an answer of this call."""
        member = self._message.member
        if not isinstance(member, Call):
            return False
        try:
            member.response.validate(None)
        except InvalidPayload:
            return False
        return True

    def _nothing(self, onward: _Onward) -> MiddlewareError:
        if onward.has_succeeded:
            return MiddlewareError(f"{onward.who} returned nothing for {self.name}; return what next gave")
        return MiddlewareError(
            f"{onward.who} neither called next nor answered {self.name}; "
            "return await next(message), an answer, or drop(reason)"
        )


class _Onward:
    """One layer's `next`.

    Attributes:
        has_succeeded: the layers further in have given something, which is final.
    """

    __slots__ = (
        "_index",
        "_is_left",
        "_middleware",
        "_over",
        "_passage",
        "_running",
        "_task",
        "has_succeeded",
    )

    def __init__(self, passage: Passage, index: int, middleware: AnyMiddleware) -> None:
        self.has_succeeded = False
        self._middleware = middleware
        self._passage = passage
        self._index = index
        self._is_left = False
        self._running: Coroutine[Any, Any, Any] | None = None
        self._task: asyncio.Task[Any] | None = None  # that it runs in, once it has begun
        self._over: asyncio.Future[None] | None = None

    def __call__(self, message: Message[Any], /) -> Coroutine[Any, Any, Any]:
        name = self._passage.name
        if self._is_left:
            raise MiddlewareError(f"{self.who} called next for {name} after it had returned")
        if self._running is not None:
            raise MiddlewareError(f"{self.who} called next for {name} while it was still running")
        if self.has_succeeded:
            raise MiddlewareError(f"{self.who} called next again for {name}, though it had succeeded")
        if not self._passage.takes(message):
            raise MiddlewareError(
                f"{self.who} called next with what is no message of {name}; use message.replace"
            )
        self._running = self._run(message)
        return self._running

    @property
    def who(self) -> str:
        """The layer's name."""
        return name_of(self._middleware)

    async def leave(self) -> bool:
        """The layer has returned, or failed: end what it left running. Gives whether there was anything."""
        self._is_left = True
        running, task = self._running, self._task
        if running is None:
            return False
        if task is None or task is asyncio.current_task():  # not begun, or the layer took the steps itself
            running.close()
        else:
            self._over = asyncio.get_running_loop().create_future()
            task.cancel()
            await self._over
        return True

    async def _run(self, message: Message[Any]) -> Any:
        passage = self._passage
        opened = len(passage.opened)
        self._task = asyncio.current_task()
        try:
            result = await passage.layer(self._index + 1, message)
        except BaseException:
            passage.dropped = None
            given = passage.opened[opened:]
            del passage.opened[opened:]
            await close_all(given)
            raise
        else:
            self.has_succeeded = True
            return result
        finally:
            self._running = self._task = None
            if self._over is not None and not self._over.done():
                self._over.set_result(None)


class Items(AsyncIterator[Any]):
    """What a stream's passage gives: its items. When they end, or are closed, so is every iterator that a layer has given."""

    __slots__ = ("_iterator", "_opened")

    def __init__(self, items: Any, opened: list[object]) -> None:
        self._iterator = aiter(items)
        self._opened = opened
        if self._iterator is not opened[-1]:
            opened.append(self._iterator)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._iterator)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close all of them, the outermost first; a second time changes nothing."""
        opened, self._opened = self._opened, []
        await close_all(opened)


async def close_all(opened: Sequence[object]) -> None:
    """Close iterators, the last first, as far as they can be; what one raises comes when all are closed."""
    failure: BaseException | None = None
    for items in reversed(opened):
        close = getattr(items, "aclose", None)
        if close is not None:
            try:
                await close()
            except BaseException as error:  # noqa: BLE001 - the others are closed first
                failure = failure or error
    if failure is not None:
        raise failure
