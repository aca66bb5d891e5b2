"""An event that a client has published, on its way to the broker's listeners and to the other clients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ionbus.contract.members import Event
from ionbus.dispatch.context import Request
from ionbus.dispatch.handlers import EventListener
from ionbus.dispatch.listeners import Kept, listen
from ionbus.dispatch.peer import Peer

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving


class Published:
    """The one target of all that one client publishes of one event.

    Args:
        serving: the broker at work.
        session: whose client publishes it.
        peer: of that session.
        member: the event.
    """

    __slots__ = ("_member", "_peer", "_serving", "_session")

    is_open = True

    def __init__(self, serving: Serving, session: Session, peer: Peer, member: Event[Any, Any]) -> None:
        self._serving = serving
        self._session = session
        self._peer = peer
        self._member = member

    def decode(self, name: str, payload: bytes) -> tuple[Any, bytes]:
        """The validated value and its bytes."""
        return self._member.payload.decode(payload), payload

    def hand(self, name: str, value: tuple[Any, bytes]) -> Kept | None:
        """Give it to other clients and start the listeners."""
        kept = None
        behind = self._serving.events.publish(self._member, *value, self._session)
        if behind:  # its sender gets the credit back once they have caught up: no client may flood another
            kept = Kept()
            caught_up = self._peer.loop.create_task(_all_caught_up(behind))
            caught_up.add_done_callback(partial(self._caught_up, kept))
            self._peer.listeners.watch(caught_up)
        for listener in self._serving.listeners.get(name, ()):
            self._start(listener, value[0])
        return kept

    def _caught_up(self, kept: Kept, _: asyncio.Future[None]) -> None:
        self._peer.listeners.taken(kept)

    def _start(self, listener: EventListener, value: Any) -> None:
        signature, listeners = listener.signature, self._peer.listeners
        arguments = [value] if signature.takes_payload else []
        if signature.takes_context:
            arguments.append(self._session.context_for(Request(), is_async=signature.is_async))
        if signature.is_async:
            listen(listener.function, listeners, listener.habit, *arguments)
        else:
            listeners.watch(self._peer.threads.run(partial(listener.function, *arguments)))


async def _all_caught_up(sessions: Sequence[Session]) -> None:
    for session in sessions:
        await session.wait_while_reading()
