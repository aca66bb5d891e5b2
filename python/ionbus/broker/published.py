"""An event that a client has published, on its way to the broker's listeners and to the other clients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ionbus.contract.members import Event
from ionbus.dispatch.context import Request
from ionbus.dispatch.handlers import EventListener
from ionbus.dispatch.listeners import Handout, start
from ionbus.dispatch.peer import Peer

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving


class Published:
    """What is handed out for it, as the one target that it has.

    Args:
        serving: the broker at work.
        session: whose client has published it.
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

    def hand(self, name: str, value: tuple[Any, bytes], handout: Handout) -> list[asyncio.Future[Any]]:
        """Give it to other clients and start the listeners."""
        running: list[asyncio.Future[Any]] = []
        behind = self._serving.relay(self._session, self._member, *value)
        if behind:  # its sender gets the credit back once they have caught up: no client may flood another
            listeners = self._peer.listeners
            caught_up = self._peer.loop.create_task(_all_caught_up(behind))
            handout.takers += 1
            caught_up.add_done_callback(lambda _: listeners.taken(handout))
            running.append(caught_up)
        for listener in self._serving.listeners.get(name, ()):
            future = self._start(listener, value[0])
            if future is not None:
                running.append(future)
        return running

    def _start(self, listener: EventListener, value: Any) -> asyncio.Future[Any] | None:
        signature = listener.signature
        arguments = [value] if signature.takes_payload else []
        if signature.takes_context:
            arguments.append(self._session.context_for(Request(), is_async=signature.is_async))
        if signature.is_async:
            return start(listener.function, self._peer.loop, *arguments)
        return self._peer.threads.run(partial(listener.function, *arguments))


async def _all_caught_up(sessions: Sequence[Session]) -> None:
    for session in sessions:
        await session.wait_while_reading()
