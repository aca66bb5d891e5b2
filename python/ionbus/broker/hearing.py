"""What clients publish, inside the broker's process, for what is no listener of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import TypeVar

from ionbus.contract.contract import Contract
from ionbus.contract.members import Event
from ionbus.contract.received import Received
from ionbus.dispatch.handlers import EventListener, FromClients, Handlers
from ionbus.dispatch.signatures import Signature
from ionbus.events.names import wanted

if TYPE_CHECKING:  # most brokers need none, and it takes milliseconds to import
    from ionbus.events.emitter import Emitter
    from ionbus.events.reader import Overflow, Reader

P = TypeVar("P")


class Hearing(Handlers):
    """Handlers, and an emitter that hears what their listeners would.

    Args:
        contracts: the contracts whose members are handled here.
    """

    def __init__(self, *contracts: type[Contract]) -> None:
        super().__init__(*contracts)
        self._emitter: Emitter | None = None

    @property
    def emitter(self) -> Emitter:
        """What clients publish, inside this process: an emitter for all that listeners do not need a context for.

        Each event of a client that fits is emitted there; `Broker.events` and `wait_for` listen to it. What the application emits on it itself
        goes to no client.
        """
        if self._emitter is None:
            from ionbus.events.emitter import Emitter  # noqa: PLC0415 - see above

            self._emitter = emitter = Emitter(*self.contracts)
            for event in self.published:
                self.add_listener(_forwarding(event, emitter))
        return self._emitter

    @overload
    def events(
        self, what: Event[P, FromClients], *, limit: int = ..., overflow: Overflow = ...
    ) -> Reader[P]: ...
    @overload
    def events(
        self, what: str | type[Contract], *, limit: int = ..., overflow: Overflow = ...
    ) -> Reader[Received[object]]: ...
    def events(self, what: Any, *, limit: int = 1_000, overflow: Overflow = "wait") -> Reader[Any]:
        """Take the events of clients one at a time: `async with broker.events(...) as events: async for event in events`.

        Args:
            what: as for `on`.
            limit: how many are kept that were not taken.
            overflow: what becomes of those beyond it (`Emitter.events`); with `"wait"` their senders wait, once so many are under way.

        Raises:
            TypeError, ValueError, NotFound: as for `on`.
        """
        self._events_for(what)
        return self.emitter.events(what, limit=limit, overflow=overflow)

    @overload
    async def wait_for(
        self,
        event: Event[P, FromClients],
        where: Callable[[P], object] | None = ...,
        timeout: float | None = ...,
    ) -> P: ...
    @overload
    async def wait_for(
        self,
        event: str | type[Contract],
        where: Callable[[Received[object]], object] | None = ...,
        timeout: float | None = ...,
    ) -> Received[object]: ...
    async def wait_for(
        self,
        event: Any,
        where: Callable[[Any], object] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait for the next event of a client, or for the next for which `where` is true.

        Args:
            event: as for `on`.
            where: given the payload; what it raises is raised here.
            timeout: seconds; None: for ever.

        Raises:
            TimeoutError: none came in time.
            TypeError, ValueError, NotFound: as for `on`.
        """
        self._events_for(event)
        return await self.emitter.wait_for(event, where, timeout)


def _forwarding(event: Event[Any, Any], emitter: Emitter) -> EventListener:
    """What emits an event of clients inside this process."""

    async def forward(payload: Any) -> None:
        await emitter.emit(event, payload)

    signature = Signature("async", takes_payload=True, takes_context=False)
    return EventListener(event, forward, signature, wanted(event), forward)
