"""A client's side of its session: the twin of `served_session`, behind the typed `Bus`."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ionbus.channels.base import Opener
from ionbus.client.arriving import Arriving
from ionbus.client.link import Link
from ionbus.contract.builtin import Discontinuity, Ionbus
from ionbus.contract.contract import Contract, ContractInfo
from ionbus.contract.fingerprint import canonical_json, describe
from ionbus.contract.members import Call, Event, Stream
from ionbus.contract.payload import decode_any
from ionbus.contract.received import Received
from ionbus.dispatch.context import UNSET, Context, Request, ThreadContext, trace_of
from ionbus.dispatch.drops import by_name
from ionbus.dispatch.handlers import Handler, check_handled, make_handler
from ionbus.dispatch.latest import hashable
from ionbus.dispatch.peer import Peer
from ionbus.dispatch.reader import StreamReader
from ionbus.dispatch.subscription import EVERYTHING, BusSubscription, Decode, EventReader, Subscriptions
from ionbus.dispatch.threads import Threads
from ionbus.errors import (
    CallCancelled,
    ConnectionLost,
    IonbusError,
    NotAllowed,
    NotFound,
    SessionLost,
    error_from_wire,
    printable,
)
from ionbus.events.lifetimes import Until
from ionbus.events.names import Wanted, wanted
from ionbus.events.next_event import next_event
from ionbus.events.options import Aggregation, aggregation
from ionbus.events.patterns import matcher, pattern_problem
from ionbus.events.subscription import Subscription, SubscriptionInfo
from ionbus.generated.protocol import Limits, Message
from ionbus.generated.states import ConnectionState
from ionbus.session.connection import SessionReplaced, StateChange
from ionbus.session.session import Delivered, Rejected
from ionbus.watchers import Watchers
from ionbus.wire.messages import encode_event, encode_message

if TYPE_CHECKING:
    from ionbus.middleware.around import Around
    from ionbus.middleware.chains import Chains
    from ionbus.middleware.message import Direction, Kind

log = logging.getLogger("ionbus")

CLOSING = 2.0
"""Seconds that `close` waits for what was accepted to leave."""


class ClientSession:
    """See the module.

    Args:
        opener: opens a channel, once an attempt.
        contracts: told in HELLO.
        limits: of this side.
        agent: program and version, told in HELLO.
        may_renew_token: the opener asks for the token anew at each attempt.
        spread: a number in [0, 1) each time, for the spread of retries.
    """

    def __init__(
        self,
        opener: Opener,
        *,
        contracts: Sequence[type[Contract]],
        limits: Limits,
        agent: str,
        may_renew_token: bool,
        spread: Callable[[], float] = random.random,
    ) -> None:
        infos = [_info(contract) for contract in contracts]
        told = [(info.name, info.version, info.fingerprint) for info in infos]
        self._lost_calls = 0
        self.reconnects = 0
        """How often it was open again."""
        self.resumes = 0
        """How often with the same session."""
        self._in_hello = {info.name: info for info in infos}
        self._announced: dict[str, ContractInfo] = {}
        self._is_withheld = _any_of(None)
        self._handled: dict[str, Handler] = {}
        self.state_watchers: Watchers[StateChange] = Watchers("the connection's state")
        self.error_watchers: Watchers[IonbusError] = Watchers("refusals")
        self.link = Link(self, opener, told, limits, agent, may_renew_token=may_renew_token, spread=spread)
        self._threads = Threads()
        flush_soon = self.link.pump.flush_soon
        self.peer = Peer(
            self, self.link.connection.session, flush_soon, limits, self._threads, is_client=True
        )
        self._subscriptions = Subscriptions(self.peer)
        self.around: Around | None = None
        """The middleware in use, if there is any."""
        self._chains: Chains | None = None
        self._arriving: Arriving | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] = self.peer.loop.create_future()

    async def start(self, *, wait: bool) -> None:
        """Begin to connect, and where `wait` says so, wait for the first WELCOME or the first failure."""
        self._task = self.peer.loop.create_task(self.link.run(), name="ionbus-link")
        self._task.add_done_callback(self._link_ended)
        if wait:
            await self._opened
            for name in self._in_doubt():
                await self._decided(name)

    def _link_ended(self, task: asyncio.Task[None]) -> None:
        """The link's loop is over; where a mistake of ours ended it, nobody shall wait for ever."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the connection has failed", exc_info=error)
            self.ended("connection_lost", f"the connection has failed: {error!r}")

    async def close(self) -> None:
        """End the session and everything that runs for it, after what was accepted has left."""
        engine = self.link.connection.session
        if self.link.state == ConnectionState.OPEN and engine.unnumbered():
            with suppress(TimeoutError, IonbusError):  # then it is lost, as the session ends
                async with asyncio.timeout(CLOSING):
                    await self.peer.until(lambda: not engine.unnumbered())
        if not self.link.is_over:
            self.link.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.peer.close()
        await self._threads.stop(0.0)

    @property
    def dropped(self) -> dict[str, dict[str, int]]:
        """Our events that will never arrive, by name and reason."""
        return by_name(self.link.connection.dropped)

    # What the application does; Bus and Context are typed, and come here.

    async def call(
        self,
        call: Any,
        request: Any = None,
        *,
        timeout: Any = UNSET,
        options: Mapping[str, object] | None = None,
    ) -> Any:
        """Call the broker. `options`: it has been through middleware."""
        if not isinstance(call, Call):
            raise TypeError(f"call() takes a call, not {call!r}")
        if call.served_by != "broker":
            raise NotAllowed(f"{call.name} is served by the client; it cannot be called at the broker")
        self._check_right_to_call(call.name)
        seconds = call.timeout if timeout is UNSET else timeout
        if self.around is not None and options is None:
            return await self.around.call(call, request, seconds, None, self.call)
        payload = call.request.encode(request)
        self.announce(call.contract)
        answer = await self.peer.requests.call(
            call.name, payload, seconds, call.raises, call.idempotent, options
        )
        return call.response.decode(answer)

    def stream(
        self,
        stream: Any,
        request: Any = None,
        *,
        timeout: Any = UNSET,
        options: Mapping[str, object] | None = None,
    ) -> StreamReader[Any]:
        """Read a stream of the broker. `options`: it has been through middleware."""
        if not isinstance(stream, Stream):
            raise TypeError(f"stream() takes a stream, not {stream!r}")
        if stream.served_by != "broker":
            raise NotAllowed(f"{stream.name} is served by the client; it cannot be read from the broker")
        self._check_right_to_call(stream.name)
        seconds = stream.timeout if timeout is UNSET else timeout
        if self.around is not None and options is None:
            return self.around.stream(stream, request, seconds, None, self.stream)
        payload = stream.request.encode(request)
        self.announce(stream.contract)
        return StreamReader(
            self.peer, stream.name, payload, stream.item, seconds, stream.raises, None, options
        )

    async def emit(
        self, event: Any, payload: Any = None, options: Mapping[str, object] | None = None
    ) -> None:
        """Publish an event. `options`: it has been through middleware."""
        if not isinstance(event, Event):
            raise TypeError(f"emit() takes an event, not {event!r}")
        name = event.name
        if event.source == "broker":
            raise NotAllowed(f"{name} is published by the broker; a client cannot emit it")
        if self._is_withheld(name):
            raise NotAllowed(f"{name}: the broker gave no right to publish it")
        if self.around is not None and options is None:
            dropped = await self.around.emit(event, payload, None, self.emit)
            if dropped is not None:
                self._count_drop(name, dropped)
            return
        key = None
        if event.delivery == "latest":
            payload = event.payload.validate(payload)
            key = (name, hashable(event.key_of(payload)))
        data = event.payload.encode(payload)
        self.announce(event.contract)
        await self.peer.emit(encode_event(name, data, options), len(data), event.delivery, key)

    def use(self, middleware: Any, what: Any, kind: Kind | None, direction: Direction | None) -> None:
        """Let a middleware stand around what passes from now on."""
        if self._chains is None:
            from ionbus.middleware.around import Around  # noqa: PLC0415 - whoever uses none pays for none
            from ionbus.middleware.chains import Chains  # noqa: PLC0415

            self._chains = Chains()
            self.around = Around(self._chains, self._threads)
            handouts = self._subscriptions.handouts
            self._arriving = Arriving(self.around, handouts, self._known_event, self._count_drop)
        self._chains.add(middleware, what, kind, direction)

    def on(
        self,
        what: Any,
        listener: Callable[[Any], object],
        *,
        once: bool = False,
        weak: bool = False,
        until: Until | None = None,
        **options: Any,
    ) -> BusSubscription:
        """Listen to events; `options` are those of `aggregation`."""
        asked = _asked(what, options)
        found, decode = self._what(what, in_batches=asked.batch is not None)
        return self._subscriptions.add(
            found,
            decode,
            listener,
            asked=asked,
            has_newest=_has_newest(what),
            once=once,
            weak=weak,
            until=until,
        )

    def off(self, what: Any, listener: object | None) -> int:
        """Close the subscriptions for exactly this; gives how many."""
        return self._subscriptions.off(wanted(what), listener)

    def subscriptions(self) -> list[SubscriptionInfo]:
        """What is in force."""
        return self._subscriptions.infos

    async def wait_for(
        self,
        what: Any,
        where: Callable[[Any], object] | None,
        timeout: float | None,
    ) -> Any:
        """Wait for an event."""
        found, decode = self._what(what)
        newest = _has_newest(what)

        def why(subscription: Subscription) -> Exception:
            refusal = getattr(subscription, "refusal", None)
            return refusal or CallCancelled(f"{found.pattern}: the bus was closed before such an event")

        return await next_event(
            lambda hear: self._subscriptions.add(found, decode, hear, has_newest=newest),
            found.pattern,
            where,
            timeout,
            why,
        )

    def events(self, what: Any, **options: Any) -> EventReader[Any]:
        """Take events one at a time; `options` are those of `aggregation`."""
        asked = _asked(what, options)
        found, decode = self._what(what, in_batches=asked.batch is not None)
        return EventReader(self._subscriptions, found, decode, asked, has_newest=_has_newest(what))

    def handle(self, member: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate the function that answers a call or stream of the broker."""
        check_handled(member, (), "client")

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            if member.name in self._handled:
                raise TypeError(f"{member.name} has a handler already")
            self._handled[member.name] = make_handler(member, function)
            self.announce(member.contract)
            return function

        return register

    # What the link tells.

    def arrived(self, arrival: Delivered | Rejected) -> None:
        """A message has arrived."""
        self.peer.receive(arrival)

    def credit_changed(self) -> None:
        """A frame has been taken."""
        self.peer.credit_changed()

    def changed(self, change: StateChange) -> None:
        """The state is another."""
        if change.after == ConnectionState.OPEN:
            self.peer.disconnected = None
            self.reconnects += change.outcome in ("resumed", "lost")
            self.resumes += change.outcome == "resumed"
            welcome = self.link.connection.welcome
            limits = welcome.get("limits")
            largest = limits.get("message") if isinstance(limits, dict) else None
            if isinstance(largest, int):
                self.peer.max_message_bytes = largest
            names = welcome.get("names")
            self.peer.names = (
                [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
            )
            rights = welcome.get("rights")
            self._is_withheld = _any_of(rights.get("withheld") if isinstance(rights, dict) else None)
            if not self._opened.done():
                self._opened.set_result(None)
        if change.outcome == "lost":
            change = replace(change, lost_calls=self._lost_calls)
            self._tell_of_discontinuity(change)
        self.state_watchers.tell(change)

    def replaced(self, replaced: SessionReplaced) -> None:
        """The session is a new one."""
        error = SessionLost(f"the session was lost before the answer came ({replaced.code})")
        session = self.link.connection.session
        self._subscriptions.handouts.begin_anew()
        self._lost_calls = self.peer.replace(session, replaced.unnumbered, error, self._introduce)

    def attempt_failed(self, code: str, message: str) -> None:
        """A channel could not be opened, or was not greeted."""
        self.peer.disconnected = message or code
        self._fail_opening(_known(code, message, ConnectionLost))

    def ended(self, code: str, message: str) -> None:
        """It is over for good."""
        closed = ConnectionLost(f"the bus is closed: {message}")
        error = closed if code == "closed" else _known(code, message, SessionLost)
        self.peer.end(error)
        self._subscriptions.handouts.clear()
        self._subscriptions.end(error)
        self._fail_opening(error)

    # What the peer asks.

    def find_handler(self, name: str, kind: Literal["call", "stream"]) -> Handler | IonbusError:
        """What answers a request of the broker."""
        handler = self._handled.get(name)
        if handler is None or isinstance(handler.member, Call) != (kind == "call"):
            return NotFound(f"{name}: this client has no handler for such a {kind}")
        return handler if self.around is None else self.around.handler(handler)

    def context_for(self, request: Request, *, is_async: bool) -> Context[Any] | ThreadContext[Any]:
        """The context of a handler."""
        if is_async:
            return Context(self, None, None, request)
        return ThreadContext(self, None, None, request, self.peer.loop)

    def events_arrived(self, seq: int, name: str, payloads: list[bytes], trace: str | None) -> None:
        """Events have arrived."""
        for number, payload in enumerate(payloads, seq):
            self._event_arrived(number, name, payload, self._subscriptions.matching(name), trace)

    def other(self, seq: int, message: list[Any]) -> bool:
        """SUBSCRIBED, ENVELOPE, DESCRIBE."""
        match message[0]:
            case Message.SUBSCRIBED:
                code = message[2] if len(message) > 2 else None
                text = message[3] if len(message) > 3 and message[3] is not None else ""
                error = None if code is None else error_from_wire(code, text)
                if self._subscriptions.answered(message[1], error) and error is not None:
                    self.refused(error)
            case Message.ENVELOPE:
                _, number, payload, *rest = message[2]
                trace = trace_of(rest[0]) if rest and rest[0] else None
                found = self._subscriptions.numbered(message[1])
                is_batch = len(message) > 3 and bool(message[3]) and "batch" in message[3]
                self._event_arrived(seq, self.peer.name_of(number), payload, found, trace, is_batch=is_batch)
            case Message.DESCRIBE:
                for fingerprint in message[1]:
                    self._describe(fingerprint)
            case _:
                return False
        return True

    def request_failed(self, *told: object) -> None:
        """A client keeps no dead letters: its broker knows of the error what may be told."""

    def refused(self, error: IonbusError) -> None:
        """The broker has refused something later."""
        if not self.error_watchers:
            log.warning("the broker has refused something: %s", printable(error))
        self.error_watchers.tell(error)

    # Inside.

    def _event_arrived(
        self,
        seq: int,
        name: str,
        payload: bytes,
        found: Sequence[BusSubscription],
        trace: str | None,
        *,
        is_batch: bool = False,
    ) -> None:
        arriving = self._arriving
        if not found:
            self.peer.consumed(len(payload))
        elif arriving is not None and arriving.concerns(name):
            passing = arriving.arrive(seq, name, payload, found, trace, is_batch=is_batch)
            self.peer.listeners.listen(passing, arriving.habit)
        else:
            self._subscriptions.handouts.arrive(seq, name, payload, found)

    def _known_event(self, name: str) -> Event[Any, Any] | None:
        """The event of this name in the contracts that this client was built with."""
        for info in (*self._in_hello.values(), *self._announced.values()):
            if name.startswith(f"{info.name}."):
                member = info.members.get(name.removeprefix(f"{info.name}."))
                if isinstance(member, Event):
                    return member
        return None

    def _count_drop(self, name: str, reason: str) -> None:
        self.link.connection.session.dropped[name, reason] += 1

    def _check_right_to_call(self, name: str) -> None:
        if self._is_withheld(name):
            raise NotAllowed(f"{name}: the broker gave no right to use it")

    def _what(self, what: Any, *, in_batches: bool = False) -> tuple[Wanted, Decode]:
        """What to listen to, and how its payloads are read."""
        found = wanted(what)
        if isinstance(what, Event):
            self.announce(what.contract)
            read: Callable[[bytes], object] = what.payload.decode_batch if in_batches else what.payload.decode
            return found, lambda _, payload: read(payload)
        if isinstance(what, str):
            if in_batches:
                return found, lambda name, payload: [Received(name, value) for value in _list(payload, name)]
            return found, lambda name, payload: Received(name, decode_any(payload, name))
        info = what.__contract__
        members = {member.name: member for member in info.members.values() if isinstance(member, Event)}
        for member in info.members.values():  # of a nested contract it is the outermost that is announced
            self.announce(member.contract)

        def typed(name: str, payload: bytes) -> Received[object]:
            member = members.get(name)
            return Received(
                name, decode_any(payload, name) if member is None else member.payload.decode(payload)
            )

        def typed_batch(name: str, payload: bytes) -> list[Received[object]]:
            member = members.get(name)
            values = _list(payload, name) if member is None else member.payload.decode_batch(payload)
            return [Received(name, value) for value in values]

        return found, typed_batch if in_batches else typed

    def announce(self, info: ContractInfo) -> None:
        """Tell the broker which contract this client was built with, before it is used for the first time."""
        if info.name in self._announced or info is Ionbus.__contract__:
            return
        self._announced[info.name] = info
        if info.name not in self._in_hello and not self.peer.is_ended:
            self._send_announcement([info])

    def _describe(self, fingerprint: str) -> None:
        """Answer what one of this client's contracts looks like."""
        infos = (*self._in_hello.values(), *self._announced.values())
        info = next((info for info in infos if info.fingerprint == fingerprint), None)
        text = None if info is None else canonical_json(describe(info))
        self.peer.send(encode_message(Message.DESCRIPTION, fingerprint, text))

    def _in_doubt(self) -> list[str]:
        """The contracts told in HELLO of which the broker serves another form."""
        served = self.link.connection.welcome.get("contracts")
        told = [each for each in served if isinstance(each, list)] if isinstance(served, list) else []
        return [
            name
            for name, info in self._in_hello.items()
            if any(each[:1] == [name] and each[2:3] != [info.fingerprint] for each in told)
        ]

    async def _decided(self, name: str) -> None:
        """Wait until the broker has compared a contract told in HELLO: what is sent below its name waits for that.

        Raises:
            ContractMismatch: the two forms do not fit together.
        """
        question = self._subscriptions.add(
            wanted(f"{name}.ionbus_agrees.*"), lambda *_: None, lambda _: None, has_newest=False
        )
        try:
            await question.confirmed()
        finally:
            question.close()

    def _introduce(self) -> None:
        """Tell a new session what the old one knew."""
        infos = [info for info in self._announced.values() if info.name not in self._in_hello]
        if infos:
            self._send_announcement(infos)
        self._subscriptions.tell_again()

    def _send_announcement(self, infos: list[ContractInfo]) -> None:
        told = [[info.name, info.version, info.fingerprint] for info in infos]
        self.peer.send(encode_message(Message.ANNOUNCE, told))

    def _tell_of_discontinuity(self, change: StateChange) -> None:
        """Publish, to our own listeners, that what comes next does not follow on what came before."""
        name = Ionbus.discontinuity.name
        told = Discontinuity(
            reason=change.code,
            missed=None if change.missed is None else dict(change.missed),
            lost_events=change.lost_events,
            lost_calls=change.lost_calls,
        )
        targets = self._subscriptions.matching(name)
        if targets:
            self._subscriptions.handouts.arrive_from_here(
                name, bytes(Ionbus.discontinuity.payload.encode(told)), targets
            )

    def _fail_opening(self, error: IonbusError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # nobody may be waiting


def _asked(what: Any, options: dict[str, Any]) -> Aggregation:
    """What is asked for of the events. Raises ValueError where that makes no sense."""
    if not options:
        return EVERYTHING
    return aggregation(**options, payload=what.payload if isinstance(what, Event) else None)


def _has_newest(what: Any) -> bool:
    """Whether there may be `latest` events among these."""
    if isinstance(what, str):
        return True
    members = [what] if isinstance(what, Event) else what.__contract__.members.values()
    return any(isinstance(member, Event) and member.delivery == "latest" for member in members)


def _list(payload: bytes, name: str) -> list[object]:
    """A batch of an event whose type is not known here."""
    values = decode_any(payload, name)
    return values if isinstance(values, list) else [values]


def _info(contract: type[Contract]) -> ContractInfo:
    """The information of a contract that is announced: the outermost one's."""
    info = getattr(contract, "__contract__", None)
    if not isinstance(info, ContractInfo) or "." in info.name:
        raise TypeError(f"contracts= takes outermost contracts, as contracts=[Conductor], not {contract!r}")
    return info


def _any_of(patterns: object) -> Callable[[str], bool]:
    """Whether a name matches one of the patterns that WELCOME gave (docs/protocol.md, section 8.8)."""
    matchers = [
        matcher(pattern)
        for pattern in (patterns if isinstance(patterns, list) else ())
        if isinstance(pattern, str) and pattern_problem(pattern) is None
    ]
    return lambda name: any(matches(name) for matches in matchers)


def _known(code: str, message: str, otherwise: type[IonbusError]) -> IonbusError:
    """The error for a code that CLOSE or a channel told; those that only tell why a channel ended have no class of their own."""
    error = error_from_wire(code, message)
    return error if type(error) is not IonbusError else otherwise(f"{message} ({code})")
