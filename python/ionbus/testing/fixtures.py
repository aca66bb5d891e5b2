"""What the fixtures of the pytest plugin give, and how all of it begins and ends with one test."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set as AbstractSet
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypedDict

from typing_extensions import TypeVar, Unpack

from ionbus.broker.broker import Broker
from ionbus.broker.tokens import Authenticate
from ionbus.channels.base import PeerIdentity
from ionbus.contract.contract import Contract
from ionbus.generated.protocol import Limits
from ionbus.testing.clock import FakeClock
from ionbus.testing.faults import Faults
from ionbus.testing.pair import Pair, pair
from ionbus.testing.proxy import FaultProxy, ProxyConnection
from ionbus.testing.recorded import instead
from ionbus.testing.recorder import Recorder

T = TypeVar("T")
StateT = TypeVar("StateT", default=Any)


class PairOptions(TypedDict, total=False):
    """What `pair` takes besides the broker."""

    token: str | None
    roles: AbstractSet[str] | None
    authenticate: Authenticate | None
    contracts: Sequence[type[Contract]]
    limits: Limits | None
    identity: PeerIdentity | None
    faults: Faults | None
    silence_is_fatal: bool


class PairFactory:
    """Makes pairs that close with the test: `pair = await ionbus_pair(broker)`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def __call__(self, broker: Broker[StateT], **options: Unpack[PairOptions]) -> Pair[StateT]:
        """Make one; the options are those of `pair`."""
        return await self._kit.enter(pair(broker, **options))


class ProxyFactory:
    """Makes proxies that close with the test: `proxy = await ionbus_proxy(endpoint.url)`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def __call__(
        self,
        target: str,
        faults: Faults | None = None,
        *,
        on_connection: Callable[[ProxyConnection], object] | None = None,
    ) -> FaultProxy:
        """Make one; the arguments are those of `FaultProxy`. Without `faults` its seed is that of `--ionbus-seed`."""
        proxy = FaultProxy(target, faults, seed=self._kit.seed, on_connection=on_connection)
        self._kit.watch(proxy.faults)
        return await self._kit.enter(proxy)


class Kit:
    """What one test has asked for. It is entered where the test's coroutine begins, and left where that ends."""

    def __init__(self, seed: int | None) -> None:
        self.seed = seed
        """What `--ionbus-seed` says."""
        self.pair = PairFactory(self)
        self.proxy = ProxyFactory(self)
        self._closing = AsyncExitStack()
        self._is_closed = True
        self._clock: FakeClock | None = None
        self._recorder: Recorder | None = None
        self._faults: Faults | None = None
        self._watched: list[Faults] = []

    async def __aenter__(self) -> Self:
        if self._clock is not None:
            self._clock.install()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._closing.aclose()
            for faults in self._watched:
                faults.close()
        finally:
            self._is_closed = True
            if self._clock is not None:
                self._clock.uninstall()

    async def enter(self, made: AbstractAsyncContextManager[T]) -> T:
        """Enter something that is left where the test's coroutine ends."""
        self._is_closed = False
        return await self._closing.enter_async_context(made)

    def take_clock(self) -> FakeClock:
        """The test's clock."""
        self._clock = self._clock or FakeClock()
        return self._clock

    def take_recorder(self) -> Recorder:
        """The test's recorder."""
        self._recorder = self._recorder or Recorder()
        return self._recorder

    def take_faults(self) -> Faults:
        """The test's faults."""
        if self._faults is None:
            self._faults = Faults(seed=self.seed)
            self.watch(self._faults)
        return self._faults

    def watch(self, faults: Faults) -> None:
        """Close these where the test's coroutine ends, and let a failure tell of them."""
        if faults not in self._watched:
            self._watched.append(faults)

    def check_closed(self) -> None:
        """Complain of what was made where nothing closes it.

        Raises:
            RuntimeError: something was.
        """
        if not self._is_closed:
            raise RuntimeError(
                "ionbus_pair and its like close what they make where the test's coroutine ends, and this test is none: "
                "make it `async def`, or use `async with pair(broker)`"
            )

    def told(self, test: str) -> list[tuple[str, str]]:
        """What a failure should show, each with its title."""
        told: list[tuple[str, str]] = []
        if self._recorder is not None and self._recorder.recorded:
            told.append(("recorder", instead((), self._recorder.recorded)))
        for faults in self._watched:
            again = f"repeat it: pytest '{test}' --ionbus-seed {faults.seed}"
            told.append(("faults", f"{faults.report()}\n{again}"))
        return told
