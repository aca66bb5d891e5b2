"""One client's session as the broker sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ionbus.broker.agreement import Questions, Triple
from ionbus.broker.principals import Rights
from ionbus.broker.published import Published, refused
from ionbus.broker.shares import EventShare, Outgoing
from ionbus.broker.subscribed import ClientSubscription, Subscribed, withheld
from ionbus.channels.base import Channel, PeerIdentity
from ionbus.channels.pump import Pump
from ionbus.contract.members import Call, Event, Member, Stream
from ionbus.dispatch.answers import Answer
from ionbus.dispatch.context import UNSET, Context, Request, ThreadContext
from ionbus.dispatch.drops import by_name
from ionbus.dispatch.event_runs import EventRun, in_runs
from ionbus.dispatch.handlers import Handler
from ionbus.dispatch.latest import hashable
from ionbus.dispatch.peer import Peer
from ionbus.dispatch.reader import StreamReader
from ionbus.dispatch.requests import STOPPING
from ionbus.errors import (
    ContractMismatch,
    IonbusError,
    NotAllowed,
    NotFound,
    SessionLost,
    error_to_wire,
    printable,
)
from ionbus.generated.protocol import Limits, Message
from ionbus.session.acceptor import too_fast
from ionbus.session.attended import Attended, Ended, Rate
from ionbus.session.outbox import Delivery, SharedEvent
from ionbus.session.session import Arrival, Delivered, Rejected, Session as Engine, Violation
from ionbus.watchers import Watchers
from ionbus.wire.frames import MalformedFrame, encode_close
from ionbus.wire.messages import encode_event, encode_message
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.broker.carrier import Carrier
    from ionbus.broker.serving import Serving

PATIENCE = 1.0
"""Seconds that an emit to many waits for a client that takes nothing."""

MESSAGE_BYTES = 200
"""What a message that waits, or is not acknowledged, takes in memory besides its bytes."""

REQUEST_BYTES = 4_096
"""What a request under way takes besides its payload: its handler's task."""

REFUSALS_LOGGED = 10
"""How many refusals of one client are logged a second."""


