"""What a handler may know and do besides its payload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError as FutureCancelled, Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, overload

from typing_extensions import TypeVar

from ionbus.contract.members import Call, Event, Stream
from ionbus.errors import CallCancelled

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.dispatch.reader import StreamReader
    from ionbus.middleware.message import State

P = TypeVar("P")
T = TypeVar("T")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")
StateT = TypeVar("StateT", default=Any)

UNSET: Any = object()
"""Stands for an argument that was left out, where None has a meaning."""


class OtherSide(Protocol):
    """Who a context emits to and calls: a session at the broker, the bus at a client."""

    async def emit(self, event: Any, payload: Any = None) -> None:
        """Emit to the other side."""

    async def call(self, call: Any, request: Any = None, *, timeout: Any = UNSET) -> Any:
        """Call the other side."""

    def stream(self, stream: Any, request: Any = None, *, timeout: Any = UNSET) -> StreamReader[Any]:
        """Read a stream of the other side."""


class Request:
    """One request that is being answered, or one event at its listener: what its context tells.

    Attributes:
        id: the request's number in its session; 0 for an event.
        deadline: when its caller gives up, on `time.monotonic`'s clock; None: never.
        trace: the W3C traceparent that it came with.
    """

    __slots__ = ("_is_cancelled", "deadline", "id", "trace", "waits")

    def __init__(self, request_id: int = 0, deadline: float | None = None, trace: str | None = None) -> None:
        self.id = request_id
        self.deadline = deadline
        self.trace = trace
        self._is_cancelled = False
        self.waits: set[Future[Any]] = set()

    def is_cancelled(self) -> bool:
        """Whether nobody waits any more; threads may ask too."""
        return self._is_cancelled

    def cancel(self) -> None:
        """Tell the thread that nobody waits, and end what it waits for itself."""
        self._is_cancelled = True
        for wait in tuple(self.waits):
            wait.cancel()


class _ContextFacts(Generic[StateT]):
    _passage: State | None = None
    _trace: str | None = None

    def __init__(self, other: OtherSide, session: Session | None, state: Any, request: Request) -> None:
        self._other = other
        self._session = session
        self._state = state
        self._request = request

    @property
    def session(self) -> Session:
        """The caller's session.

        Raises:
            RuntimeError: at a client, whose only session is its bus.
        """
        if self._session is None:
            raise RuntimeError("a client's handler has no session in its context; use the bus")
        return self._session

    @property
    def session_or_none(self) -> Session | None:
        """The caller's session; None at a client."""
        return self._session

    @property
    def principal(self) -> Any:
        """Who calls, as `authenticate` said; None at a client."""
        return None if self._session is None else self._session.principal

    @property
    def deadline(self) -> float | None:
        """When the caller gives up, on `time.monotonic`'s clock; None: never."""
        return self._request.deadline

    @property
    def state(self) -> StateT:
        """What the broker's `lifespan` yielded; None without one."""
        state: StateT = self._state
        return state

    @property
    def request_id(self) -> int:
        """The request's number in its session; 0 for an event."""
        return self._request.id

    @property
    def trace(self) -> str | None:
        """The W3C traceparent that came with it, or that of the span which middleware made of it; None: there is none."""
        return self._trace or self._request.trace

    @property
    def passage(self) -> State:
        """What middleware has noted on its way (docs/middleware.md)."""
        if self._passage is None:
            from ionbus.middleware.message import State  # noqa: PLC0415 - without middleware it is not needed

            self._passage = State()
        return self._passage

    def note(self, passage: State, trace: str | None) -> None:
        """It came through middleware."""
        self._passage = passage
        self._trace = trace


