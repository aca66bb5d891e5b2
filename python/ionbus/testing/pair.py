"""A broker and its clients in memory, with what is between them in one's hands."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence, Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic

from typing_extensions import TypeVar

from ionbus.broker.broker import Broker
from ionbus.broker.principals import (
    EVERYTHING,
    Rights,
    RightsOf,
    checked_roles,
    of_everybody,
    of_principal,
)
from ionbus.broker.serving import Serving
from ionbus.broker.tokens import Authenticate, no_token
from ionbus.channels.base import Channel, Opened, Opener, PeerIdentity, Receiver
from ionbus.channels.memory import MemoryListener, MemoryWire
from ionbus.client.bus import Bus
from ionbus.client.client_session import ClientSession
from ionbus.contract.contract import Contract
from ionbus.errors import ConnectionLost
from ionbus.generated.protocol import Limits
from ionbus.generated.states import ConnectionState
from ionbus.testing.dice import Dice
from ionbus.testing.faults import Faults
from ionbus.testing.faulty import FaultyChannel, faulty
from ionbus.testing.waiting import Watched, within
from ionbus.version import AGENT

StateT = TypeVar("StateT", default=Any)

PATIENCE = 10.0
"""Seconds that a client of a pair has to connect."""
GRACE = 1.0
"""Seconds that cancelled handlers have to end."""
CLOSING = 30.0
"""Seconds that closing may take: more than anything in it waits for."""


class Client:
    """One client of a pair: its bus, and the wire that connects it."""

    def __init__(self, bus: Bus, listener: MemoryListener, session: ClientSession) -> None:
        self.bus = bus
        """What the application uses."""
        self.listener = listener
        """What it connects to: `is_refusing` makes attempts fail, `attempts` counts them."""
        self._session = session
        self._silent: MemoryWire | None = None
        self._changes = Watched()
        bus.on_state(lambda _: self._changes.changed())

    def __repr__(self) -> str:
        return f"<Client {self.bus.state}>"

    @property
    def wire(self) -> MemoryWire:
        """What connects it now, or did last: `wire.to_broker` and `wire.to_client` can be held, doubled, shortened and stopped."""
        assert self.listener.wire is not None, "it has connected"
        return self.listener.wire

    def cut(self) -> None:
        """Cut its wire: what is under way is lost, and both ends are told at once. The client comes back by itself."""
        self.wire.cut()

    def half_open(self) -> None:
        """Let nothing arrive any more on this wire, and tell neither end."""
        self._silent = self.wire
        self.wire.half_open()

    async def reconnected(self, timeout: float = PATIENCE) -> None:
        """Let it try now, where it waits to try again, and wait until it is open.

        Raises:
            TimeoutError: it is not, within `timeout` seconds.
            IonbusError: it is closed for good.
        """
        self.bus.reconnect()
        try:
            await within(timeout, self._changes.until(self._opened))
        except TimeoutError:
            raise TimeoutError(
                f"the client is not open within {timeout:g} s; it is {self.bus.state}"
            ) from None

    async def close(self) -> None:
        """End its session."""
        if self._silent is not None and self._silent is self.listener.wire:
            self._silent.cut()  # what still waits to leave never will
        await within(CLOSING, self._session.close())

    def _opened(self) -> bool | None:
        if self.bus.state == ConnectionState.CLOSED:
            raise ConnectionLost("the bus is closed")
        return self.bus.state == ConnectionState.OPEN or None


class Pair(Generic[StateT]):
    """A broker and a client in memory; `pair` makes one.

    Args:
        broker: what is served.
        authenticate: decides about tokens; None: everybody may do everything.
        faults: what goes wrong on the clients' channels.
        silence_is_fatal: whether a silent channel is given up, as a WebSocket is; else it is `unresponsive`, as a pipe is.
    """

    def __init__(
        self,
        broker: Broker[StateT],
        authenticate: Authenticate | None,
        faults: Faults | None,
        *,
        silence_is_fatal: bool = False,
    ) -> None:
        self.broker = broker
        self.faults = faults
        self.clients: list[Client] = []
        """Every client, the first one first."""
        self._authenticate = authenticate
        self._silence_is_fatal = silence_is_fatal
        self._channels: list[FaultyChannel] = []
        self._serving: Serving | None = None
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<Pair {self.clients!r}>"

    @property
    def state(self) -> StateT:
        """What the broker's `lifespan` yielded."""
        return self.broker.state

    @property
    def client(self) -> Client:
        """The first client."""
        return self.clients[0]

    @property
    def bus(self) -> Bus:
        """The first client's bus."""
        return self.client.bus

    @property
    def listener(self) -> MemoryListener:
        """What the first client connects to."""
        return self.client.listener

    @property
    def wire(self) -> MemoryWire:
        """What connects the first client."""
        return self.client.wire

    def cut(self) -> None:
        """Cut the first client's wire; see `Client.cut`."""
        self.client.cut()

    def half_open(self) -> None:
        """Let nothing arrive any more on the first client's wire; see `Client.half_open`."""
        self.client.half_open()

    async def reconnected(self, timeout: float = PATIENCE) -> None:
        """Let every client try now, where it waits to try again, and wait until all are open.

        Raises:
            TimeoutError: one is not, within `timeout` seconds.
        """
        for client in self.clients:
            await client.reconnected(timeout)

    async def connect(
        self,
        *,
        token: str | None = None,
        roles: AbstractSet[str] | None = None,
        contracts: Sequence[type[Contract]] = (),
        limits: Limits | None = None,
        identity: PeerIdentity | None = None,
    ) -> Client:
        """Connect another client; it closes with the pair.

        Args:
            token: who it is, for `authenticate`.
            roles: what it may use of what asks for a role. Left out: what `authenticate` gave it says so, and without
                that it may use everything.
            contracts: to compare with the broker's at once.
            limits: bounds and times of this client.
            identity: whom the broker sees at the other end.

        Raises:
            Unauthenticated, ContractMismatch: the broker refuses it.
        """
        rights_of = self._rights_of(roles)
        listener = MemoryListener(
            lambda channel, who: self._accept(channel, who, rights_of),
            token=token,
            identity=identity,
            silence_is_fatal=self._silence_is_fatal,
        )
        opener: Opener = listener.open
        spread = random.random
        if self.faults is not None:
            opener = self._noting(faulty(opener, self.faults))
            # So that the seed repeats when it tries again, and with that which frames there are.
            spread = Dice(f"{self.faults.seed} retries {len(self.clients)}").random
        session = ClientSession(
            opener,
            contracts=contracts,
            limits=limits or Limits(),
            agent=AGENT,
            may_renew_token=False,
            spread=spread,
        )
        client = Client(Bus(session), listener, session)
        try:
            await within(PATIENCE, self._start(client, session))
        except BaseException:
            await client.close()
            raise
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        """Let the broker die: it says nothing, its clients lose their channels, its handlers are cancelled, its sessions are forgotten.

        Raises:
            RuntimeError: somebody else serves it as well, so that it does not end.
        """
        if self._serving is None:
            return
        self._serving = None
        for client in self.clients:
            if client.listener.wire is not None:
                client.wire.cut()
        await within(CLOSING, self._stack.aclose())
        if self.broker.is_served:
            raise RuntimeError("this broker is served elsewhere too, so that a pair cannot stop it")

    async def start(self) -> None:
        """Serve the broker after `stop`: a new epoch. Clients come back by themselves, to a session that is new."""
        if self._serving is None:
            self._serving = await self._stack.enter_async_context(self.broker.opened(grace=GRACE))

    async def restart(self) -> None:
        """Let the broker die and start again, and wait until every client is back, in a new session.

        To look at what lies between, call `stop` and `start`.
        """
        await self.stop()
        await self.start()
        await self.reconnected()

    async def close(self) -> None:
        """Close every client, then the broker."""
        for client in reversed(self.clients):
            await client.close()
        self._serving = None
        await within(CLOSING, self._stack.aclose())
        for channel in self._channels:
            channel.abandon()  # what is half open is told to nobody else

    # Inside.

    def _noting(self, opener: Opener) -> Opener:
        async def open_and_note(receiver: Receiver) -> Opened:
            opened = await opener(receiver)
            assert isinstance(opened.channel, FaultyChannel)
            self._channels = [channel for channel in self._channels if not channel.is_over]
            self._channels.append(opened.channel)
            return opened

        return open_and_note

    async def _start(self, client: Client, session: ClientSession) -> None:
        # Where faults may take the first attempt, that it failed is no reason to give up.
        await session.start(wait=self.faults is None)
        await client.reconnected()

    def _accept(self, channel: Channel, identity: PeerIdentity, rights_of: RightsOf) -> Receiver:
        if self._serving is None:
            raise ConnectionLost("the broker does not run")
        return self._serving.accept(self._authenticate or no_token, rights_of)(channel, identity)

    def _rights_of(self, roles: AbstractSet[str] | None) -> RightsOf:
        if roles is not None:
            return of_everybody(Rights(checked_roles(roles, "roles=")))
        return of_everybody(EVERYTHING) if self._authenticate is None else of_principal


