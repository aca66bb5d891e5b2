"""What leaves, through middleware: before it is encoded, and back with what the other side has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Protocol, Self
from uuid import uuid4

from ionbus.contract.members import Call, Event, Member, Stream
from ionbus.dispatch.reader import StreamReader
from ionbus.middleware.inbound import checked
from ionbus.middleware.message import AnyMiddleware, Message, MessageContext
from ionbus.middleware.onion import Items, pass_through
from ionbus.middleware.passing import now

Chain = tuple[AnyMiddleware, ...]
Options = Mapping[str, object]


class SendCall(Protocol):
    """Sends a call as it is, and gives its answer."""

    def __call__(
        self, call: Any, request: Any, *, timeout: float | None, options: Options
    ) -> Coroutine[Any, Any, Any]: ...


class OpenStream(Protocol):
    """Gives the reader of a stream as it is."""

    def __call__(
        self, stream: Any, request: Any, *, timeout: float | None, options: Options
    ) -> StreamReader[Any]: ...


async def call_through(
    chain: Chain,
    call: Call[Any, Any, Any],
    request: Any,
    timeout: float | None,
    context: MessageContext,
    send: SendCall,
) -> Any:
    """Let a call pass. All that is sent for it carries one idempotency key, and what is left of `timeout`."""
    payload = call.request.validate(request)
    message = _outbound(call, payload, context, timeout)
    key = {"key": uuid4().hex} if call.idempotent else {}
    answers: list[Any] = [None]

    async def end(passed: Message[Any]) -> Any:
        value = checked(call.request, passed.payload, payload, call.name)
        options = {**_options(passed), **key}
        answers[0] = await send(call, value, timeout=_left(passed), options=options)
        return answers[0]

    answer = await pass_through(chain, message, end)
    return checked(call.response, answer, answers[0], call.name)


async def emit_through(
    chain: Chain,
    event: Event[Any, Any],
    payload: Any,
    context: MessageContext,
    send: Callable[[Any, Any, Options], Awaitable[None]],
) -> str | None:
    """Let an event pass; gives the reason where it was dropped."""
    value = event.payload.validate(payload)

    async def end(passed: Message[Any]) -> None:
        await send(event, checked(event.payload, passed.payload, value, event.name), _options(passed))

    dropped = await pass_through(chain, _outbound(event, value, context, None), end)
    return None if dropped is None else str(dropped.reason)


class SurroundedReader(StreamReader[Any]):
    """A stream being read through middleware, whose passage begins when the reading does.

    Args:
        chain: the outermost first.
        stream: what is read.
        request: its payload.
        timeout: seconds for the whole stream, or None.
        context: what is known about it.
        open_stream: gives the reader of the stream as it is.
    """

    def __init__(
        self,
        chain: Chain,
        stream: Stream[Any, Any, Any],
        request: Any,
        timeout: float | None,
        context: MessageContext,
        open_stream: OpenStream,
    ) -> None:
        self._chain = chain
        self._stream = stream
        self._request = stream.request.validate(request)
        self._seconds = timeout
        self._context = context
        self._open = open_stream
        self._loop: asyncio.AbstractEventLoop | None = None  # it may be made on another thread
        self._items: Items | None = None
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        message = _outbound(self._stream, self._request, self._context, self._seconds)
        self._items = await pass_through(self._chain, message, self._end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._items is not None:
            await self._items.aclose()

    async def __anext__(self) -> Any:
        if self._items is None:
            raise RuntimeError("a stream is read inside `async with`")
        item = await anext(self._items)
        return checked(self._stream.item, item, None, self._stream.name)

    def close_soon(self) -> None:
        """Close it from any thread, without waiting for that."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._loop is not None and self._closing is None:
            self._closing = self._loop.create_task(self.__aexit__(None, None, None))

    async def _end(self, passed: Message[Any]) -> _Reading:
        request = checked(self._stream.request, passed.payload, self._request, self._stream.name)
        reader = self._open(self._stream, request, timeout=_left(passed), options=_options(passed))
        return _Reading(await reader.__aenter__())


class _Reading:
    """An open reader as an iterator that can be closed."""

    def __init__(self, reader: StreamReader[Any]) -> None:
        self._reader = reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._reader)

    async def aclose(self) -> None:
        """Tell the other side to stop."""
        await self._reader.__aexit__(None, None, None)


def _outbound(member: Member, payload: Any, context: MessageContext, timeout: float | None) -> Message[Any]:
    message: Message[Any] = Message(member.kind, "outbound", member.name, member, payload, context)
    return message if timeout is None else message.replace(deadline=now() + timeout)


def _left(message: Message[Any]) -> float | None:
    deadline = message.context.deadline
    return None if deadline is None else max(0.0, deadline - now())


def _options(message: Message[Any]) -> dict[str, object]:
    trace = message.context.trace
    return {} if trace is None else {"trace": trace}
