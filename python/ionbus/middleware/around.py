"""What a broker at work, or a bus, asks where middleware is in use: its chains, and what passes through them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ionbus.contract.members import Call, Event, Stream
from ionbus.dispatch.handlers import Handler
from ionbus.dispatch.reader import StreamReader
from ionbus.dispatch.threads import Threads
from ionbus.middleware.chains import Chains
from ionbus.middleware.inbound import pass_event, surround
from ionbus.middleware.message import Message, MessageContext
from ionbus.middleware.outbound import (
    Chain,
    OpenStream,
    Options,
    SendCall,
    SurroundedReader,
    call_through,
    emit_through,
)

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session


class Around:
    """See the module. There is none where no middleware is in use.

    Args:
        chains: what is in use.
        threads: where `def` handlers run.
    """

    def __init__(self, chains: Chains, threads: Threads) -> None:
        self._chains = chains
        self._threads = threads
        self._surrounded: dict[str, tuple[Handler, Chain, Handler]] = {}

    def handler(self, handler: Handler) -> Handler:
        """A handler with what is around it, made when it is first asked for; itself where nothing is."""
        member = handler.member
        chain = self._chains.find("inbound", member.kind, member.name)
        if not chain:
            return handler
        made = self._surrounded.get(member.name)
        if made is None or made[0] is not handler or made[1] is not chain:  # overridden, or more is in use
            made = (handler, chain, surround(handler, chain, self._threads))
            self._surrounded[member.name] = made
        return made[2]

    def call(
        self,
        call: Call[Any, Any, Any],
        request: Any,
        timeout: float | None,
        session: Session | None,
        send: SendCall,
    ) -> Awaitable[Any]:
        """Send a call through what is around it. `session`: whose client is to answer it."""
        chain = self._chains.find("outbound", "call", call.name)
        if not chain:
            return send(call, request, timeout=timeout, options={})
        return call_through(chain, call, request, timeout, _about(session), send)

    def stream(
        self,
        stream: Stream[Any, Any, Any],
        request: Any,
        timeout: float | None,
        session: Session | None,
        open_stream: OpenStream,
    ) -> StreamReader[Any]:
        """Read a stream through what is around it."""
        chain = self._chains.find("outbound", "stream", stream.name)
        if not chain:
            return open_stream(stream, request, timeout=timeout, options={})
        return SurroundedReader(chain, stream, request, timeout, _about(session), open_stream)

    async def emit(
        self,
        event: Event[Any, Any],
        payload: Any,
        session: Session | None,
        send: Callable[[Any, Any, Options], Awaitable[None]],
    ) -> str | None:
        """Emit an event through what is around it; gives the reason where it was dropped."""
        chain = self._chains.find("outbound", "event", event.name)
        if chain:
            return await emit_through(chain, event, payload, _about(session), send)
        await send(event, payload, {})
        return None

    def is_around(self, name: str) -> bool:
        """Whether something is around the event of this name when it arrives."""
        return bool(self._chains.find("inbound", "event", name))

    async def event(
        self,
        name: str,
        member: Event[Any, Any] | None,
        value: Any,
        session: Session | None,
        trace: str | None,
        hand_on: Callable[[Any, Message[Any]], None],
    ) -> str | None:
        """Let an event that has arrived pass; gives the reason where it was dropped.

        Args:
            name: the event's.
            member: which it is, where that is known.
            value: as it arrived.
            session: whose client has published it.
            trace: that it came with.
            hand_on: given the value, `value` itself where nothing has replaced it, and the message.
        """
        chain = self._chains.find("inbound", "event", name)
        return await pass_event(chain, name, member, value, _about(session, trace), hand_on)


def _about(session: Session | None, trace: str | None = None) -> MessageContext:
    principal = None if session is None else session.principal
    return MessageContext(session=session, principal=principal, trace=trace)