@asynccontextmanager
async def pair(
    broker: Broker[StateT],
    *,
    token: str | None = None,
    roles: AbstractSet[str] | None = None,
    authenticate: Authenticate | None = None,
    contracts: Sequence[type[Contract]] = (),
    limits: Limits | None = None,
    identity: PeerIdentity | None = None,
    faults: Faults | None = None,
    silence_is_fatal: bool = False,
) -> AsyncIterator[Pair[StateT]]:
    """A broker and a client in memory, while the block runs.

        async with pair(broker) as at:
            await at.bus.call(Conductor.ping)
            at.cut()

    What lies between is the real thing: codec, session, reconnection. It works with a `FakeClock`, which has to be there first.

    Args:
        broker: what to serve. Calls without a handler are answered with `NotFound`.
        token: of the first client.
        roles: of the first client; see `Pair.connect`.
        authenticate: gives the principal for a token; everybody is "local", and may use everything, where it is left out.
        contracts: that the first client compares with the broker's at once.
        limits: bounds and times of the first client; the broker has its own.
        identity: whom the broker sees as the first client.
        faults: what goes wrong on every channel.
        silence_is_fatal: whether a silent channel is given up, as a WebSocket is; else it is `unresponsive`, as a pipe is.

    Raises:
        Unauthenticated, ContractMismatch: the broker refuses the client.
    """
    made = Pair(broker, authenticate, faults, silence_is_fatal=silence_is_fatal)
    try:
        await made.start()
        await made.connect(token=token, roles=roles, contracts=contracts, limits=limits, identity=identity)
        yield made
    finally:
        await made.close()
