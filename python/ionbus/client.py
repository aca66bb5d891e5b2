"""The Python client: `connect`, and the bus that it gives."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl as tls
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

from typing_extensions import TypeVar

from ionbus.channels.base import Opener
from ionbus.channels.child import Child
from ionbus.channels.memory import MemoryListener
from ionbus.channels.websocket_client import websocket_opener
from ionbus.context import UNSET, Context, Request, ThreadContext
from ionbus.contract import Contract, ContractInfo
from ionbus.dispatch import Peer
from ionbus.errors import (
    ConnectionLost,
    IonbusError,
    NotAllowed,
    NotFound,
    SessionLost,
    error_from_wire,
)
from ionbus.generated.protocol import Limits, Message
from ionbus.generated.states import ConnectionState
from ionbus.handlers import (
    Handler,
    ServesCall,
    ServesPlainCall,
    ServesPlainStream,
    ServesStream,
    check_handled,
    make_handler,
)
from ionbus.latest import hashable
from ionbus.link import Link
from ionbus.members import Call, Event, Member, Stream
from ionbus.patterns import pattern_problem
from ionbus.received import Received
from ionbus.requests import StreamReader
from ionbus.serving import agent
from ionbus.session.connection import SessionReplaced, StateChange
from ionbus.session.session import Delivered, Rejected
from ionbus.subscription import Decode, EventReader, Subscription, Subscriptions
from ionbus.threads import Threads
from ionbus.wire import values
from ionbus.wire.frames import MalformedFrame
from ionbus.wire.messages import encode_event, encode_message

if TYPE_CHECKING:
    from ionbus.broker import Broker

log = logging.getLogger("ionbus")

P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")

Source = str | Callable[[], str | None | Awaitable[str | None]] | None
"""A text, or a function, sync or async, that is asked before each attempt."""


class Bus:
    """A client's side of its session with a broker; `connect` makes one.

    Calls, events and subscriptions made while there is no channel wait for the next one.
    """

    def __init__(
        self,
        opener: Opener,
        *,
        contracts: Sequence[type[Contract]] = (),
        limits: Limits | None = None,
        may_renew_token: bool = False,
    ) -> None:
        self._limits = limits or Limits()
        self._handled: dict[str, Handler] = {}
        self._state_watchers: list[Callable[[StateChange], object]] = []
        self._error_watchers: list[Callable[[IonbusError], object]] = []
        self._threads = Threads()
        infos = [contract.__contract__ for contract in contracts]
        told = [(info.name, info.version, info.fingerprint) for info in infos]
        self._announced: dict[str, ContractInfo] = {}
        self._in_hello = {info.name for info in infos}
        self._link = Link(self, opener, told, self._limits, agent(), may_renew_token=may_renew_token)
        self._peer = Peer(
            self, self._link.connection.session, self._link.pump.flush_soon, self._limits, self._threads
        )
        self._subscriptions = Subscriptions(self._peer)
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] = self._peer.loop.create_future()

    def __repr__(self) -> str:
        return f"<Bus {self.state}>"

    # The connection.

    @property
    def state(self) -> ConnectionState:
        """Where the connection is: connecting, open, unresponsive, reconnecting or closed."""
        return self._link.state

    def on_state(self, watch: Callable[[StateChange], object]) -> Callable[[], None]:
        """Call a function with each change of state; gives a function that ends this."""
        self._state_watchers.append(watch)
        return lambda: _remove(self._state_watchers, watch)

    def on_error(self, watch: Callable[[IonbusError], object]) -> Callable[[], None]:
        """Call a function with what the broker refuses later, of what was accepted here; gives a function that ends this."""
        self._error_watchers.append(watch)
        return lambda: _remove(self._error_watchers, watch)

    def reconnect(self) -> None:
        """Try now instead of after the wait: the network is back."""
        self._link.retry()

    async def close(self) -> None:
        """End the session. What was emitted before leaves first, as far as the channel takes it."""
        if not self._link.is_over:
            self._link.close()
        await self._finish()

    # Requests and events.

    @overload
    async def call(
        self, call: Call[None, ResponseT, Literal["broker"]], *, timeout: float | None = ...
    ) -> ResponseT: ...
    @overload
    async def call(
        self, call: Call[RequestT, ResponseT, Literal["broker"]], request: RequestT, *, timeout: float | None = ...
    ) -> ResponseT: ...
    async def call(self, call: Any, request: Any = None, *, timeout: Any = UNSET) -> Any:
        """Call the broker and wait for its answer.

        Args:
            call: a call that the broker serves.
            request: its payload; left out where it is None.
            timeout: seconds; None: for ever; the contract's where it is left out.

        Raises:
            InvalidPayload: the request does not fit the contract, or the answer does not.
            ContractError: an error that the call declares.
            CallTimeout: no answer in time; the handler is told to stop.
            InternalError: the handler failed; its `incident_id` is in the broker's log.
            NotFound, NotAllowed, TooLarge, ContractMismatch: the broker refuses it.
            SessionLost, ConnectionLost: the session ended before the answer came.
        """
        if not isinstance(call, Call):
            raise TypeError(f"call() takes a call, not {call!r}")
        if call.served_by != "broker":
            raise NotAllowed(f"{call.name} is served by the client; it cannot be called at the broker")
        payload = call.request.encode(request)
        self._announce(call)
        seconds = call.timeout if timeout is UNSET else timeout
        answer = await self._peer.requests.call(call.name, payload, seconds, call.raises, call.idempotent)
        return call.response.decode(answer)

    @overload
    def stream(
        self, stream: Stream[None, ItemT, Literal["broker"]], *, timeout: float | None = ...
    ) -> StreamReader[ItemT]: ...
    @overload
    def stream(
        self, stream: Stream[RequestT, ItemT, Literal["broker"]], request: RequestT, *, timeout: float | None = ...
    ) -> StreamReader[ItemT]: ...
    def stream(self, stream: Any, request: Any = None, *, timeout: Any = UNSET) -> StreamReader[Any]:
        """Read a stream: `async with bus.stream(...) as items: async for item in items`.

        Leaving the block early stops the handler. Items come with back-pressure: the handler waits for a slow reader.

        Args:
            stream: a stream that the broker serves.
            request: its payload; left out where it is None.
            timeout: seconds for the whole stream; None: for ever; the contract's where it is left out.

        Raises:
            InvalidPayload: the request does not fit the contract.
        """
        if not isinstance(stream, Stream):
            raise TypeError(f"stream() takes a stream, not {stream!r}")
        if stream.served_by != "broker":
            raise NotAllowed(f"{stream.name} is served by the client; it cannot be read from the broker")
        payload = stream.request.encode(request)
        self._announce(stream)
        seconds = stream.timeout if timeout is UNSET else timeout
        return StreamReader(self._peer, stream.name, payload, stream.item, seconds, stream.raises)

    @overload
    async def emit(self, event: Event[None, Literal["client", "any"]]) -> None: ...
    @overload
    async def emit(self, event: Event[P, Literal["client", "any"]], payload: P) -> None: ...
    async def emit(self, event: Any, payload: Any = None) -> None:
        """Publish an event. It is accepted when it is valid, permitted and in credit; a later refusal goes to `on_error`.

        Raises:
            InvalidPayload: the payload does not fit the contract.
            NotAllowed: the event is the broker's.
            SessionLost, ConnectionLost: the connection is closed.
        """
        if not isinstance(event, Event):
            raise TypeError(f"emit() takes an event, not {event!r}")
        name = event.name
        if event.source == "broker":
            raise NotAllowed(f"{name} is published by the broker; a client cannot emit it")
        key = None
        if event.delivery == "latest":
            payload = event.payload.validate(payload)
            key = (name, hashable(event.key_of(payload)))
        data = event.payload.encode(payload)
        self._announce(event)
        await self._peer.emit(encode_event(name, data), len(data), event.delivery, key)

    # Subscriptions and handlers.

    @overload
    def on(self, what: Event[P, Any], listener: Callable[[P], object]) -> Subscription: ...
    @overload
    def on(self, what: str | type[Contract], listener: Callable[[Received[object]], object]) -> Subscription: ...
    def on(self, what: Any, listener: Callable[[Any], object]) -> Subscription:
        """Listen to events: a function that is called with each, or an `async def` that is started with each.

        Listeners start in order and do not wait for one another.

        Args:
            what: an event, a contract (all its events), or a pattern as `"conductor.*"`. The last two give `Received`.
            listener: what to call.

        Returns:
            The subscription; closing it ends this.
        """
        pattern, decode = self._what(what)
        return self._subscriptions.add(pattern, decode, listener)

    @overload
    def events(self, what: Event[P, Any]) -> EventReader[P]: ...
    @overload
    def events(self, what: str | type[Contract]) -> EventReader[Received[object]]: ...
    def events(self, what: Any) -> EventReader[Any]:
        """Take events one at a time: `async with bus.events(...) as events: async for event in events`.

        An event counts as consumed when it is taken, so that a slow reader slows its sender down.

        Args:
            what: as for `on`.
        """
        return EventReader(self._subscriptions, *self._what(what))

    @overload
    def handle(self, member: Call[None, ResponseT, Literal["client"]]) -> ServesPlainCall[ResponseT]: ...
    @overload
    def handle(self, member: Call[RequestT, ResponseT, Literal["client"]]) -> ServesCall[RequestT, ResponseT]: ...
    @overload
    def handle(self, member: Stream[None, ItemT, Literal["client"]]) -> ServesPlainStream[ItemT]: ...
    @overload
    def handle(self, member: Stream[RequestT, ItemT, Literal["client"]]) -> ServesStream[RequestT, ItemT]: ...
    def handle(self, member: Any) -> Any:
        """Decorate the function that answers a call or stream of the broker.

        Raises:
            TypeError: the client does not serve it, it has a handler already, or the function does not fit it.
        """
        check_handled(member, (), "client")
        if member.name in self._handled:
            raise TypeError(f"{member.name} has a handler already")

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self._handled[member.name] = make_handler(member, function)
            self._announce(member)
            return function

        return register

    # Without a contract, by name: for tools.

    async def call_by_name(self, name: str, request: object = None, *, timeout: float | None = 30.0) -> object:
        """Call the broker with values as they are; raises as `call`."""
        answer = await self._peer.requests.call(name, values.encode(request), timeout, (), is_idempotent=False)
        return values.decode(answer)

    def stream_by_name(
        self, name: str, request: object = None, *, timeout: float | None = None
    ) -> StreamReader[object]:
        """Read a stream with values as they are."""
        return StreamReader(self._peer, name, values.encode(request), None, timeout, ())

    async def emit_by_name(self, name: str, payload: object = None) -> None:
        """Publish an event with a value as it is; what the broker refuses goes to `on_error`."""
        data = values.encode(payload)
        await self._peer.emit(encode_event(name, data), len(data), "session")

    # What `connect` does.

    async def start(self, *, wait: bool) -> None:
        """Begin to connect, and where `wait` says so, wait for the first WELCOME.

        Raises:
            ConnectionLost: the first attempt found no broker.
            Unauthenticated, ContractMismatch, ProtocolError: the broker refuses this client.
        """
        self._task = self._peer.loop.create_task(self._link.run(), name="ionbus-link")
        if wait:
            await self._opened

    async def _finish(self) -> None:
        task = self._task
        if task is not None and not task.done():
            task.cancel()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
        await self._peer.close()
        await self._threads.stop(0.0)

    # What the link tells.

    def arrived(self, arrival: Delivered | Rejected) -> None:
        """A message has arrived."""
        self._peer.receive(arrival)

    def credit_changed(self) -> None:
        """A frame has been taken."""
        self._peer.credit_changed()

    def changed(self, change: StateChange) -> None:
        """The state is another."""
        if change.after == ConnectionState.OPEN:
            welcome = self._link.connection.welcome
            limits = welcome.get("limits")
            largest = limits.get("message") if isinstance(limits, dict) else None
            if isinstance(largest, int):
                self._peer.max_message_bytes = largest
            names = welcome.get("names")
            self._peer.names = list(names) if isinstance(names, list) else []
            if not self._opened.done():
                self._opened.set_result(None)
        for watch in tuple(self._state_watchers):
            self._call(watch, change)

    def replaced(self, replaced: SessionReplaced) -> None:
        """The session is a new one."""
        error = SessionLost(f"the session was lost before the answer came ({replaced.code})")
        self._peer.replace(
            self._link.connection.session, replaced.unnumbered, error, self._introduce
        )

    def attempt_failed(self, code: str, message: str) -> None:
        """A channel could not be opened, or was not greeted."""
        self._settle_opened(error_from_wire(code, message))

    def ended(self, code: str, message: str) -> None:
        """It is over for good."""
        if code == "closed":
            error: IonbusError = ConnectionLost("the bus is closed")
        else:
            error = error_from_wire(code, message)
        self._peer.end(error)
        self._subscriptions.end(error)
        self._settle_opened(error)

    def find_handler(self, name: str, kind: Literal["call", "stream"]) -> Handler | IonbusError:
        """What answers a request of the broker."""
        handler = self._handled.get(name)
        if handler is None or isinstance(handler.member, Call) != (kind == "call"):
            return NotFound(f"{name}: this client has no handler for such a {kind}")
        return handler

    def context_for(self, request: Request, *, is_async: bool) -> Context[Any] | ThreadContext[Any]:
        """The context of a handler."""
        if is_async:
            return Context(self, None, None, request)
        return ThreadContext(self, None, None, request, self._peer.loop)

    def event(self, seq: int, name: str, payload: bytes) -> None:
        """An event has arrived."""
        subscriptions = self._subscriptions.matching(name)
        if subscriptions:
            self._peer.listeners.arrive(seq, name, payload, subscriptions)
        else:
            self._peer.consumed(len(payload))

    def other(self, seq: int, message: list[Any]) -> bool:
        """SUBSCRIBED, ENVELOPE, DESCRIBE."""
        match message[0]:
            case Message.SUBSCRIBED:
                code = message[2] if len(message) > 2 else None
                text = message[3] if len(message) > 3 and message[3] is not None else ""
                error = None if code is None else error_from_wire(code, text)
                if self._subscriptions.answered(message[1], error) is not None and error is not None:
                    self.refused(error)
            case Message.ENVELOPE:
                event = message[2]
                name = self._peer.name_of(event[1])
                found = self._subscriptions.numbered(message[1])
                if found:
                    self._peer.listeners.arrive(seq, name, event[2], found)
                else:
                    self._peer.consumed(len(event[2]))
            case Message.DESCRIBE:
                for fingerprint in message[1]:
                    self._peer.send(encode_message(Message.DESCRIPTION, fingerprint))
            case _:
                return False
        return True

    def refused(self, error: IonbusError) -> None:
        """The broker has refused something later."""
        if not self._error_watchers:
            log.warning("the broker has refused something: %s", error)
        for watch in tuple(self._error_watchers):
            self._call(watch, error)

    # Inside.

    def _what(self, what: Any) -> tuple[str, Decode]:
        """The pattern of what to listen to, and how its payloads are read."""
        if isinstance(what, Event):
            self._announce(what)
            decode = what.payload.decode
            return what.name, lambda _, payload: decode(payload)
        if isinstance(what, type) and issubclass(what, Contract):
            info = what.__contract__
            members = {member.name: member for member in info.members.values() if isinstance(member, Event)}
            for member in info.members.values():
                self._announce(member)
                break  # they all belong to one contract

            def typed(name: str, payload: bytes) -> Received[object]:
                member = members.get(name)
                return Received(name, values.decode(payload) if member is None else member.payload.decode(payload))

            return f"{info.name}.**", typed
        if not isinstance(what, str):
            raise TypeError(f"what to listen to is an event, a contract or a pattern, not {what!r}")
        problem = pattern_problem(what)
        if problem is not None:
            raise ValueError(problem)
        return what, lambda name, payload: Received(name, values.decode(payload))

    def _settle_opened(self, error: IonbusError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # nobody may be waiting

    def _announce(self, member: Member) -> None:
        """Tell the broker which contract this client was built with, before it is used for the first time."""
        info = member.contract
        if info.name in self._announced:
            return
        self._announced[info.name] = info
        if info.name not in self._in_hello and not self._peer.is_ended:
            self._send_announcement([info])

    def _introduce(self) -> None:
        """Tell a new session what the old one knew."""
        infos = [info for info in self._announced.values() if info.name not in self._in_hello]
        if infos:
            self._send_announcement(infos)
        self._subscriptions.tell_again()

    def _send_announcement(self, infos: list[ContractInfo]) -> None:
        told = [[info.name, info.version, info.fingerprint] for info in infos]
        self._peer.send(encode_message(Message.ANNOUNCE, told))

    def _call(self, watch: Callable[[Any], object], told: object) -> None:
        try:
            watch(told)
        except Exception:
            log.exception("a watcher failed")


@asynccontextmanager
async def connect(
    broker: Source | Broker[Any] = None,
    /,
    *,
    token: Source = None,
    stdio: Sequence[str | os.PathLike[str]] | None = None,
    contracts: Sequence[type[Contract]] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    ssl: tls.SSLContext | None = None,
    limits: Limits | None = None,
    wait: bool = True,
) -> AsyncIterator[Bus]:
    """Connect to a broker while the block runs.

    Args:
        broker: its URL, or a function that gives it; a `Broker` for one in this process, as in tests. Left out:
            `IONBUS_URL`, with `IONBUS_TOKEN`.
        token: who this client is, or a function that gives it.
        stdio: a command that starts a broker as a child; it ends with the block.
        contracts: to compare with the broker's at once; others are compared when they are first used.
        env: the child's environment; this process's where it is left out.
        cwd: where the child runs.
        ssl: for `wss://` with a certificate that the system does not know.
        limits: bounds and times, where the defaults do not do.
        wait: enter the block once the broker has answered, and raise where the first attempt fails; else enter it at once.

    Yields:
        The bus. It reconnects by itself, for ever, until the block is left.

    Raises:
        ConnectionLost: there is nothing to connect to, or nobody answers.
        Unauthenticated, ContractMismatch: the broker refuses this client.
    """
    from ionbus.broker import Broker  # noqa: PLC0415 - a client alone needs no broker

    async with AsyncExitStack() as stack:
        may_renew_token = callable(token)
        if stdio is not None:
            child = await stack.enter_async_context(Child(stdio, cwd=cwd, env=env))
            opener: Opener = child.open
            may_renew_token = True
        elif isinstance(broker, Broker):
            await stack.enter_async_context(broker.opened())
            opener = MemoryListener(broker.accept_local()).open
        else:
            url = broker
            if url is None:
                url = os.environ.get("IONBUS_URL")
                token = token or os.environ.get("IONBUS_TOKEN")
            if url is None:
                raise ConnectionLost(
                    "nothing to connect to: pass a URL, stdio=[...] or a Broker, or set IONBUS_URL (and IONBUS_TOKEN)"
                )
            opener = websocket_opener(url, token, ssl=ssl)
        bus = Bus(opener, contracts=contracts, limits=limits, may_renew_token=may_renew_token)
        stack.push_async_callback(bus.close)
        await bus.start(wait=wait)
        yield bus


def _remove(watchers: list[Any], watch: object) -> None:
    if watch in watchers:
        watchers.remove(watch)


