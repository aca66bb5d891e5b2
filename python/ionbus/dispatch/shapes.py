"""How a handler or a listener may look, for type checkers; `signatures` checks the same when it is registered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar, overload

from ionbus.dispatch.context import Context, ThreadContext

P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")


class ServesCall(Protocol[RequestT, ResponseT]):
    """Takes a call's handler and gives it back."""

    @overload
    def __call__(
        self, handler: Callable[[RequestT], Awaitable[ResponseT]], /
    ) -> Callable[[RequestT], Awaitable[ResponseT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, Context[Any]], Awaitable[ResponseT]], /
    ) -> Callable[[RequestT, Context[Any]], Awaitable[ResponseT]]: ...
    @overload
    def __call__(self, handler: Callable[[RequestT], ResponseT], /) -> Callable[[RequestT], ResponseT]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, ThreadContext[Any]], ResponseT], /
    ) -> Callable[[RequestT, ThreadContext[Any]], ResponseT]: ...


class ServesPlainCall(Protocol[ResponseT]):
    """The same for a call whose request is nothing."""

    @overload
    def __call__(
        self, handler: Callable[[], Awaitable[ResponseT]], /
    ) -> Callable[[], Awaitable[ResponseT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[Context[Any]], Awaitable[ResponseT]], /
    ) -> Callable[[Context[Any]], Awaitable[ResponseT]]: ...
    @overload
    def __call__(self, handler: Callable[[], ResponseT], /) -> Callable[[], ResponseT]: ...
    @overload
    def __call__(
        self, handler: Callable[[ThreadContext[Any]], ResponseT], /
    ) -> Callable[[ThreadContext[Any]], ResponseT]: ...


class ServesStream(Protocol[RequestT, ItemT]):
    """Takes a stream's handler and gives it back."""

    @overload
    def __call__(
        self, handler: Callable[[RequestT], AsyncIterator[ItemT]], /
    ) -> Callable[[RequestT], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, Context[Any]], AsyncIterator[ItemT]], /
    ) -> Callable[[RequestT, Context[Any]], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT], Iterator[ItemT]], /
    ) -> Callable[[RequestT], Iterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[RequestT, ThreadContext[Any]], Iterator[ItemT]], /
    ) -> Callable[[RequestT, ThreadContext[Any]], Iterator[ItemT]]: ...


class ServesPlainStream(Protocol[ItemT]):
    """The same for a stream whose request is nothing."""

    @overload
    def __call__(
        self, handler: Callable[[], AsyncIterator[ItemT]], /
    ) -> Callable[[], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[Context[Any]], AsyncIterator[ItemT]], /
    ) -> Callable[[Context[Any]], AsyncIterator[ItemT]]: ...
    @overload
    def __call__(self, handler: Callable[[], Iterator[ItemT]], /) -> Callable[[], Iterator[ItemT]]: ...
    @overload
    def __call__(
        self, handler: Callable[[ThreadContext[Any]], Iterator[ItemT]], /
    ) -> Callable[[ThreadContext[Any]], Iterator[ItemT]]: ...


class ListensToEvent(Protocol[P]):
    """Takes an event's listener and gives it back; what it returns is not looked at."""

    @overload
    def __call__(self, listener: Callable[[P], Awaitable[object]], /) -> Callable[[P], Awaitable[object]]: ...
    @overload
    def __call__(
        self, listener: Callable[[P, Context[Any]], Awaitable[object]], /
    ) -> Callable[[P, Context[Any]], Awaitable[object]]: ...
    @overload
    def __call__(self, listener: Callable[[P], object], /) -> Callable[[P], object]: ...
    @overload
    def __call__(
        self, listener: Callable[[P, ThreadContext[Any]], object], /
    ) -> Callable[[P, ThreadContext[Any]], object]: ...


class ListensToPlainEvent(Protocol):
    """The same for an event without a payload."""

    @overload
    def __call__(self, listener: Callable[[], Awaitable[object]], /) -> Callable[[], Awaitable[object]]: ...
    @overload
    def __call__(
        self, listener: Callable[[Context[Any]], Awaitable[object]], /
    ) -> Callable[[Context[Any]], Awaitable[object]]: ...
    @overload
    def __call__(self, listener: Callable[[], object], /) -> Callable[[], object]: ...
    @overload
    def __call__(
        self, listener: Callable[[ThreadContext[Any]], object], /
    ) -> Callable[[ThreadContext[Any]], object]: ...
