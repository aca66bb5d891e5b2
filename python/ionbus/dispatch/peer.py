"""One side of a session above the engine: where each message that arrives goes, and how messages leave.

The same class serves the broker (one for each session) and the client (one for its bus). Requests that this side makes
are in `requests`, those that it answers in `answers`, events in `listeners`; who owns the session says the rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ionbus.dispatch.answers import Answer, Answers, internal_error
from ionbus.dispatch.context import Request, trace_of
from ionbus.dispatch.event_runs import EventRun
from ionbus.dispatch.handlers import Handler
from ionbus.dispatch.listeners import Listeners
from ionbus.dispatch.remembered import Remembered
from ionbus.dispatch.requests import Pending, PendingCall, PendingStream, Requests, decode_details
from ionbus.dispatch.runner import Runner
from ionbus.dispatch.threads import Threads
from ionbus.dispatch.turn import Turn
from ionbus.errors import IonbusError, TooLarge, error_from_wire, error_to_wire
from ionbus.generated.protocol import Limits, Message
from ionbus.session.outbox import Delivery, Entry
from ionbus.session.session import Delivered, Rejected, Session
from ionbus.wire import values
from ionbus.wire.frames import MalformedFrame
from ionbus.wire.messages import encode_message
from ionbus.wire.pieces import Encoded

if TYPE_CHECKING:
    from ionbus.observe.meter import EventMeter, Meter


class Owner(Protocol):
    """Who a peer belongs to: a session at the broker, the bus at a client."""

    def find_handler(self, name: str, kind: Literal["call", "stream"]) -> Handler | IonbusError:
        """What answers a request, or what its caller is told."""

    def context_for(self, request: Request, *, is_async: bool) -> Any:
        """The context of a handler."""

    def events_arrived(self, seq: int, name: str, payloads: list[bytes], trace: str | None) -> None:
        """EVENTs of one name have arrived, the first with this number, the others with those after it. `trace`: of the only one."""

    def other(self, seq: int, message: list[Any]) -> bool:
        """A message that only this side is sent; False: it is not for this side."""

    def refused(self, error: IonbusError) -> None:
        """The other side has refused something later."""

    def request_failed(
        self,
        reason: Literal["invalid", "failed"],
        error: BaseException,
        kind: Literal["call", "stream"],
        name: str,
        payload: bytes,
    ) -> None:
        """A request of the other side does not fit its contract, or its handler raised what that does not declare."""


class Peer:
    """See the module.

    Args:
        owner: whose it is.
        engine: the session's engine; a client's is replaced when its session is.
        flush_soon: called when there is something to send.
        limits: of this side.
        threads: where `def` handlers run.
        is_client: whether this side is a client.
        remembered: the answers of idempotent calls; None: this side runs each anew.
        principal: on whose behalf the other side asks; None at a client.
        turn: whether an emit lets others go on; None: of its own.
        runner: starts handlers and listeners; None: of its own.
        meter: counts what happens, where a broker is asked to.
    """

    def __init__(
        self,
        owner: Owner,
        engine: Session,
        flush_soon: Callable[[], None],
        limits: Limits,
        threads: Threads,
        *,
        is_client: bool,
        remembered: Remembered | None = None,
        principal: object = None,
        turn: Turn | None = None,
        runner: Runner | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.engine = engine
        self.flush_soon = flush_soon
        self.limits = limits
        self.meter = meter
        self.threads = threads
        self.remembered = remembered
        self.is_client = is_client
        """Whether the other side is a broker, which may stop and be followed by another one."""
        self.principal = principal
        self.loop = asyncio.get_running_loop()
        self.turn = turn or Turn(self.loop)
        self.runner = runner or Runner(self.loop)
        self.max_message_bytes = limits.max_message_bytes
        """The largest message that the other side takes."""
        self.disconnected: str | None = None
        """Why there is no channel now, as far as this side knows."""
        self.names: list[str] = []
        """What numbers in place of names stand for."""
        self.requests = Requests(self)
        self.answers = Answers(self)
        self.listeners = Listeners(self.runner, limits.max_listeners)
        self.find_handler = owner.find_handler
        self.context_for = owner.context_for
        self.request_failed = owner.request_failed
        self._owner = owner
        self._end: IonbusError | None = None
        self.is_ended = False
        """Whether nothing can be sent any more."""
        self._credit_queue: deque[asyncio.Future[None]] = deque()
        self._watches: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._credit_seen = (0, 0)
        self._credit_at = 0.0  # seconds: when the other side last took events, or fell behind
        self._behind_with: tuple[int, int] | None = None  # the credit that it had when it did
        self._event_bytes = self._event_count = 0  # received: what the granted totals bound
        self._routes: dict[int, Callable[[list[Any]], None]] = {
            Message.CALL: self.answers.begin,
            Message.RESULT: self.requests.result,
            Message.ERROR: self.requests.error,
            Message.CANCEL: self.answers.cancel,
            Message.STREAM: self.answers.begin,
            Message.ITEM: self.requests.item,
            Message.END: self.requests.end,
            Message.STREAM_CREDIT: self.answers.credit,
        }

    # What arrives.

    def receive(self, arrived: EventRun | Delivered | Rejected) -> None:
        """Take what the engine gives.

        Raises:
            MalformedFrame: it breaks the protocol.
        """
        if self.is_ended:  # what stood before it in the same frame has ended the session
            return
        if not isinstance(arrived, Delivered):
            if isinstance(arrived, EventRun):
                self._receive_events(arrived)
            else:
                self._rejected(arrived)
            return
        message = arrived.message
        kind = message[0]
        route = self._routes.get(kind)
        if route is not None:
            route(message)
        elif kind == Message.EVENT:
            trace = trace_of(message[3]) if len(message) > 3 and message[3] else None
            self._receive_events(EventRun(arrived.seq, message[1], [message[2]], trace))
        elif kind == Message.REFUSED:
            if not 0 < message[1] <= self.engine.sent:
                raise MalformedFrame(f"REFUSED for element {message[1]}, which was never sent")
            details = decode_details(message[4] if len(message) > 4 else None)
            self._owner.refused(error_from_wire(message[2], message[3], details))
        else:
            if kind == Message.ENVELOPE and not self._count_events([message[2][2]]):
                raise MalformedFrame("EVENT without credit")
            if not self._owner.other(arrived.seq, message):
                raise MalformedFrame(f"{Message(kind).name} is not for this side")

    def name_of(self, name: str | int) -> str:
        """The text of a name.

        Raises:
            MalformedFrame: a number that stands for none.
        """
        if isinstance(name, str):
            return name
        if name >= len(self.names):
            raise MalformedFrame(f"name {name} of {len(self.names)}")
        return self.names[name]

    def credit_changed(self) -> None:
        """A frame has arrived, or a channel: whoever waits for credit, or for something else, looks again."""
        if self._watches:
            self._look_again()
        credit = self.engine.credit
        if self._credit_seen != credit:
            self._credit_seen = credit
            self._credit_at = self.loop.time()
        queue = self._credit_queue
        while queue and self.engine.accepts_events:
            if not queue[0].done():
                queue[0].set_result(None)
                return  # it emits, then wakes the next
            queue.popleft()

    # What leaves.

    def takes(self, message: Encoded) -> bool:
        """Whether the other side takes a message as large; its bound concerns transfers only (docs/protocol.md, section 7)."""
        size = len(message)
        return size <= self.limits.transfer_threshold_bytes or size <= self.max_message_bytes

    def send(self, message: Encoded, lane: Hashable | None = None, tag: object = None) -> Entry:
        """Send what needs no credit.

        Raises:
            TooLarge: the other side does not take a message as large.
        """
        size = len(message)
        if size > self.limits.transfer_threshold_bytes and not self.takes(message):
            raise self._too_large(size)
        entry = self.engine.send(message, lane, tag)
        self.flush_soon()
        return entry

    async def emit(
        self,
        message: Encoded,
        cost: int,
        delivery: Delivery,
        key: Hashable | None = None,
        tag: object = None,
        *,
        counted: EventMeter | None = None,
    ) -> None:
        """Send an event, once there is credit.

        Args:
            message: the EVENT.
            cost: the length of its payload, in bytes.
            delivery: of the contract.
            key: event name and key, for `latest`.
            tag: what a rejection shall give back.
            counted: where it counts as queued.

        Raises:
            TooLarge: the other side does not take a message as large.
            IonbusError: the session has ended.
        """
        if not self.takes(message):
            raise self._too_large(len(message))
        self.raise_if_ended()
        waits = delivery != "volatile" and (bool(self._credit_queue) or not self.engine.accepts_events)
        if delivery == "latest":  # it is queued at once, so that its successor can take its place
            entry = self.engine.emit(message, cost, delivery, key, tag)
            self.flush_soon()
            if counted is not None:
                counted.queued += 1
            if waits:
                await self._credit()
        else:
            if waits:
                await self._credit()
            entry = self.engine.emit(message, cost, delivery, key, tag)
            self.flush_soon()
            if counted is not None:
                counted.queued += 1
        if self._credit_queue:
            self.credit_changed()
        if self.turn.is_long:
            await asyncio.sleep(0)
        if entry is not None and len(message) > self.limits.transfer_threshold_bytes:
            # Else the result of the handler that emits it would pass it while it travels in parts.
            engine = self.engine
            await self.until(lambda: entry.is_numbered or entry.is_dropped or self.engine is not engine)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; it is looked at now, and whenever a frame has arrived.

        Raises:
            IonbusError: the session has ended.
        """
        self.raise_if_ended()
        if is_so():
            return
        watch = (is_so, self.loop.create_future())
        self._watches.append(watch)
        try:
            await watch[1]
        finally:
            self._watches.remove(watch)

    def took_events(self, within: float) -> bool:
        """Of who is behind: whether it has taken events in the last `within` seconds, or had no reason to, since it was not behind."""
        credit, now = self.engine.credit, self.loop.time()
        if self._behind_with != credit:
            self._behind_with, self._credit_at = credit, now
        return now < self._credit_at + within

    async def backlog_gone(self, patience: float, is_reading: Callable[[], bool]) -> None:
        """Wait until all events that are queued have credit, unless none was given for `patience` seconds."""
        while not self._end and not self.engine.accepts_events and is_reading():
            left = self._credit_at + patience - self.loop.time()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._credit()
            except TimeoutError:
                pass
            else:
                self.credit_changed()

    def refuse(self, seq: int, error: Exception) -> None:
        """Tell the other side that its event was refused."""
        told = error if isinstance(error, IonbusError) else internal_error("an event's validation", error)
        code, text, details = error_to_wire(told)
        packed = values.encode(details) if details else None
        self.send(encode_message(Message.REFUSED, seq, code, text, packed))

    def consumed(self, cost: int, count: int = 1) -> None:
        """Events that cost so much together were dropped or taken."""
        self.engine.consumed(cost, count)
        self.flush_soon()

    # The session's end.

    @property
    def held_bytes(self) -> int:
        """Payload bytes that are kept here for the other side, besides the engine's."""
        return self.answers.held_bytes + self.listeners.waiting_bytes + self.requests.held_bytes

    def raise_if_ended(self) -> None:
        """Raise why the session has ended, if it has."""
        if self._end is not None:
            raise type(self._end)(self._end.message)

    def end(self, error: IonbusError) -> None:
        """The session has ended: fail what waits, cancel the handlers."""
        if self._end is not None:
            return
        self._end = error
        self.is_ended = True
        self.requests.fail_all(error)
        self._fail_waiters(error)
        self.answers.stop_all("lost")

    async def close(self) -> None:
        """After `end`: wait for the handlers and listeners that still run, listeners cancelled."""
        await self.listeners.cancel()
        ends = [answer.until_over() for answer in self.answers.running]
        if ends:
            await asyncio.wait(ends)

    def replace(
        self, engine: Session, unnumbered: Iterable[Entry], error: IonbusError, introduce: Callable[[], None]
    ) -> int:
        """The client's session is a new one: send again what the old one never sent, fail what it did.

        Gives how many requests failed.

        Args:
            engine: the new session's.
            unnumbered: what was never sent, in order.
            error: what numbered requests fail with.
            introduce: sends what has to come first.
        """
        self.answers.stop_all("lost")
        self.answers.forget()
        self.engine = engine
        self._event_bytes = self._event_count = 0
        introduce()
        entries = list(unnumbered)
        pending = {entry.tag for entry in entries if isinstance(entry.tag, (PendingCall, PendingStream))}
        again, lost = self.requests.carry_over(pending, error)
        for request in again:
            self._resend(request)
        for entry in entries:
            if isinstance(entry.tag, (PendingCall, PendingStream)):
                self._resend(entry.tag)
            elif entry.cost >= 0:
                engine.emit(entry.data, entry.cost, entry.delivery, entry.key, entry.tag)
        self.flush_soon()
        return lost

    # Inside.

    def _resend(self, request: Pending) -> None:
        if request.entry is not None:
            request.entry = self.engine.send(request.entry.data, request.id, request)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(f"a message of {size} bytes; the other side takes {self.max_message_bytes}")

    def _rejected(self, rejected: Rejected) -> None:
        error = error_from_wire(rejected.code, rejected.message)
        if isinstance(rejected.tag, (PendingCall, PendingStream)):
            self.requests.rejected(rejected.tag, error)
        elif isinstance(rejected.tag, Answer):
            self.answers.rejected(rejected.tag, error)
        else:
            self._owner.refused(error)

    def _receive_events(self, run: EventRun) -> None:
        allowed = self._count_events(run.payloads)
        if allowed:
            self._owner.events_arrived(run.seq, self.name_of(run.name), run.payloads[:allowed], run.trace)
        if allowed < len(run.payloads):
            raise MalformedFrame("EVENT without credit")

    def _count_events(self, payloads: list[bytes]) -> int:
        """Count them against the totals granted; gives how many of them were within those."""
        most_bytes, most = self.engine.granted
        size = sum(map(len, payloads))
        if self._event_bytes + size < most_bytes and self._event_count + len(payloads) <= most:
            self._event_bytes += size
            self._event_count += len(payloads)
            return len(payloads)
        for index, payload in enumerate(payloads):
            if self._event_bytes >= most_bytes or self._event_count >= most:
                return index
            self._event_bytes += len(payload)
            self._event_count += 1
        return len(payloads)

    async def _credit(self) -> None:
        waiter = self.loop.create_future()
        self._credit_queue.append(waiter)
        engine = self.engine
        engine.awaited += 1
        began = self.loop.time()
        try:
            await waiter
        except asyncio.CancelledError:
            self._leave_credit_queue(waiter)
            self.credit_changed()  # it may have been woken, and does not go on: the next one's turn
            raise
        finally:
            engine.awaited -= 1
            self._leave_credit_queue(waiter)
            if self.meter is not None:
                self.meter.credit_waits.add(int((self.loop.time() - began) * 1e9))

    def _leave_credit_queue(self, waiter: asyncio.Future[None]) -> None:
        queue = self._credit_queue
        if queue and queue[0] is waiter:  # whoever was woken stands first
            queue.popleft()
        elif waiter in queue:
            queue.remove(waiter)

    def _look_again(self) -> None:
        for is_so, waiter in self._watches:
            if not waiter.done() and is_so():
                waiter.set_result(None)

    def _fail_waiters(self, error: IonbusError) -> None:
        queue, self._credit_queue = self._credit_queue, deque()
        for waiter in (*queue, *(waiter for _, waiter in self._watches)):
            if not waiter.done():
                waiter.set_exception(type(error)(error.message))
