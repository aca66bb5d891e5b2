"""What arrives, through middleware: a handler with its chain around it, and an event on its way to who listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

from ionbus.contract.contract_error import ContractError
from ionbus.contract.members import Call, Event
from ionbus.contract.payload import Payload
from ionbus.dispatch.answers import Refused
from ionbus.dispatch.context import Context
from ionbus.dispatch.handlers import Handler
from ionbus.dispatch.runner import Habit
from ionbus.dispatch.signatures import Signature
from ionbus.dispatch.threads import Threads
from ionbus.errors import InvalidPayload, IonbusError
from ionbus.middleware.message import AnyMiddleware, Message, MessageContext, MiddlewareError
from ionbus.middleware.onion import Items, pass_through
from ionbus.middleware.passing import Passing


def surround(handler: Handler, chain: tuple[AnyMiddleware, ...], threads: Threads) -> Handler:
    """A handler with middleware around it. `threads`: where it runs if it is a `def`."""
    member = handler.member

    async def answer(request: Any, ctx: Context[Any]) -> Any:
        run = _Run(handler, threads, request, ctx)
        try:
            return await pass_through(chain, run.message, run.answer)
        except IonbusError as error:
            raise run.told(error) from error

    async def stream(request: Any, ctx: Context[Any]) -> AsyncGenerator[Any, None]:
        run = _Run(handler, threads, request, ctx)
        try:
            items: Items = await pass_through(chain, run.message, run.open)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()
        except IonbusError as error:
            raise run.told(error) from error

    is_call = isinstance(member, Call)
    signature = Signature("async" if is_call else "async_items", takes_payload=True, takes_context=True)
    function: Callable[..., Any] = answer if is_call else stream
    return replace(handler, function=function, signature=signature, is_async=True, habit=Habit())


class _Run:
    """One request: its message, and its handler at the end of the chain."""

    def __init__(self, handler: Handler, threads: Threads, request: Any, ctx: Context[Any]) -> None:
        self._handler = handler
        self._threads = threads
        self._request = request
        self._ctx = ctx
        self._failure: BaseException | None = None  # what the handler raised
        session, member = ctx.session_or_none, handler.member
        context = MessageContext(ctx.request_id, session, ctx.principal, ctx.deadline, ctx.trace)
        self.message: Message[Any] = Message(member.kind, "inbound", member.name, member, request, context)

    def told(self, error: IonbusError) -> Exception:
        """What is to be raised in the handler's place: what middleware refuses with reaches the caller as it is."""
        if error is self._failure or isinstance(error, ContractError):
            return error
        return Refused(error)

    async def answer(self, message: Message[Any]) -> Any:
        handler = self._handler
        arguments = self._arguments(message)
        try:
            if handler.is_async:
                return await handler.function(*arguments)
            return await self._threads.run(partial(handler.function, *arguments))
        except Exception as error:
            self._failure = error
            raise

    async def open(self, message: Message[Any]) -> AsyncIterator[Any]:
        handler = self._handler
        begin = partial(handler.function, *self._arguments(message))
        items = begin() if handler.is_async else items_on_thread(begin, self._threads)
        return Passing(items, self._noted)

    def _noted(self, _: int, error: BaseException | None) -> None:
        self._failure = error

    def _arguments(self, message: Message[Any]) -> list[Any]:
        handler, ctx = self._handler, self._ctx
        payload = checked(handler.member.request, message.payload, self._request, message.name)
        arguments = [payload] if handler.signature.takes_payload else []
        if handler.signature.takes_context:
            own = ctx if handler.is_async else ctx.on_thread()
            own.note(message.state, message.context.trace)
            arguments.append(own)
        return arguments


def checked(payload: Payload[Any], value: Any, before: Any, name: str) -> Any:
    """A value that middleware may have replaced; then it is validated.

    Raises:
        MiddlewareError: it does not fit.
    """
    if value is before:
        return value
    try:
        return payload.validate(value)
    except InvalidPayload as error:
        raise MiddlewareError(f"{name}: what middleware gave does not fit the contract: {error}") from error


async def pass_event(
    chain: tuple[AnyMiddleware, ...],
    name: str,
    member: Event[Any, Any] | None,
    value: Any,
    context: MessageContext,
    hand_on: Callable[[Any, Message[Any]], None],
) -> str | None:
    """Let an event that has arrived pass; gives the reason where it was dropped.

    Args:
        chain: the outermost first.
        name: the event's.
        member: which it is, where that is known.
        value: as it arrived, validated.
        context: what is known about it.
        hand_on: given the value, `value` itself where nothing has replaced it, and the message.

    Raises:
        RuntimeError: what middleware waited for was cancelled, though this is not: those behind are to pass.
        Exception: what middleware raises.
    """
    message: Message[Any] = Message("event", "inbound", name, member, value, context)

    async def end(passed: Message[Any]) -> None:
        given = passed.payload if member is None else checked(member.payload, passed.payload, value, name)
        hand_on(given, passed)

    try:
        dropped = await pass_through(chain, message, end)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"{name}: what middleware waited for was cancelled") from error
    return None if dropped is None else str(dropped.reason)


_END: Final = object()


async def items_on_thread(begin: Callable[[], Iterable[Any]], threads: Threads) -> AsyncGenerator[Any, None]:
    """The items of a `def` handler, each taken on a thread. Who leaves does not wait for the one that is under way."""
    items: list[Iterator[Any]] = []
    alone = threading.Lock()  # an iterator is closed when it is not running

    def step() -> Any:
        with alone:
            if not items:
                items.append(iter(begin()))
            return next(items[0], _END)

    def close() -> None:
        with alone:
            end = getattr(items[0], "close", None) if items else None
            if end is not None:
                end()

    try:
        while (item := await threads.run(step)) is not _END:
            yield item
    except asyncio.CancelledError:
        threads.run(close)
        raise
    except GeneratorExit:
        await threads.run(close)
        raise
