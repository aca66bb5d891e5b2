"""A client's connection at work: the engine, the channel of each attempt, and the loop's timers (docs/protocol.md, section 8)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from ionbus.channels.base import Channel, Opener
from ionbus.channels.pump import Pump
from ionbus.errors import IonbusError, Unauthenticated
from ionbus.generated.protocol import Limits
from ionbus.generated.states import ConnectionState
from ionbus.session.connection import (
    CloseChannel,
    Connection,
    OpenChannel,
    SessionEnded,
    SessionReplaced,
    StateChange,
)
from ionbus.session.session import Delivered, Rejected
from ionbus.wire.frames import MalformedFrame

log = logging.getLogger("ionbus")


class Application(Protocol):
    """Who is told what the connection brings."""

    def arrived(self, arrival: Delivered | Rejected) -> None:
        """A message has arrived; raises MalformedFrame where it breaks the protocol."""

    def changed(self, change: StateChange) -> None:
        """The state is another."""

    def replaced(self, replaced: SessionReplaced) -> None:
        """The session is a new one."""

    def credit_changed(self) -> None:
        """A frame has been taken."""

    def attempt_failed(self, code: str, message: str) -> None:
        """A channel could not be opened, or was not greeted."""

    def ended(self, code: str, message: str) -> None:
        """It is over for good."""


class _Listening:
    """The receiver of one attempt's channel: what comes after the link has dropped it does not count."""

    def __init__(self, link: Link) -> None:
        self._link: Link | None = link
        self._early: list[bytes] | None = []
        self._end: tuple[str, str] | None = None

    def frame_received(self, frame: bytes) -> None:
        if self._early is not None:
            self._early.append(frame)
        elif self._link is not None:
            self._link.frame_received(frame)

    def writable(self) -> None:
        if self._link is not None:
            self._link.writable()

    def closed(self, over: bool, code: str, message: str) -> None:
        if self._early is not None:
            self._end = (code, message)
        elif self._link is not None:
            self._link.lost(code, message)

    def begin(self) -> None:
        """The link knows the channel: give it what came before that."""
        early, self._early = self._early or [], None
        for frame in early:
            self.frame_received(frame)
        if self._end is not None and self._link is not None:
            self._link.lost(*self._end)

    def drop(self) -> None:
        """Nothing that comes from the channel counts any more."""
        self._link = None


class Link:
    """See the module.

    Args:
        application: told what arrives.
        opener: opens a channel, once an attempt.
        contracts: `(name, version, fingerprint)` of each contract to tell in HELLO.
        limits: of this side.
        agent: program and version, told in HELLO.
        may_renew_token: the opener asks a function for the token, so that a refused one is no reason to give up.
        spread: a number in [0, 1) each time, for the spread of retries.
    """

    def __init__(
        self,
        application: Application,
        opener: Opener,
        contracts: Sequence[tuple[str, str, str]],
        limits: Limits,
        agent: str,
        *,
        may_renew_token: bool,
        spread: Callable[[], float],
    ) -> None:
        self._application = application
        self._opener = opener
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self.connection = Connection(
            limits,
            secrets.token_bytes,
            spread,
            agent,
            contracts,
            may_renew_token=may_renew_token,
        )
        self.pump = Pump(self.connection, self._deadline)
        self._receiver: _Listening | None = None
        self._attempt_due = asyncio.Event()
        self.is_over = False

    @property
    def state(self) -> ConnectionState:
        """What `bus.state` shows."""
        return self.connection.state

    async def run(self) -> None:
        """Open a channel whenever one is due, until it is all over."""
        self._act()
        while await self._attempt():
            receiver = _Listening(self)
            redirect = getattr(self._opener, "redirect", None)  # only WebSocket's can be sent elsewhere
            if redirect is not None and self.connection.elsewhere is not None:
                redirect(self.connection.elsewhere)
                self.connection.elsewhere = None
            try:
                opened = await self._opener(receiver)
            except Unauthenticated as error:
                receiver.drop()
                self.connection.refused(error.code, str(error), self.pump.now())
            except Exception as error:
                receiver.drop()
                text = str(error) or type(error).__name__
                if not isinstance(error, (IonbusError, OSError)):
                    log.exception("the opener failed")
                code = getattr(error, "code", "connection_lost")
                if getattr(error, "is_final", False):  # the broker's process is not started again
                    self.connection.refused(code, text, self.pump.now())
                else:
                    self.connection.failed(text, self.pump.now())
                self._application.attempt_failed(code, text)
            else:
                self._use(opened.channel, receiver, opened.token)
            self._act()

    def close(self) -> None:
        """End the session and the connection, after what is queued has left."""
        self.pump.flush()
        self.connection.close(self.pump.now())
        self._act()

    def retry(self) -> None:
        """Try now."""
        self.connection.retry(self.pump.now())
        self._act()

    # What the channel says.

    def frame_received(self, frame: bytes) -> None:
        """A frame has arrived."""
        self.connection.receive(frame, self.pump.now())
        self._act()
        self._application.credit_changed()
        self.pump.flush()

    def writable(self) -> None:
        """The channel has caught up."""
        self.pump.flush()

    def lost(self, code: str, message: str) -> None:
        """The channel is gone."""
        self._drop()
        self.connection.lost(code, message, self.pump.now())
        self._act()
        self._application.attempt_failed(code, message)

    # Inside.

    async def _attempt(self) -> bool:
        """Wait until a channel is to be opened; False when it is all over."""
        await self._attempt_due.wait()
        self._attempt_due.clear()
        return not self.is_over

    def _use(self, channel: Channel, receiver: _Listening, token: str | None) -> None:
        if self.is_over:
            receiver.drop()
            channel.close()
            return
        self._receiver = receiver
        self.pump.channel = channel
        self.connection.opened(token, channel.silence_is_fatal, self.pump.now())
        self._act()
        self.pump.flush()
        receiver.begin()

    def _act(self) -> None:
        """Do what the engine wants, in its order."""
        problem: str | None = None
        for effect in self.connection.effects():
            match effect:
                case Delivered() | Rejected():
                    try:
                        self._application.arrived(effect)
                    except MalformedFrame as error:
                        problem = problem or str(error)
                case OpenChannel():
                    self._attempt_due.set()
                case CloseChannel():
                    self._close_channel(effect)
                case StateChange():
                    if effect.after == ConnectionState.OPEN and self.pump.channel is not None:
                        self.pump.channel.max_frame_bytes = self._limits.max_frame_bytes
                    self._application.changed(effect)
                case SessionReplaced():
                    self._application.replaced(effect)
                case SessionEnded():
                    self.is_over = True
                    self._attempt_due.set()
                    self.pump.stop()
                    self._application.ended(effect.code, effect.message)
        if problem is not None:
            self.connection.violated(problem, self.pump.now())
            self._act()
        elif not self.is_over:
            self.pump.flush_soon()

    def _close_channel(self, effect: CloseChannel) -> None:
        channel = self.pump.channel
        if channel is not None:
            now = self.pump.now()  # CLOSE leaves also where the channel is behind
            while (last := self.connection.next_frame(now)) is not None:
                channel.send(last)
            self._drop()
            channel.close(effect.over, effect.code, effect.message)
            self._application.attempt_failed(effect.code, effect.message)

    def _drop(self) -> None:
        self.pump.channel = None
        if self._receiver is not None:
            self._receiver.drop()
            self._receiver = None

    def _deadline(self, now: float) -> None:
        self.connection.tick(now)
        self._act()