class Session:
    """A client's session: who it is, and how to reach it. It outlives the channel that carries it.

    Attributes:
        identity: the role, origin and details that its channel told.
        rights: what its client may do; a resume gives it those of then.
    """

    __slots__ = (
        "_at_end",
        "_attended",
        "_engine",
        "_metered",
        "_mismatched",
        "_passing",
        "_peer",
        "_published",
        "_pump",
        "_questions",
        "_refusals_logged",
        "_serving",
        "_subscribed",
        "behind_since",
        "held_bytes",
        "identity",
        "rights",
    )

    def __init__(self, serving: Serving, attended: Attended, identity: PeerIdentity, rights: Rights) -> None:
        self.identity = identity
        self.rights = rights
        self._serving = serving
        self._attended = attended
        self._engine = attended.session
        meter = serving.meter
        self._metered = None if meter is None else meter.engine(attended.session)
        self._pump = Pump(self._metered or attended.session, self._deadline)
        self._peer = Peer(
            self,
            attended.session,
            self._pump.flush_soon,
            serving.limits,
            serving.threads,
            is_client=False,
            remembered=serving.remembered,
            principal=attended.principal,
            turn=serving.turn,
            runner=serving.runner,
            meter=meter,
        )
        self._peer.max_message_bytes = attended.max_message_bytes
        self._at_end: Watchers[None] = Watchers("a session's end")
        self._subscribed = Subscribed(serving, self, attended.session, self.may)
        self.held_bytes = 0
        """What the broker keeps for it, as it was looked at last."""
        self.behind_since: float | None = None
        """Seconds on the loop's clock: since when events have been waiting for credit, looked at once a second; None: they are not."""
        self._published: dict[str, Published] = {}
        self._passing: asyncio.Lock | None = None
        self._mismatched: dict[str, ContractMismatch] = {}
        self._refusals_logged = Rate(REFUSALS_LOGGED)
        self._questions = Questions(
            serving.agreements,
            serving.limits,
            serving.contract_of,
            self._settled,
            self._out_of_time,
            self._settle_late,
        )

    def __repr__(self) -> str:
        return f"<Session {self.id[:8]} {self.identity.role}{'' if self.is_connected else ' absent'}>"

    @property
    def id(self) -> str:
        """The session's id, in hexadecimal digits."""
        return self._attended.id.hex()

    @property
    def named(self) -> str:
        """The session in words: the beginning of its id, and its role."""
        return f"session {self.id[:8]} ({self.identity.role})"

    @property
    def principal(self) -> Any:
        """Who it belongs to, as `authenticate` said."""
        return self._attended.principal

    def may(self, member: Member) -> bool:
        """Whether its client may use a member: call or read it, publish it, subscribe to it."""
        return self.rights.allow(member)

    @property
    def is_connected(self) -> bool:
        """Whether a channel carries it now."""
        return self._pump.channel is not None

    @property
    def is_ended(self) -> bool:
        """Whether it is over for good."""
        return self._peer.is_ended

    @property
    def subscriptions(self) -> list[ClientSubscription]:
        """What its client has subscribed to."""
        return self._subscribed.records

    def on_end(self, watch: Callable[[], object]) -> Callable[[], None]:
        """Call a function when it is over for good, at once if it is already; gives a function that takes this back."""
        if self.is_ended:
            watch()
            return lambda: None
        return self._at_end.add(lambda _: watch())

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """How many events for this client will never arrive, by name and reason (docs/delivery.md)."""
        return by_name(self._engine.dropped)

    @property
    def attended(self) -> Attended:
        """The acceptor's record of it."""
        return self._attended

    @property
    def carrier(self) -> Carrier | None:
        """What listens to the channel that carries it."""
        carrier: Any = self._attended.carrier
        return carrier  # type: ignore[no-any-return] # the acceptor does not know what drives it

    # What the application does; Context and Broker are typed, and come here.

    async def emit(
        self, event: Any, payload: Any = None, options: Mapping[str, object] | None = None
    ) -> None:
        """Emit an event to this session alone; waits while it is behind. `options`: it has been through middleware."""
        self._serving.events.check(event)
        name = event.name
        around = self._serving.around
        if around is not None and options is None:
            dropped = await around.emit(event, payload, self, self.emit)
            if dropped is not None:
                self._engine.dropped[name, dropped] += 1
                if self._serving.meter is not None:
                    self._serving.meter.event(name).unqueued += 1
            return
        peer = self._peer
        peer.raise_if_ended()
        shares = self.shares_of(event)
        key = None
        if event.delivery == "latest":
            payload = event.payload.validate(payload)
            key = (name, hashable(event.key_of(payload)))
        if shares:
            outgoing = Outgoing(event, event.payload.plain(payload))
            is_behind = self._give_some(outgoing, shares)
            if key is None and not self.subscribes(name):
                if is_behind:
                    await peer.until(lambda: self._engine.accepts_events)
                return
            data = outgoing.payload
        else:
            data = event.payload.encode(payload)
        message = encode_event(name, data, options)
        if key is not None:
            self._subscribed.keep(name, key, message, len(data))
        if self.subscribes(name):
            if self._engine.queued_bytes > self._serving.limits.max_queued_bytes:
                self.check_bounds()
            meter = self._serving.meter
            counted = None if meter is None else meter.event(name)
            await peer.emit(message, len(data), event.delivery, key, counted=counted)
        elif self._serving.turn.is_long:
            await asyncio.sleep(0)

    def _give_some(self, outgoing: Outgoing, shares: Sequence[EventShare]) -> bool:
        """Give an event to subscriptions with options; whether they got it, and the session is behind."""
        engine = self._engine
        before = engine.queued_events
        for share in shares:
            share.give(outgoing)
        return engine.queued_events > before and not engine.accepts_events

    async def call(
        self,
        call: Any,
        request: Any = None,
        *,
        timeout: Any = UNSET,
        options: Mapping[str, object] | None = None,
    ) -> Any:
        """Call this session's client. `options`: it has been through middleware."""
        if not isinstance(call, Call):
            raise TypeError(f"call() takes a call, not {call!r}")
        if call.served_by != "client":
            raise NotAllowed(f"{call.name} is served by the broker; it cannot be called at a client")
        seconds = call.timeout if timeout is UNSET else timeout
        around = self._serving.around
        if around is not None and options is None:
            return await around.call(call, request, seconds, self, self.call)
        payload = call.request.encode(request)
        await self._agreed(call.contract.name)
        asked = self._peer.requests.call(call.name, payload, seconds, call.raises, call.idempotent, options)
        meter = self._serving.meter
        answer = await (asked if meter is None else meter.ask(call.name, asked))
        return call.response.decode(answer)

    def stream(
        self,
        stream: Any,
        request: Any = None,
        *,
        timeout: Any = UNSET,
        options: Mapping[str, object] | None = None,
    ) -> StreamReader[Any]:
        """Read a stream of this session's client. `options`: it has been through middleware."""
        if not isinstance(stream, Stream):
            raise TypeError(f"stream() takes a stream, not {stream!r}")
        if stream.served_by != "client":
            raise NotAllowed(f"{stream.name} is served by the broker; it cannot be read from a client")
        seconds = stream.timeout if timeout is UNSET else timeout
        around = self._serving.around
        if around is not None and options is None:
            return around.stream(stream, request, seconds, self, self.stream)
        payload = stream.request.encode(request)
        agreed = partial(self._agreed, stream.contract.name)
        return StreamReader(
            self._peer, stream.name, payload, stream.item, seconds, stream.raises, agreed, options
        )

    # What the broker's fan-out does.

    def subscribes(self, name: str) -> bool:
        """Whether it gets the event of this name, each time."""
        return self._subscribed.wants(name)

    def shares_of(self, event: Event[Any, Any]) -> Sequence[EventShare]:
        """What its subscriptions with options get of an event."""
        return self._subscribed.shares_of(event)

    def shares_hold(self, more: int) -> None:
        """So many bytes more are kept for subscriptions with options."""
        self._subscribed.shares_hold += more

    def forget(self, name: str, count: int) -> None:
        """So many events that waited for a subscription with options were forgotten for others."""
        self._engine.dropped[name, "forgotten"] += count
        if self._serving.meter is not None:
            self._serving.meter.event(name).unqueued += count

    def flush_shares(self) -> None:
        """Send what waits for its subscriptions with options, before its time."""
        self._subscribed.flush()

    def share(self, entry: SharedEvent) -> bool:
        """Queue an event that other sessions' queues hold as well; whether its sender should wait for this session."""
        has_credit = self._engine.share(entry)
        self._pump.flush_soon()
        return not has_credit and self._is_waited_for()

    def put(self, message: Encoded, cost: int, delivery: Delivery, key: Hashable | None) -> bool:
        """Queue an event that each session has for itself; whether its sender should wait for this session."""
        engine = self._engine
        if not self._peer.takes(message):
            engine.drop(message, "too_large")
            self._serving.undelivered(self, message, "too_large", "the client takes no message as large")
            return False
        is_behind = delivery != "volatile" and not engine.accepts_events
        engine.emit(message, cost, delivery, key)
        self._pump.flush_soon()
        return is_behind and self._is_waited_for()

    def _is_waited_for(self) -> bool:
        return self.check_bounds() and self._peer.took_events(PATIENCE)

    def check_bounds(self) -> bool:
        """Look at what waits for it; past a bound its session ends. Whether it goes on."""
        if self._peer.is_ended:
            return False
        engine = self._engine
        if engine.has_waiting:
            past = self._past_bound(engine, self._serving.limits)
            if past is not None:
                self._serving.drop_slow(self, f"more than {past} wait for this client")
                return False
        held = engine.held_bytes + self._peer.held_bytes
        held += self._questions.held_bytes + self._subscribed.held_bytes
        held += engine.held_messages * MESSAGE_BYTES + self._peer.answers.under_way * REQUEST_BYTES
        if held != self.held_bytes:
            self._serving.account(self, held)
        return not self._peer.is_ended

    def _past_bound(self, engine: Engine, limits: Limits) -> str | None:
        """Of what more waits than may."""
        if engine.queued_bytes > limits.max_queued_bytes:
            return f"{limits.max_queued_bytes} bytes of events"
        if engine.queued_events > limits.replay_elements:
            return f"{limits.replay_elements} events"
        if engine.queued_messages > limits.replay_elements:
            return f"{limits.replay_elements} answers"
        if engine.queued_message_bytes > limits.max_answer_bytes + limits.max_queued_bytes:
            return f"{limits.max_answer_bytes + limits.max_queued_bytes} bytes of answers"
        return None

    def note_backlog(self, now: float) -> None:
        """See, about once a second, whether the client has fallen behind with its events, or has caught up."""
        engine = self._engine
        if not self.is_connected or not engine.queued_events or engine.accepts_events:
            self.behind_since = None
        elif self.behind_since is None:
            self.behind_since = now

    async def wait_while_reading(self) -> None:
        """Wait until what is queued has credit, as long as the client goes on taking events."""
        with suppress(IonbusError):  # it has ended meanwhile: nothing waits for it
            await self._peer.backlog_gone(PATIENCE, lambda: self.is_connected)

    async def emit_encoded(self, message: Encoded, cost: int) -> None:
        """Emit an event that was encoded already, in order and once; waits while the session is behind."""
        await self._peer.emit(message, cost, "session", None)

    # What its channel does; the carrier calls these.

    def attach(self, channel: Channel, contracts: Sequence[Triple] = ()) -> None:
        """A greeted channel carries it from now on; its HELLO told of these contracts."""
        self._pump.channel = channel
        self._ask(contracts, of_greeting=True)
        self._peer.max_message_bytes = self._attended.max_message_bytes
        self._peer.credit_changed()
        self._pump.flush_soon()

    def frame_received(self, frame: bytes) -> None:
        """A frame has arrived: take what it brings, start what handles that, and send what there is to say by then."""
        runner, pump, peer = self._serving.runner, self._pump, self._peer
        pump.is_held = runner.is_held = True
        try:
            is_going_on = self._take(frame)
        finally:
            runner.release()
        if is_going_on and not peer.is_ended:
            peer.credit_changed()
            if self._engine.queued_messages or runner.is_idle:
                pump.flush()
            else:  # an acknowledgement leaves with what handlers answer in this turn, not in a frame of its own
                pump.flush_soon()
            if self.check_bounds() and self._attended.is_hasty:
                self._check_rate()
        if self._metered is not None:
            self._metered.frame_received(len(frame))
        pump.release()

    def _take(self, frame: bytes) -> bool:
        """Take a frame; whether the session goes on, and its channel."""
        arrivals: Sequence[EventRun | Arrival | Ended] = self._attended.receive(frame, self._pump.now())
        questions, peer = self._questions, self._peer
        if not questions.are_open:
            arrivals = in_runs(arrivals)
        problem: str | None = None
        for arrival in arrivals:
            if isinstance(arrival, Violation):
                self._violated(arrival)
                return False
            if isinstance(arrival, Ended):
                self._serving.said_close(self, arrival)
                return False
            try:
                if not questions.are_open:
                    peer.receive(arrival)
                elif not self._received_in_question(arrival):
                    return False
            except MalformedFrame as error:
                problem = problem or str(error)
            except Exception:  # a mistake of ours costs this channel, not the pipe that others share
                self._serving.log.exception("%r: a message could not be taken", self)
                problem = problem or "the broker failed at a message; its log has the reason"
        if problem is not None:
            self._violated(self._engine.violation(problem))
            return False
        return True

    def _check_rate(self) -> None:
        rest = self._attended.must_rest(self._pump.now())
        if rest:
            refused = too_fast(self._serving.limits.max_rate, rest)
            self._serving.log.warning("%r: %s", self, refused.message)
            self.close_channel(refused.code, refused.message, {"retry_after": rest})

    def writable(self) -> None:
        """The channel has caught up."""
        self._pump.flush()

    def leave(self) -> None:
        """The channel is gone."""
        self._pump.channel = None
        self._attended.leave()

    def close_channel(
        self, code: str, message: str, options: dict[str, object] | None = None, *, over: bool = False
    ) -> None:
        """Say CLOSE, close the channel, and be absent."""
        channel = self._pump.channel
        if channel is not None:
            self._pump.flush()
            if over:
                options = {**(options or {}), "over": True}
            channel.send(encode_close(code, message, options))
            channel.close(over, code, message)
            if self.carrier is not None:
                self.carrier.forget()
            self.leave()

    def end(self, error: IonbusError) -> None:
        """It is over: cancel its handlers, fail what waits."""
        self._pump.stop()
        self._questions.stop()
        self._subscribed.close()
        self._peer.end(error)
        self._at_end.tell(None)

    @property
    def answering(self) -> set[Answer]:
        """The handlers that run for it."""
        return self._peer.answers.running

    def stop_answering(self) -> None:
        """The broker stops: cancel the handlers, and tell their callers."""
        self._peer.answers.stop_all("stopping")

    async def taken(self) -> None:
        """Wait until the client has everything that was sent to it, and the handlers have ended."""
        engine = self._engine
        with suppress(IonbusError):  # it has ended meanwhile
            await self._peer.until(lambda: engine.is_at_rest and not self.answering)

    @property
    def is_listening(self) -> bool:
        """Whether listeners run for it."""
        return self._peer.listeners.are_running

    async def finish_listening(self) -> None:
        """Wait until the events that came before its end have been listened to."""
        await self._peer.listeners.finish()

    # What its peer asks.

    def find_handler(self, name: str, kind: Literal["call", "stream"]) -> Handler | IonbusError:
        """What answers a request of the client."""
        if self._serving.is_draining:
            return stopping(name)
        handler = self._serving.handlers.get(name) or self._serving.operators.get(name)
        if handler is not None and isinstance(handler.member, Call) == (kind == "call"):
            if handler.member.roles and not self.may(handler.member):
                return withheld(handler.member)
            if (
                self._mismatched
                and (mismatch := self._mismatched.get(handler.member.contract.name)) is not None
            ):
                return mismatch
            around = self._serving.around
            return handler if around is None else around.handler(handler)
        builtin = self._serving.builtin.get(name)
        if builtin is not None and kind == "call":
            channel = self._pump.channel
            if self.identity.role == "main" and channel is not None and channel.kind == "stdio":
                return builtin
            return NotAllowed(f"{name} is for Electron's main process")
        member = self._serving.members.get(name)
        if member is None:
            return NotFound(f"{name}: no such {kind} is served here{self._subscribed.near(name, kind)}")
        if member.kind != kind:
            return NotFound(f"{name} is {_a(member.kind)}, not {_a(kind)}")
        if isinstance(member, (Call, Stream)) and member.served_by == "client":
            return NotAllowed(f"{name} is served by the client; the broker calls it")
        return NotFound(f"{name}: the broker has no handler for it")

    def context_for(self, request: Request, *, is_async: bool) -> Context[Any] | ThreadContext[Any]:
        """The context of a handler or listener."""
        if is_async:
            return Context(self, self, self._serving.state, request)
        return ThreadContext(self, self, self._serving.state, request, self._peer.loop)

    @property
    def passing(self) -> asyncio.Lock:
        """Held while events of its client pass through middleware: those behind wait."""
        if self._passing is None:
            self._passing = asyncio.Lock()
        return self._passing

    def events_arrived(self, seq: int, name: str, payloads: list[bytes], trace: str | None) -> None:
        """The client has published events."""
        published = self._published.get(name) or self._publish(name)
        if isinstance(published, IonbusError):
            error = published
        elif published.member.roles and not self.may(published.member):
            error = withheld(published.member)
        elif self._mismatched and published.member.contract.name in self._mismatched:
            error = self._mismatched[published.member.contract.name]
        else:
            published.arrive(seq, payloads, trace)
            return
        if self._serving.meter is not None:
            self._serving.meter.refuse(name if name in self._serving.members else None, error, len(payloads))
        self._peer.listeners.start_each(refused(self._peer, seq, payloads, error))

    def other(self, seq: int, message: list[Any]) -> bool:
        """SUBSCRIBE, UNSUBSCRIBE, ANNOUNCE."""
        match message[0]:
            case Message.SUBSCRIBE:
                options = message[3] if len(message) > 3 else None
                self._subscribe(message[1], message[2], options or {})
            case Message.UNSUBSCRIBE:
                self._subscribed.remove(message[1])
                self._serving.events.subscriptions_changed()
            case Message.ANNOUNCE:
                self.announced(
                    [(name, version, fingerprint) for name, version, fingerprint, *_ in message[1]]
                )
            case Message.DESCRIPTION:
                self._questions.described(message[1], message[2] if len(message) > 2 else None)
            case _:
                return False
        return True

    def refused(self, error: IonbusError) -> None:
        """The client has refused an event: its listeners' contract is another."""
        if self._refusals_logged.excess_ms(self._pump.now()) == 0:
            self._refusals_logged.spend(1, self._pump.now())
            self._serving.log.warning("%r has refused an event: %s", self, printable(error))

    def request_failed(
        self,
        reason: Literal["invalid", "failed"],
        error: BaseException,
        kind: Literal["call", "stream"],
        name: str,
        payload: bytes,
    ) -> None:
        """A request of the client has come to nothing."""
        self._serving.dead_letters.add(
            reason, error, kind, name, payload, session=self.id, principal=self.principal
        )

    def announced(self, contracts: list[Triple]) -> None:
        """The client says what it was built with: what does not agree fails when it is used."""
        for contract in contracts:
            problem = self._serving.agreements.problem(contract)
            if problem is not None and contract[0] in self._serving.contracts:
                self._mismatched[contract[0]] = ContractMismatch(problem)
        self._ask(contracts, of_greeting=False)

    # Inside.

    def _publish(self, name: str) -> Published | IonbusError:
        """Where the client's events of this name go, or why it may have none."""
        member = self._serving.members.get(name)
        if not isinstance(member, Event):
            return NotFound(f"{name}: no such event is known here{self._subscribed.near(name, 'event')}")
        if member.source == "broker":
            return NotAllowed(f"{name} is published by the broker; a client cannot emit it")
        published = self._published[name] = Published(self._serving, self, self._peer, member)
        return published

    def _received_in_question(self, arrival: EventRun | Delivered | Rejected) -> bool:
        """Take a message while a contract is in question; False: the session has ended by it."""
        if not (isinstance(arrival, Delivered) and self._questions.holds(arrival)):
            self._peer.receive(arrival)
        return not self.is_ended

    def _ask(self, contracts: Sequence[Triple], *, of_greeting: bool) -> None:
        """Ask for the descriptions that tell whether these contracts agree (docs/protocol.md, section 11)."""
        unknown = [
            contract
            for contract in contracts
            if contract[0] not in self._mismatched and self._serving.agreements.is_open(contract)
        ]
        fingerprints = self._questions.ask(unknown, of_greeting=of_greeting)
        if fingerprints:
            self._peer.send(encode_message(Message.DESCRIBE, fingerprints))

    def _settled(
        self, contract: Triple, problem: str | None, of_greeting: bool, held: Sequence[Delivered]
    ) -> None:
        """It is known whether a contract agrees: what waited for that goes on, or the session ends."""
        if problem is not None:
            self._serving.log.warning("%r: %s", self, printable(problem))
            if of_greeting:
                self.close_channel("contract_mismatch", problem, {"final": True}, over=True)
                self._serving.end(self, "contract_mismatch", SessionLost(problem))
                return
            self._mismatched[contract[0]] = ContractMismatch(problem)
        for arrival in held:
            self._peer.receive(arrival)

    def _out_of_time(self) -> None:
        if not self.is_connected:
            self._questions.wait_again()
        else:
            self._settle_late(self._questions.overdue)

    def _settle_late(self, settle: Callable[[], None]) -> None:
        """Settle questions when no message has just arrived: what waited for that is taken now."""
        try:
            settle()
        except MalformedFrame as error:
            self._violated(self._engine.violation(str(error)))
        self._pump.flush_soon()

    async def _agreed(self, contract: str) -> None:
        """Wait until it is known whether the client has the same contract."""
        if self._questions.are_open:
            await self._questions.answered(contract)
        mismatch = self._mismatched.get(contract)
        if mismatch is not None:
            raise ContractMismatch(mismatch.message)

    def _subscribe(self, number: int, pattern: str, options: Mapping[str, object]) -> None:
        now = self._pump.now()
        is_snapshot = options.get("snapshot") is True
        error = self._subscribed.problem(number, pattern, now, is_snapshot=is_snapshot)
        error = error or self._mismatched.get(self._serving.contract_of(pattern) or "")
        error = error or self._subscribed.add(number, pattern, options, is_snapshot=is_snapshot)
        if error is not None:
            code, text, _ = error_to_wire(error)
            self._peer.send(encode_message(Message.SUBSCRIBED, number, code, text))
            return
        if not is_snapshot:
            self._serving.events.subscriptions_changed()
        self._peer.send(encode_message(Message.SUBSCRIBED, number))
        self._subscribed.send_newest(number, pattern, now, is_snapshot=is_snapshot)
        if is_snapshot:
            self._subscribed.remove(number)
        self._pump.flush_soon()

    def _violated(self, violation: Violation) -> None:
        self._serving.log.warning("%r: %s", self, printable(violation.message))
        self.close_channel(violation.code, violation.message, over=violation.over)
        if violation.over:
            self._serving.end(self, violation.code, SessionLost(violation.message))

    def _deadline(self, now: float) -> None:
        silent = self._engine.tick(now)
        channel = self._pump.channel
        if silent and channel is not None and channel.silence_is_fatal:
            self._serving.log.info("%r is silent; its channel is closed", self)
            channel.close(False, "connection_lost", "nothing was heard for too long")
            if self.carrier is not None:
                self.carrier.forget()
            self.leave()


def stopping(name: str) -> IonbusError:
    """What tells a client to keep a request for the next broker (docs/protocol.md, section 8.7)."""
    error = IonbusError(f"{name}: not begun, since the broker stops")
    error.code = STOPPING
    return error


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
