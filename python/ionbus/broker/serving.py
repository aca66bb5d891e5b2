"""A broker at work on one event loop: its sessions, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ionbus.broker.agreement import Agreements
from ionbus.broker.carrier import Carrier
from ionbus.broker.dead_letters import DeadLetters
from ionbus.broker.fan_out import FanOut
from ionbus.broker.principals import Rights, RightsOf, of_principal
from ionbus.broker.served_session import Session
from ionbus.broker.tokens import Authenticate, OneUseTokens
from ionbus.channels.base import Accept, Channel, PeerIdentity
from ionbus.contract.builtin import Ionbus
from ionbus.contract.contract import Contract, ContractInfo
from ionbus.contract.members import Event, Member
from ionbus.dispatch.answers import Answer
from ionbus.dispatch.drops import by_name
from ionbus.dispatch.handlers import EventListener, Handler
from ionbus.dispatch.remembered import Remembered
from ionbus.dispatch.runner import Runner
from ionbus.dispatch.threads import Threads
from ionbus.dispatch.turn import Turn
from ionbus.errors import IonbusError, SessionLost, SlowConsumer
from ionbus.generated.protocol import Limits
from ionbus.observe.session_counts import EndedSlow, SessionCounts
from ionbus.session.acceptor import Acceptor, Refusal, refusal
from ionbus.session.attended import Attended, Ended
from ionbus.version import AGENT
from ionbus.wire.messages import events_in
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.middleware.around import Around
    from ionbus.observe.meter import Meter

TICK = 1.0
"""Seconds between two looks at the sessions that are absent, or do not read."""

FAREWELL = 1.0
"""Seconds that a broker that stops waits for its last answers to be taken, and for listeners to end by themselves."""

LEAVING = frozenset({"closed", "stopping"})
"""Codes of a session's end that its client, or the whole broker, has asked for: what then was under way is no dead letter."""


