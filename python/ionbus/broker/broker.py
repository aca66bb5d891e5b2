"""The broker: serves contracts to clients."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Set as AbstractSet
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

from typing_extensions import TypeVar

from ionbus.broker.access import Access
from ionbus.broker.dead_letters import MAX_LETTERS, DeadLetters
from ionbus.broker.endpoints import Endpoint, Listening
from ionbus.broker.hearing import Hearing
from ionbus.broker.principals import EVERYTHING, Rights, checked_roles, of_everybody
from ionbus.broker.resend import send_again
from ionbus.broker.served_session import Session
from ionbus.broker.serving import Serving
from ionbus.broker.subscribed import ClientSubscription
from ionbus.broker.tokens import Authenticate, Tokens, no_token
from ionbus.channels.base import Accept
from ionbus.channels.stdio import is_launched, take_over_stdio
from ionbus.contract.builtin import Ionbus
from ionbus.contract.contract import Contract, ContractInfo
from ionbus.contract.members import Call, Event, Stream
from ionbus.dispatch.handlers import (
    EventListener,
    Handler,
    Handlers,
    check_contract,
    check_handled,
    make_handler,
)
from ionbus.dispatch.reader import StreamReader
from ionbus.generated.protocol import Limits

if TYPE_CHECKING:
    from ionbus.middleware.chains import Chains
    from ionbus.middleware.message import (
        AnyMiddleware,
        Direction,
        EventMiddleware,
        Kind,
        Middleware,
        StreamMiddleware,
    )
    from ionbus.observe.health import Health, HealthBounds
    from ionbus.observe.metrics import Metrics

P = TypeVar("P")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ItemT = TypeVar("ItemT")
StateT = TypeVar("StateT", default=Any)

BUILT_IN = frozenset(
    {Ionbus.__contract__.name, "ionbus_admin"}
)  # `ionbus.admin` is imported only where a broker is served
"""Contracts that every broker serves besides its own."""

FROM_LIFESPAN = "raised by the broker's lifespan"
"""The note on what it raises."""

Lifespan = Callable[["Broker[Any]"], AbstractAsyncContextManager[StateT]]


class Broker(Hearing, Generic[StateT]):
    """Serves contracts. It binds to no event loop until it is served.

        broker = Broker(Conductor)

        @broker.handle(Conductor.execute)
        async def execute(request: ExecuteFlow, ctx: Context) -> FlowResult: ...

        broker.run()

    Args:
        contracts: what it serves.
        lifespan: given the broker, an async context manager around its life; what it yields is `ctx.state`.
        limits: bounds and times, where the defaults do not do.
        max_dead_letters: how many events and requests that came to nothing are kept.
        metrics: count and time events, requests and the event loop, for `metrics` and `health`; costs up to a twentieth of the
            CPU (docs/observability.md).

    Attributes:
        dead_letters: those, oldest first.

    Raises:
        TypeError: two contracts have one name, or one is not a contract.
        ValueError: `max_dead_letters` is negative.
    """

    def __init__(
        self,
        *contracts: type[Contract],
        lifespan: Lifespan[StateT] | None = None,
        limits: Limits | None = None,
        max_dead_letters: int = MAX_LETTERS,
        metrics: bool = False,
    ) -> None:
        names: set[str] = set()
        for contract in contracts:
            info = getattr(contract, "__contract__", None)
            if not isinstance(info, ContractInfo):
                raise TypeError(f"Broker takes contracts, not {contract!r}")
            name = info.name
            if "." in name:
                raise TypeError(
                    f"{name} is a part of {name.partition('.')[0]}: give Broker the outermost contract"
                )
            if name in names or name in BUILT_IN:
                raise TypeError(f"two contracts are named {name!r}; rename one")
            names.add(name)
        super().__init__(*contracts)
        if is_launched():
            take_over_stdio()  # now, so that what the application prints before it serves does no harm either
        self._lifespan = lifespan
        self._limits = limits or Limits()
        self.dead_letters = DeadLetters(max_dead_letters)
        self._has_meter = metrics
        self._serving: Serving | None = None
        self._users = 0
        self._stack = AsyncExitStack()
        self._included: set[int] = set()
        self._chains: Chains | None = None  # of middleware, where some is in use
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def include(self, handlers: Handlers) -> None:
        """Take over the handlers and listeners of another file.

        Raises:
            TypeError: one is for a contract that is not served here, or is a second one for its call.
        """
        given: object = handlers
        if not isinstance(given, Handlers) or given is self:
            raise TypeError(f"include() takes the Handlers of another file, not {handlers!r}")
        if id(handlers) in self._included:
            raise TypeError("these handlers are included already")
        for handler in handlers.handled.values():
            check_contract(handler.member, self.contracts)
            self.check_free(handler)
        for listener in handlers.listeners:
            check_contract(listener.member, self.contracts)
        for handler in handlers.handled.values():
            self.add(handler)
        for listener in handlers.listeners:
            self.add_listener(listener)
        self._included.add(id(handlers))

    def add_listener(self, listener: EventListener) -> None:
        """Keep a listener, which hears what comes from now on."""
        super().add_listener(listener)
        if self._serving is not None:
            self._serving.listeners.setdefault(listener.member.name, []).append(listener)

    def forget_closed(self) -> None:
        """Keep no listener that was closed."""
        super().forget_closed()
        if self._serving is not None:
            self._serving.forget_closed()

    @overload
    def use(
        self,
        middleware: Middleware[RequestT, ResponseT],
        what: Call[RequestT, ResponseT, Any],
        *,
        direction: Direction | None = ...,
    ) -> None: ...
    @overload
    def use(
        self,
        middleware: StreamMiddleware[RequestT, ItemT],
        what: Stream[RequestT, ItemT, Any],
        *,
        direction: Direction | None = ...,
    ) -> None: ...
    @overload
    def use(
        self, middleware: EventMiddleware[P], what: Event[P, Any], *, direction: Direction | None = ...
    ) -> None: ...
    @overload
    def use(
        self,
        middleware: AnyMiddleware,
        what: type[Contract] | str | None = ...,
        *,
        kind: Kind | None = ...,
        direction: Direction | None = ...,
    ) -> None: ...
    def use(
        self,
        middleware: Any,
        what: Any = None,
        *,
        kind: Kind | None = None,
        direction: Direction | None = None,
    ) -> None:
        """Let a middleware stand around what passes from now on (docs/middleware.md).

        What is for everything stands outside, then what is for a contract, innermost what is for one member; among equals the
        first used is outermost.

        Args:
            middleware: `async def middleware(message, next)`, or one that `ionbus.middleware` ships.
            what: a contract, a member, or a pattern as `"conductor.*"`; everything where it is left out.
            kind: only calls, streams or events.
            direction: only what arrives, or what leaves.

        Raises:
            TypeError: it is no middleware, or for what is not served here.
            ValueError: the pattern is malformed or matches nothing that is served here, or there is no such kind or direction.
        """
        from ionbus.middleware.chains import Chains, check_served  # noqa: PLC0415 - whoever uses none pays for none

        check_served(what, self.contracts)
        if self._chains is None:
            self._chains = Chains()
        self._chains.add(middleware, what, kind, direction)
        if self._serving is not None:
            self._surround(self._serving)

    def _surround(self, serving: Serving) -> None:
        if self._chains is not None and serving.around is None:
            from ionbus.middleware.around import Around  # noqa: PLC0415 - whoever uses none pays for none

            serving.around = Around(self._chains, serving.threads)

    @contextmanager
    def override(
        self, member: Call[Any, Any, Any] | Stream[Any, Any, Any], fake: Callable[..., Any]
    ) -> Iterator[None]:
        """Answer a call or stream by another function, in a test.

        Args:
            member: the call or stream.
            fake: what answers instead; it may take the payload, a context, both or neither.

        Raises:
            TypeError: it does not fit its contract.
        """
        check_handled(member, self.contracts, "broker")
        name = member.name
        before: Handler | None = self.handled.get(name)
        self.handled[name] = make_handler(member, fake)
        try:
            yield
        finally:
            if before is None:
                self.handled.pop(name, None)
            else:
                self.handled[name] = before

    # While it is served.

    @property
    def is_served(self) -> bool:
        """Whether it is served now."""
        return self._serving is not None

    @property
    def sessions(self) -> list[Session]:
        """All live sessions, those without a channel at the moment included; none while it is not served."""
        return [] if self._serving is None else self._serving.sessions

    def subscriptions(self) -> list[ClientSubscription]:
        """What clients have subscribed to: who listens to what, over all sessions; none while it is not served."""
        return [each for session in self.sessions for each in session.subscriptions]

    @property
    def state(self) -> StateT:
        """What `lifespan` yielded.

        Raises:
            RuntimeError: the broker is not served.
        """
        state: StateT = self._live().state
        return state

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """How many events never reached a client, by their name and the reason, over all sessions since it is served.

        Reasons (docs/delivery.md): `behind` and `absent` (volatile), `superseded` and `forgotten` (latest), `too_large`, or
        the code that a session ended with.
        """
        return {} if self._serving is None else self._serving.dropped

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept for all clients together: what `Limits.max_broker_bytes` bounds."""
        return 0 if self._serving is None else self._serving.held_bytes

    def metrics(self) -> Metrics:
        """What has been counted since it is served, as plain data (docs/observability.md); nothing while it is not. From any thread.

        Without `Broker(metrics=True)` there is only what is known anyway: sessions, queues, and what was dropped.
        """
        from ionbus.observe.collect import broker_metrics  # noqa: PLC0415 - only who asks needs it
        from ionbus.observe.metrics import Metrics  # noqa: PLC0415

        serving = self._serving
        return Metrics() if serving is None else broker_metrics(serving)

    def health(self, bounds: HealthBounds | None = None) -> Health:
        """What is wrong with it at the moment, in sentences (docs/observability.md). From any thread, also while its loop is blocked.

        Without `Broker(metrics=True)` only slow consumers and memory are looked at.

        Args:
            bounds: from where on something is a problem, where the defaults do not do.
        """
        from ionbus.observe import health  # noqa: PLC0415 - only who asks needs it
        from ionbus.observe.collect import broker_facts  # noqa: PLC0415

        serving = self._serving
        if serving is None:
            return health.NOT_SERVED
        return health.judge(broker_facts(serving), bounds or health.HealthBounds())

    async def stop(
        self, *, drain: float = 0.0, retry_after: float | None = None, elsewhere: str | None = None
    ) -> None:
        """End all sessions, in good order. `run` returns then; inside `serve`, leave its block afterwards.

        New requests are no longer begun: the clients' libraries keep them for the broker that they come to next. Those
        that run may finish; at the deadline they are cancelled, and their callers are told so.

        Args:
            drain: seconds that requests under way have to finish. 0: their callers hear of them when they are in their next
                session, by `SessionLost`; calls that are idempotent are sent again there.
            retry_after: seconds after which clients shall come back; at once, with their usual back-off, if left out.
            elsewhere: URL of the broker that takes over; clients on WebSocket go there (docs/protocol.md, section 8.7).

        Raises:
            RuntimeError: the broker is not served.
        """
        serving = self._live()
        if serving.stopping is None:
            if retry_after is not None:
                serving.farewell["retry_after"] = int(retry_after * 1000)
            if elsewhere is not None:
                serving.farewell["elsewhere"] = elsewhere
            asker = asyncio.current_task()
            serving.stopping = asyncio.create_task(self._wind_up(serving, drain, asker), name="ionbus-stop")
        await asyncio.shield(
            serving.stopping
        )  # whoever waits for it may be one of the handlers that it cancels

    async def stopped(self) -> None:
        """Wait until `stop` was called and has done its work."""
        await self._live().stopped.wait()

    @overload
    async def emit(self, event: Event[None, Literal["broker", "any"]]) -> None: ...
    @overload
    async def emit(self, event: Event[P, Literal["broker", "any"]], payload: P) -> None: ...
    async def emit(self, event: Any, payload: Any = None) -> None:
        """Emit an event to every session that subscribed. Waits for those that are behind and go on reading.

        Raises:
            InvalidPayload: the payload does not fit the contract.
            RuntimeError: the broker is not served.
        """
        serving = self._serving or self._live()
        if serving.around is not None:
            await serving.emit_through(serving.around, event, payload)
            return
        behind = serving.events.publish(event, payload)
        if behind:
            await serving.caught_up(behind)
        elif serving.turn.is_long:
            await asyncio.sleep(0)

    @overload
    async def call(
        self, session: Session, call: Call[None, ResponseT, Literal["client"]], *, timeout: float | None = ...
    ) -> ResponseT: ...
    @overload
    async def call(
        self,
        session: Session,
        call: Call[RequestT, ResponseT, Literal["client"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> ResponseT: ...
    async def call(self, session: Session, call: Any, request: Any = None, **options: Any) -> Any:
        """Call a client.

        Args:
            session: which one; `ctx.session` in a handler.
            call: a call that clients serve.
            request: its payload.
            timeout: seconds; None: for ever; the contract's where it is left out.

        Raises:
            IonbusError: as `Bus.call`; `SessionLost` when the session ends first.
        """
        return await session.call(call, request, **options)

    @overload
    def stream(
        self, session: Session, stream: Stream[None, ItemT, Literal["client"]], *, timeout: float | None = ...
    ) -> StreamReader[ItemT]: ...
    @overload
    def stream(
        self,
        session: Session,
        stream: Stream[RequestT, ItemT, Literal["client"]],
        request: RequestT,
        *,
        timeout: float | None = ...,
    ) -> StreamReader[ItemT]: ...
    def stream(self, session: Session, stream: Any, request: Any = None, **options: Any) -> StreamReader[Any]:
        """Read a stream of a client: `async with broker.stream(...) as items`."""
        return session.stream(stream, request, **options)

    def serve(
        self,
        *urls: str,
        authenticate: Authenticate | None = None,
        token: str | None = None,
        roles: AbstractSet[str] = frozenset(),
        tokens: Tokens | None = None,
        endpoint_file: str | os.PathLike[str] | None = None,
        origins: Collection[str] = (),
        hosts: Collection[str] = (),
        ssl: tls.SSLContext | None = None,
        grace: float = 5.0,
    ) -> AbstractAsyncContextManager[list[Endpoint]]:
        """Serve while the block runs.

        Args:
            urls: `ws://127.0.0.1:0` (port 0: a free one), `wss://…` with `ssl`, `stdio:`.
            authenticate: given a token, or None where there is none, gives the principal, or None (or False) to refuse;
                may be async. A `Principal`, or any object with an attribute `roles`, has roles; everything else has none.
                Without it there is one token.
            token: that one; a random one where it is left out.
            roles: what that token gives.
            tokens: several tokens, with the roles that each gives, or the `Principal` that it belongs to.
            endpoint_file: where to write the first WebSocket's URL and `token`, for programs of this user: JSON that nobody else
                can read, there from now until the end. Clients find it by `IONBUS_ENDPOINT_FILE`.
            origins: pages that may connect besides the broker's own; `null` and `file://` only where they are named.
            hosts: names besides the bound address by which clients reach it.
            ssl: the certificate for `wss://`.
            grace: seconds that handlers have to end when the block is left.

        Returns:
            An async context manager that gives one endpoint for each URL, with its real port and the token.

        Raises:
            TypeError: a call or stream has no handler; the message names them all.
            ValueError: a URL is not one of these.
            OSError: an address cannot be bound, or `endpoint_file` not written; raised when the block is entered.
        """
        return Listening(
            self,
            urls,
            access=Access(
                authenticate=authenticate,
                token=token,
                roles=roles,
                tokens=tokens,
                needs_token=endpoint_file is not None,
            ),
            endpoint_file=endpoint_file,
            origins=origins,
            hosts=hosts,
            ssl=ssl,
            grace=grace,
        )

    def run(
        self,
        *urls: str,
        authenticate: Authenticate | None = None,
        roles: AbstractSet[str] = frozenset(),
        tokens: Tokens | None = None,
        endpoint_file: str | os.PathLike[str] | None = None,
        origins: Collection[str] = (),
        hosts: Collection[str] = (),
        ssl: tls.SSLContext | None = None,
        grace: float = 5.0,
        drain: float = 0.0,
    ) -> None:
        """Serve until a signal, `stop` or the end of standard input says to stop. This is what `ionbus serve` does.

        Args:
            urls: as for `serve`. Without any: stdio where a parent started this process for it, else
                `ws://127.0.0.1:0`, its URL and token printed.
            authenticate: as for `serve`.
            roles: as for `serve`, of the token in `IONBUS_TOKEN` or the random one.
            tokens: as for `serve`.
            endpoint_file: as for `serve`; then the token is not printed.
            origins: as for `serve`.
            hosts: as for `serve`.
            ssl: as for `serve`.
            grace: seconds that handlers have to end; then the process exits, whatever they do.
            drain: seconds that requests under way have to finish after a signal, before they are cancelled; a second
                signal ends the process at once.
        """
        from ionbus.broker.running import run_broker  # noqa: PLC0415 - it imports Broker

        run_broker(
            self,
            urls,
            authenticate=authenticate,
            roles=roles,
            tokens=tokens,
            endpoint_file=endpoint_file,
            origins=origins,
            hosts=hosts,
            ssl=ssl,
            grace=grace,
            drain=drain,
        )

    @asynccontextmanager
    async def opened(self, grace: float = 5.0) -> AsyncIterator[Serving]:
        """The broker at work, without any listener; several users share it. `serve` and `connect(broker)` come here."""
        async with self._one_at_a_time():
            if self._serving is None:
                await self._start()
            self._users += 1
        try:
            yield self._live()
        finally:
            self._users -= 1
            async with self._one_at_a_time():
                # Two may leave before one of them has its turn.
                if self._users == 0 and self._serving is not None:
                    await self._stop(grace)

    def _one_at_a_time(self) -> asyncio.Lock:
        """Held while it starts or stops: who comes meanwhile waits until it has."""
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn[0] is not loop:
            if self._serving is not None:
                raise RuntimeError("the broker is served on another event loop; make one broker for each")
            self._turn = (loop, asyncio.Lock())
        return self._turn[1]

    def accept_local(self, roles: AbstractSet[str] | None = None) -> Accept:
        """The function to call with a channel in this process.

        Args:
            roles: what its client may use of what asks for a role; None: everything.
        """
        rights = EVERYTHING if roles is None else Rights(checked_roles(roles, "roles="))
        return self._live().accept(no_token, of_everybody(rights))

    async def _start(self) -> None:
        listeners: dict[str, list[EventListener]] = {}
        super().forget_closed()
        for listener in self.listeners:
            listeners.setdefault(listener.member.name, []).append(listener)
        serving = Serving(
            self.contracts,
            self.handled,
            listeners,
            self._limits,
            self.dead_letters,
            has_meter=self._has_meter,
        )
        self._serving = serving
        self.dead_letters.send_again = partial(send_again, serving)
        self._surround(serving)
        try:
            if self._lifespan is not None:
                serving.state = await self._stack.enter_async_context(self._lifespan(self))
        except BaseException as error:
            error.add_note(FROM_LIFESPAN)
            self._serving = self.dead_letters.send_again = None
            await serving.stop(0.0)
            raise

    async def _wind_up(self, serving: Serving, drain: float, asker: asyncio.Task[Any] | None) -> None:
        if drain > 0:
            await serving.drain(drain, asker)
        await serving.stop(0.0)
        serving.stopped.set()

    async def _stop(self, grace: float) -> None:
        serving, stack = self._live(), self._stack
        self._stack = AsyncExitStack()
        try:
            async with stack:
                if serving.stopping is not None:
                    await serving.stopping
                await serving.stop(grace)
        finally:
            self._serving = self.dead_letters.send_again = None

    def _live(self) -> Serving:
        if self._serving is None:
            raise RuntimeError(
                "the broker is not served; use `async with broker.serve(...)` or `connect(broker)`"
            )
        return self._serving
