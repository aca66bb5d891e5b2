"""A channel that was opened to the broker: its greeting, then the session that it carries (docs/protocol.md, section 8.3)."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from ionbus.broker.principals import Rights, RightsOf, with_roles
from ionbus.broker.tokens import Authenticate
from ionbus.channels.base import Channel, PeerIdentity
from ionbus.session.acceptor import Hello, Refusal, Welcomed, refusal

if TYPE_CHECKING:
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving


class Carrier:
    """Listens to one channel.

    Args:
        serving: the broker at work.
        channel: what was opened.
        identity: who opened it, as far as the channel knows.
        authenticate: decides by HELLO's token.
        rights_of: what its client may do.
    """

    def __init__(
        self,
        serving: Serving,
        channel: Channel,
        identity: PeerIdentity,
        authenticate: Authenticate,
        rights_of: RightsOf,
    ) -> None:
        self._serving = serving
        self._channel = channel
        self._identity = identity
        self._authenticate = authenticate
        self._rights_of = rights_of
        self._hello: Hello | None = None
        self._task: asyncio.Future[Any] | None = None
        self._session: Session | None = None
        self._one_use: str | None = None
        self._is_over = False
        handshake = serving.limits.handshake_ms / 1000
        self._timer = serving.loop.call_later(handshake, self._timed_out)

    @property
    def channel(self) -> Channel:
        """What it listens to."""
        return self._channel

    @property
    def identity(self) -> PeerIdentity:
        """Who opened it."""
        return self._identity

    # What the channel says.

    def frame_received(self, frame: bytes) -> None:
        """Greet first, then pass everything on to the session."""
        if self._is_over:
            return
        session = self._session
        if session is None:
            self._greet(frame)
            return
        if self._one_use is not None:  # WELCOME has arrived: the token has done its work
            self._serving.tokens.spend(self._one_use)
            self._one_use = None
        session.frame_received(frame)

    def writable(self) -> None:
        """The channel has caught up."""
        if self._session is not None:
            self._session.writable()

    def closed(self, over: bool, code: str, message: str) -> None:
        """The channel is gone."""
        session = self._session
        is_mine = session is not None and not self._is_over
        self.forget()
        if session is not None and is_mine:
            self._serving.channel_closed(session, over, code, message)

    # What the broker says.

    def forget(self) -> None:
        """Nothing that comes from the channel counts any more."""
        self._is_over = True
        self._session = None
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._serving.carriers.discard(self)

    def refuse(self, refused: Refusal) -> None:
        """Send CLOSE and close the channel."""
        self._channel.send(refused.frame)
        self._channel.close(False, refused.code, refused.message)
        self.forget()

    async def finish(self) -> None:
        """After `forget`: wait for the authentication that is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    # Inside.

    def _greet(self, frame: bytes) -> None:
        if self._hello is not None:
            self.refuse(refusal("protocol_error", "a frame after HELLO and before WELCOME"))
            return
        hello = self._serving.acceptor.read_hello(frame)
        if isinstance(hello, Refusal):
            self.refuse(hello)
            return
        self._hello = hello
        session_id = self._serving.acceptor.session_of(hello)
        redeemed = self._serving.tokens.redeem(hello.token, session_id, self._serving.loop.time())
        if redeemed is not None:
            self._one_use = hello.token
            self._admit(hello, *redeemed)
            return
        try:
            principal = self._authenticate(hello.token)
        except Exception:
            self._serving.log.exception("authenticate failed")
            principal = None
        if inspect.isawaitable(principal):
            self._task = asyncio.ensure_future(principal, loop=self._serving.loop)
            self._task.add_done_callback(partial(self._admit_later, hello))
        else:
            self._authenticated(hello, principal)

    def _admit_later(self, hello: Hello, answer: asyncio.Future[Any]) -> None:
        if self._is_over:
            return
        if answer.cancelled():
            self._authenticated(hello, None)
            return
        error = answer.exception()
        if error is not None:
            self._serving.log.error("authenticate failed", exc_info=error)
        self._authenticated(hello, None if error is not None else answer.result())

    def _authenticated(self, hello: Hello, principal: Any) -> None:
        rights: Rights | None = None
        if principal is not None and principal is not False:  # who compares tokens gives True or False
            try:
                rights = self._rights_of(self._identity, principal)
            except Exception:  # of an application's own principal, whose roles are a property or no roles
                self._serving.log.exception("authenticate gave a principal whose roles cannot be read")
        if rights is None:
            self.refuse(refusal("unauthenticated", "the token is missing or wrong"))
        else:
            self._admit(hello, with_roles(principal, rights), rights)

    def _admit(self, hello: Hello, principal: Any, rights: Rights) -> None:
        serving = self._serving
        for contract in hello.contracts:
            problem = serving.agreements.problem(contract)
            if problem is not None:
                self.refuse(refusal("contract_mismatch", problem, over=True))
                return
        if serving.is_draining and serving.acceptor.session_of(hello) not in serving.acceptor.sessions:
            self.refuse(serving.going())
            return
        told = rights.told(serving.told_members)
        welcomed = serving.acceptor.welcome(hello, principal, self, serving.now(), told)
        if isinstance(welcomed, Refusal):
            self.refuse(welcomed)
            return
        self._welcome(hello, welcomed, rights)

    def _welcome(self, hello: Hello, welcomed: Welcomed, rights: Rights) -> None:
        self._timer.cancel()
        if isinstance(welcomed.evicted, Carrier):
            welcomed.evicted.refuse(refusal("evicted", "a newer channel carries this session", final=True))
        self._channel.send(welcomed.frame)
        self._channel.max_frame_bytes = self._serving.limits.max_frame_bytes
        self._session = self._serving.session_of(welcomed.attended, self._identity, rights)
        self._session.attach(self._channel, hello.contracts)

    def _timed_out(self) -> None:
        limit = self._serving.limits.handshake_ms
        self.refuse(refusal("handshake_timeout", f"no HELLO that was accepted within {limit} ms"))