class Context(_ContextFacts[StateT]):
    """The context of an `async def` handler."""

    @overload
    async def emit(self, event: Event[None, Literal["broker", "any"]]) -> None: ...
    @overload
    async def emit(self, event: Event[P, Literal["broker", "any"]], payload: P) -> None: ...
    async def emit(self, event: Any, payload: Any = None) -> None:
        """Emit an event to the caller's session alone; waits while that session is behind.

        Raises:
            InvalidPayload: the payload does not fit the contract.
            SessionLost: the session has ended.
        """
        await self._other.emit(event, payload)

    @overload
    async def call(
        self, call: Call[None, ResponseT, Literal["client"]], *, timeout: float | None = ...
    ) -> ResponseT: ...
    @overload
    async def call(
        self,
        call: Call[RequestT, ResponseT, Literal["client"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> ResponseT: ...
    async def call(self, call: Any, request: Any = None, *, timeout: Any = UNSET) -> Any:
        """Call the caller's own side.

        Args:
            call: a call that the client serves.
            request: its payload.
            timeout: seconds; None: for ever; the contract's where it is left out.

        Raises:
            IonbusError: as `Bus.call`.
        """
        return await self._other.call(call, request, timeout=timeout)

    @overload
    def stream(
        self, stream: Stream[None, ItemT, Literal["client"]], *, timeout: float | None = ...
    ) -> StreamReader[ItemT]: ...
    @overload
    def stream(
        self,
        stream: Stream[RequestT, ItemT, Literal["client"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> StreamReader[ItemT]: ...
    def stream(self, stream: Any, request: Any = None, *, timeout: Any = UNSET) -> StreamReader[Any]:
        """Read a stream that the client serves: `async with ctx.stream(...) as items`."""
        return self._other.stream(stream, request, timeout=timeout)

    def on_thread(self) -> ThreadContext[StateT]:
        """The same for a `def` handler."""
        loop = asyncio.get_running_loop()
        return ThreadContext(self._other, self._session, self._state, self._request, loop)


MAX_TRACE: Final = 128
"""Characters of a traceparent; what is longer is none."""


def trace_of(options: Mapping[str, Any]) -> str | None:
    """The traceparent in a message's options, if there is one (docs/protocol.md, section 5)."""
    trace = options.get("trace")
    return trace if type(trace) is str and len(trace) <= MAX_TRACE else None


class ThreadContext(_ContextFacts[StateT]):
    """The context of a `def` handler: the same methods, blocking, for use from any thread but the loop's."""

    def __init__(
        self,
        other: OtherSide,
        session: Session | None,
        state: Any,
        request: Request,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(other, session, state, request)
        self._loop = loop

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._request.is_cancelled()

    def raise_if_cancelled(self) -> None:
        """Leave the handler when nobody waits for its answer any more.

        Raises:
            CallCancelled: nobody does.
        """
        if self.cancelled:
            raise CallCancelled("the caller has given up")

    @overload
    def emit(self, event: Event[None, Literal["broker", "any"]]) -> None: ...
    @overload
    def emit(self, event: Event[P, Literal["broker", "any"]], payload: P) -> None: ...
    def emit(self, event: Any, payload: Any = None) -> None:
        """As `Context.emit`, blocking; raises `CallCancelled` when the caller gives up meanwhile."""
        self._wait(self._other.emit(event, payload))

    @overload
    def call(
        self, call: Call[None, ResponseT, Literal["client"]], *, timeout: float | None = ...
    ) -> ResponseT: ...
    @overload
    def call(
        self,
        call: Call[RequestT, ResponseT, Literal["client"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> ResponseT: ...
    def call(self, call: Any, request: Any = None, *, timeout: Any = UNSET) -> Any:
        """As `Context.call`, blocking."""
        return self._wait(self._other.call(call, request, timeout=timeout))

    @overload
    def stream(
        self, stream: Stream[None, ItemT, Literal["client"]], *, timeout: float | None = ...
    ) -> ThreadStream[ItemT]: ...
    @overload
    def stream(
        self,
        stream: Stream[RequestT, ItemT, Literal["client"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> ThreadStream[ItemT]: ...
    def stream(self, stream: Any, request: Any = None, *, timeout: Any = UNSET) -> ThreadStream[Any]:
        """Read a stream that the client serves: `with ctx.stream(...) as items`."""
        return ThreadStream(self._other.stream(stream, request, timeout=timeout), self._wait)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return wait_in_thread(work, self._loop, self._request)


def wait_in_thread(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, request: Request) -> T:
    """Run a coroutine on the loop and wait for it here, on another thread, unless the request is cancelled.

    Raises:
        CallCancelled: the request was cancelled.
        RuntimeError: called on the loop's own thread, which it would block for ever.
    """
    try:
        running: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is loop or request.is_cancelled():
        work.close()
        if running is loop:
            raise RuntimeError("a ThreadContext blocks; it cannot be used on the event loop's thread")
        raise CallCancelled("the caller has given up")
    try:
        future = asyncio.run_coroutine_threadsafe(work, loop)
    except RuntimeError:
        work.close()
        raise
    request.waits.add(future)
    if request.is_cancelled():
        future.cancel()
    try:
        return future.result()
    except FutureCancelled:
        raise CallCancelled("the caller has given up") from None
    finally:
        request.waits.discard(future)


class ThreadStream(Generic[ItemT]):
    """A stream read on a thread: a context manager and an iterator."""

    def __init__(self, reader: StreamReader[ItemT], wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._reader = reader
        self._wait = wait

    def __enter__(self) -> ThreadStream[ItemT]:
        self._wait(self._reader.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close_soon()

    def __iter__(self) -> Iterator[ItemT]:
        return self

    def __next__(self) -> ItemT:
        try:
            item: ItemT = self._wait(self._reader.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        return item