class Serving:
    """See the module. Broker makes one when it is served and drops it afterwards.

    Args:
        contracts: what is served.
        handlers: by the full name of their member; looked at for each request, so that an override counts at once.
        listeners: of the clients' events, by name.
        limits: of this side.
        dead_letters: what comes to nothing.
        has_meter: whether to count, and time, what happens.

    Attributes:
        state: what `lifespan` yielded.
        meter: counts, where it was asked for.
        counts: of sessions that came and went.
    """

    def __init__(
        self,
        contracts: tuple[type[Contract], ...],
        handlers: Mapping[str, Handler],
        listeners: dict[str, list[EventListener]],
        limits: Limits,
        dead_letters: DeadLetters,
        *,
        has_meter: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.log = logging.getLogger("ionbus")
        self.limits = limits
        self.handlers = handlers
        self.listeners = listeners
        self.dead_letters = dead_letters
        self.around: Around | None = None
        """The middleware in use, if there is any."""
        self.state: Any = None
        self.contracts: dict[str, ContractInfo] = {}
        self.members: dict[str, Member] = {}
        self.told_members: list[Member] = []
        """Of which WELCOME says who may not use them; what only operators use is not told to all others."""
        for contract in (*contracts, Ionbus):
            self._serve(contract)
        self.told_members += self.members.values()
        told = [(info.name, info.version, info.fingerprint) for info in self.contracts.values()]
        from ionbus.broker.administration import administration  # noqa: PLC0415 - its models are not wanted before

        operators = administration(self)
        for contract in operators.contracts:
            self._serve(contract)
        self.operators: Mapping[str, Handler] = operators.handled
        """What answers them."""
        self.agreements = Agreements(self.contracts)
        self.latest_names = [
            member.name
            for member in self.members.values()
            if isinstance(member, Event) and member.delivery == "latest"
        ]
        self.remembered = Remembered(limits.remember_answers_ms / 1000, limits.remember_answers_bytes)
        self.threads = Threads(limits.max_threads)
        self.turn = Turn(self.loop)
        self.runner = Runner(self.loop, parks=True)
        self.tokens = OneUseTokens()
        self.builtin: dict[str, Handler] = {}
        self.carriers: set[Carrier] = set()
        self.acceptor = Acceptor(limits, secrets.token_bytes, AGENT, told)
        self._sessions: dict[bytes, Session] = {}
        self.meter = _make_meter(self.loop) if has_meter else None
        self.counts = SessionCounts()
        self.events = FanOut(self.members, self._sessions, limits, self.meter)
        self._finishing: set[Answer] = set()
        self._listening: set[asyncio.Task[None]] = set()
        self._dropped: Counter[tuple[str, str]] = Counter()  # of the sessions that have ended
        self.held_bytes = 0
        """What is kept for all sessions."""
        self.stopping: asyncio.Task[None] | None = None
        """What `Broker.stop` has begun."""
        self.stopped = asyncio.Event()
        """Set when that is over."""
        self.farewell: dict[str, object] = {}
        """Options of the CLOSE that a stopping broker sends."""
        self.is_draining = False
        self._is_stopping = False
        self._ticker = self.loop.create_task(self._tick())

    def now(self) -> float:
        """The loop's clock, in milliseconds."""
        return self.loop.time() * 1000

    def forget_closed(self) -> None:
        """Keep no listener that was closed."""
        for name, listeners in tuple(self.listeners.items()):
            self.listeners[name] = [each for each in listeners if each.is_open]

    @property
    def sessions(self) -> list[Session]:
        """All live sessions, absent ones included."""
        return list(self._sessions.values())

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """How many events will never arrive, by name and reason, over all sessions since the broker was started."""
        total = self._dropped.copy()
        for session in self._sessions.values():
            total.update(session.attended.session.dropped)
        return by_name(total)

    def accept(self, authenticate: Authenticate, rights_of: RightsOf = of_principal) -> Accept:
        """The function that a channel's server calls with each new channel."""

        def accept_channel(channel: Channel, identity: PeerIdentity) -> Carrier:
            carrier = Carrier(self, channel, identity, authenticate, rights_of)
            self.carriers.add(carrier)
            if self._is_stopping:
                carrier.refuse(self.going())
            return carrier

        return accept_channel

    def _serve(self, contract: type[Contract]) -> None:
        info = contract.__contract__
        self.contracts[info.name] = info
        self.members.update({member.name: member for member in info.members.values()})

    # Events.

    async def emit_through(self, around: Around, event: Any, payload: Any) -> None:
        """`publish` what the broker emits, through middleware, and wait for those who are behind."""
        self.events.check(event)
        dropped = await around.emit(event, payload, None, self._send)
        if dropped is not None:
            self.count_drop(event.name, dropped)

    async def _send(self, event: Any, payload: Any, options: Mapping[str, Any]) -> None:
        behind = self.events.publish(event, payload, trace=options.get("trace"))
        if behind:
            await self.caught_up(behind)
        elif self.turn.is_long:
            await asyncio.sleep(0)

    def count_drop(self, name: str, reason: str) -> None:
        """Middleware has dropped an event."""
        self._dropped[name, reason] += 1
        if self.meter is not None:
            self.meter.event(name).unqueued += 1

    async def caught_up(self, behind: Sequence[Session]) -> None:
        """Wait for these, as long as they go on reading."""
        await asyncio.gather(*(session.wait_while_reading() for session in behind))

    # Sessions.

    def session_of(self, attended: Attended, identity: PeerIdentity, rights: Rights) -> Session:
        """The session that the acceptor has opened or resumed."""
        session = self._sessions.get(attended.id)
        if session is None:
            session = self._sessions[attended.id] = Session(self, attended, identity, rights)
            self.counts.opened += 1
        else:
            self.counts.resumed += 1
        session.identity = identity
        if session.rights != rights:
            session.rights = rights
            self.events.subscriptions_changed()
        return session

    def said_close(self, session: Session, ended: Ended) -> None:
        """The client has said CLOSE."""
        carrier = session.carrier
        if carrier is not None:
            carrier.channel.close(ended.over, ended.code, ended.message)
            carrier.forget()
        self.channel_closed(session, ended.over, ended.code, ended.message)

    def channel_closed(self, session: Session, over: bool, code: str, message: str) -> None:
        """The channel of a session is gone; `over`: so is the session."""
        session.leave()
        if over:
            self.end(session, code, SessionLost(f"the client has ended its session: {message or code}"))

    def drop_slow(self, session: Session, why: str) -> None:
        """More waits for it than may, or for longer."""
        if session.is_connected:
            self.log.warning("%r does not read; its session is ended: %s", session, why)
            self.counts.slow.append(EndedSlow(session.named, self.loop.time(), why))
            session.close_channel("slow_consumer", why, over=True)
            self.end(session, "slow_consumer", SlowConsumer(why))
        else:
            self.end(session, "absent", SessionLost(f"the client is absent, and {why}"))

    def account(self, session: Session, held_bytes: int) -> None:
        """So much is kept for a session now. Past the bound for all together, the one with the most ends."""
        self.held_bytes += held_bytes - session.held_bytes
        session.held_bytes = held_bytes
        while self.held_bytes > self.limits.max_broker_bytes and self._sessions:
            worst = max(self._sessions.values(), key=lambda each: each.held_bytes)
            self.drop_slow(
                worst,
                f"more than {self.limits.max_broker_bytes} bytes are kept for all clients, most of them for this one",
            )

    def end(self, session: Session, code: str, error: IonbusError) -> None:
        """A session is over for good: its handlers are cancelled, and late clients are told `code`."""
        attended = session.attended
        self.acceptor.end(attended, code, self.now())
        if self._sessions.pop(attended.id, None) is None:
            return
        if code not in LEAVING:
            for entry in attended.session.undelivered_events():
                if entry.delivery == "session":
                    self.undelivered(session, entry.data, code, error.message)
        self._dropped.update(attended.session.dropped)
        self.counts.end(attended.session, code)
        self.held_bytes -= session.held_bytes
        session.held_bytes = 0
        self.events.subscriptions_changed()
        session.end(error)
        for answer in session.answering:
            self._finishing.add(answer)
            answer.until_over().add_done_callback(partial(self._finished, answer))
        if session.is_listening:
            listening = self.loop.create_task(session.finish_listening())
            self._listening.add(listening)
            listening.add_done_callback(self._listening.discard)

    def undelivered(self, session: Session, message: Encoded, code: str, why: str) -> None:
        """An EVENT or ENVELOPE for a session has come to nothing."""
        name, payloads = events_in(message)
        for payload in payloads:
            self.dead_letters.add(
                "undelivered",
                (code, why),
                "event",
                name,
                payload,
                session=session.id,
                principal=session.principal,
            )

    def release(self, token: str) -> None:
        """The page that had this one-use token is gone: end the session that it opened."""
        session = self._sessions.get(self.tokens.revoke(token) or b"")
        if session is not None:
            session.close_channel("closed", "its page is gone", {"final": True}, over=True)
            self.end(session, "closed", SessionLost("its page is gone"))

    def contract_of(self, name: str) -> str | None:
        """The served contract that a member's name, or a pattern, begins with."""
        return max((known for known in self.contracts if name.startswith(f"{known}.")), key=len, default=None)

    # The end.

    def going(self) -> Refusal:
        """What a client is told that comes while the broker stops."""
        return refusal("stopping", "the broker stops", more=self.farewell)

    async def drain(self, seconds: float, besides: asyncio.Task[Any] | None) -> None:
        """Begin nothing new, and let what runs finish for so long; then it is stopped, and its callers are told.

        Args:
            seconds: how long.
            besides: a handler that is not waited for, since it waits for this.
        """
        self.is_draining = True
        ends = self.loop.time() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(ends):
                while running := {
                    answer.until_over()
                    for session in self.sessions
                    for answer in session.answering
                    if answer.task is None or answer.task is not besides
                }:
                    await asyncio.wait(running)
        for session in self.sessions:
            session.flush_shares()
            session.stop_answering()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(max(ends, self.loop.time() + FAREWELL)):
                await asyncio.gather(*(session.taken() for session in self.sessions if session.is_connected))

    async def stop(self, grace: float) -> bool:
        """End all channels and handlers; False where a thread still runs after `grace` seconds."""
        self.is_draining = self._is_stopping = True
        self._ticker.cancel()
        if self.meter is not None:
            self.meter.stop()
        for session in self.sessions:
            session.close_channel("stopping", "the broker stops", self.farewell)
            self.end(session, "stopping", SessionLost("the broker stops"))
        carriers = list(self.carriers)
        for carrier in carriers:
            carrier.refuse(self.going())
        await asyncio.gather(self._ticker, return_exceptions=True)
        for carrier in carriers:
            await carrier.finish()
        for answer in self._finishing:
            answer.cancel_handler()
        if self._listening:  # events that were accepted are listened to, where that does not take for ever
            await asyncio.wait(self._listening, timeout=FAREWELL)
        for listening in self._listening:
            listening.cancel()
        finishing = {answer.until_over() for answer in self._finishing}
        ending: set[asyncio.Future[Any]] = {*finishing, *self._listening}
        left: set[asyncio.Future[Any]] = set()
        if ending:
            _, left = await asyncio.wait(ending, timeout=grace)
        await self.runner.stop()
        is_quiet = await self.threads.stop(grace)
        return is_quiet and not left

    def _finished(self, answer: Answer, _: asyncio.Future[None]) -> None:
        self._finishing.discard(answer)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            away = self.limits.absence_ms / 1000
            patience = self.limits.slow_consumer_ms / 1000
            for attended, code in self.acceptor.tick(self.now()):
                session = self._sessions.get(attended.id)
                if session is not None:
                    try:
                        if code == "absent":
                            self.end(session, code, SessionLost(f"the client was away for {away:g} s"))
                        else:
                            self.drop_slow(
                                session, f"it has taken nothing for {patience:g} s, and something waits"
                            )
                    except Exception:  # one session's end must not keep the others from theirs
                        self.log.exception("%r could not be ended", session)
            for session in self.sessions:  # what handlers have answered since is not seen otherwise
                session.check_bounds()
                session.note_backlog(self.loop.time())
            if self.meter is not None:
                self.meter.tick()


def _make_meter(loop: asyncio.AbstractEventLoop) -> Meter:
    from ionbus.observe.meter import Meter  # noqa: PLC0415 - only who measures needs it

    return Meter(loop)
