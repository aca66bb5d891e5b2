"""A stream being read, as who asked for it sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ionbus.contract.payload import Payload, decode_any
from ionbus.dispatch.requests import Errors, PendingStream
from ionbus.dispatch.waiting import wait_with
from ionbus.generated.protocol import Message
from ionbus.wire.messages import encode_message
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.dispatch.peer import Peer

ItemT = TypeVar("ItemT")


class StreamReader(Generic[ItemT]):
    """A stream being read: `async with bus.stream(...) as items: async for item in items`.

    Leaving the block early tells the other side to stop.
    """

    def __init__(
        self,
        peer: Peer,
        name: str,
        payload: Encoded,
        item: Payload[ItemT] | None,
        timeout: float | None,
        raises: Errors,
        ready: Callable[[], Awaitable[None]] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self._peer = peer
        self._name = name
        self._payload = payload
        self._ready = ready
        self._item = item
        self._timeout = timeout
        self._raises = raises
        self._options = options
        self._pending: PendingStream | None = None

    async def __aenter__(self) -> Self:
        if self._ready is not None:
            await self._ready()
        self._pending = await self._peer.requests.stream(
            self._name, self._payload, self._timeout, self._raises, self._options
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __aiter__(self) -> AsyncIterator[ItemT]:
        return self

    async def __anext__(self) -> ItemT:
        """The next item.

        Raises:
            RuntimeError: outside `async with`.
            IonbusError: what the other side ended the stream with, or why it is gone.
        """
        pending = self._pending
        if pending is None:
            raise RuntimeError("a stream is read inside `async with`")
        while not pending.items:
            if pending.error is not None:
                error, pending.error = pending.error, None
                raise error
            if pending.is_over:
                raise StopAsyncIteration
            await wait_with(pending.waiters, self._peer.loop)
        payload, grant = pending.take()
        if grant is not None and not pending.is_over:
            self._peer.send(encode_message(Message.STREAM_CREDIT, pending.id, *grant), pending.id)
        if self._item is None:
            item: Any = decode_any(payload, self._name)
            return item  # type: ignore[no-any-return] # without a contract it is what it is
        return self._item.decode(payload)

    def close_soon(self) -> None:
        """Leave, from another thread."""
        self._peer.loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        pending = self._pending
        if pending is not None:
            if not pending.is_over:
                self._peer.requests.give_up(pending)
            pending.leave()
