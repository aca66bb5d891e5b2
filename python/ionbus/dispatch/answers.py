"""The requests of the other side: each is run by its handler and answered exactly once (docs/protocol.md, section 5.1)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Hashable, Iterable
from contextvars import Context
from functools import partial
from hashlib import sha256
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from ionbus.dispatch.context import Request, trace_of, wait_in_thread
from ionbus.dispatch.handlers import Handler
from ionbus.dispatch.latest import hashable
from ionbus.dispatch.remembered import Outcome
from ionbus.dispatch.runner import Work, Works
from ionbus.errors import (
    CallCancelled,
    CallTimeout,
    InternalError,
    InvalidPayload,
    IonbusError,
    TooLarge,
    error_to_wire,
)
from ionbus.generated.protocol import Message
from ionbus.wire import values
from ionbus.wire.frames import MalformedFrame
from ionbus.wire.messages import encode_item, encode_message, encode_result
from ionbus.wire.pieces import Encoded
from ionbus.wire.values import KEPT_BUFFER_BYTES

if TYPE_CHECKING:
    from ionbus.dispatch.peer import Peer
    from ionbus.observe.meter import Timing

log = logging.getLogger("ionbus")

_NO_OPTIONS: dict[str, Any] = {}

Reason = Literal["cancelled", "timeout", "stopping", "lost"]

WHY_STOPPED = {
    "cancelled": "cancelled",
    "timeout": "its deadline has passed",
    "stopping": "stopped, since the broker stops",
}


class Answer(Request):
    """One request under way: what answers it, and for a stream the credit to send items.

    It is what a runner knows it by: that tells it once its handler waits, and so may be stopped.
    """

    __slots__ = (
        "_loop",
        "_over",
        "code",
        "granted",
        "is_answered",
        "is_stream",
        "name",
        "outcome",
        "reason",
        "sent",
        "size",
        "task",
        "timer",
        "timing",
        "waiter",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        number: int,
        name: str,
        deadline: float | None,
        size: int,
        is_stream: bool,
    ) -> None:
        super().__init__(number, deadline)
        self._loop = loop
        self.name = name
        self.size = size  # bytes of its payload
        self.is_stream = is_stream
        self.outcome: Outcome | None = None  # for whoever sends the call again
        self.task: asyncio.Task[Any] | None = None  # once it has started
        self.timer: asyncio.TimerHandle | None = None
        self.reason: Reason | None = None
        self.is_answered = False
        self.code: str | None = None  # of the error that its caller was told, where somebody counts
        self.timing: Timing | None = None  # where it is measured
        self.granted = (0, 0)
        self.sent = (0, 0)
        self.waiter: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] | None = None

    def stop(self, reason: Reason) -> None:
        """Cancel the handler; only the first reason counts."""
        if self.reason is None and not self.is_answered:
            self.reason = reason
            self.cancel()
            self.cancel_handler()

    def cancel_handler(self) -> None:
        """Cancel it, and again if need be; one that has not started sees the reason when it does."""
        if self.task is not None:
            self.task.cancel()

    def start(self) -> None:
        """Its handler is about to run.

        Raises:
            CancelledError: it was stopped before, or its deadline has passed.
        """
        self.task = asyncio.current_task(self._loop)
        if self.timing is not None:
            self.timing.began_ns = perf_counter_ns()
        if self.deadline is not None and self._loop.time() >= self.deadline:
            self.reason = self.reason or "timeout"
        if self.reason is not None:
            raise asyncio.CancelledError

    def finish(self) -> None:
        """Its handler has ended."""
        self.task = None
        if self.timer is not None:
            self.timer.cancel()
        if self._over is not None:
            self._over.set_result(None)

    def until_over(self) -> asyncio.Future[None]:
        """Done when its handler has ended."""
        if self._over is None:
            self._over = self._loop.create_future()
        return self._over

    # What the runner tells.

    def is_full(self) -> bool:
        """There is only one of it."""
        return False

    def park(self, works: Works, context: Context) -> None:
        """It is never full."""

    def begun(self) -> None:
        """`start` has seen to that."""

    def suspended(self, task: asyncio.Task[Any]) -> None:
        """It may wait for so long that its caller gives up."""
        if self.deadline is not None:
            self.timer = self._loop.call_at(self.deadline, self.stop, "timeout")

    def ended(self, task: asyncio.Task[Any] | None, error: BaseException | None) -> None:
        """It has told its caller already."""

    @property
    def has_credit(self) -> bool:
        """Whether an item may be sent."""
        return self.sent[0] < self.granted[0] and self.sent[1] < self.granted[1]


class Answers:
    """The other side's requests of one session.

    Args:
        peer: sends for them, and knows the handlers.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._under_way: dict[int, Answer] = {}
        self._running: set[Answer] = set()
        self._highest = 0
        self._streams = 0
        self.held_bytes = 0
        """Payload bytes of the requests under way."""

    @property
    def under_way(self) -> int:
        """How many requests are being answered."""
        return len(self._under_way)

    def begin(self, message: list[Any]) -> None:
        """CALL or STREAM has arrived."""
        peer = self._peer
        kind, number, name, payload = message[:4]
        if type(name) is int:
            name = peer.name_of(name)
        options = message[4] if len(message) > 4 and message[4] is not None else _NO_OPTIONS
        if number in self._under_way or number == 0:
            raise MalformedFrame(f"request {number} is under way already")
        if number > self._highest:
            self._highest = number
        is_stream, limits = kind == Message.STREAM, peer.limits
        size = len(payload)
        if (
            is_stream
            or len(self._under_way) >= limits.max_requests
            or self.held_bytes + size > limits.max_request_bytes
        ):
            crowd = self._crowd(name, size, is_stream)
            if crowd is not None:
                self._refuse(number, TooLarge(crowd))
                return
        handler = peer.find_handler(name, "stream" if is_stream else "call")
        if isinstance(handler, IonbusError):
            self._refuse(number, handler)
            return
        left = options.get("deadline")
        deadline = peer.loop.time() + left / 1000 if isinstance(left, int) and left >= 0 else None
        answer = Answer(peer.loop, number, name, deadline, size, is_stream)
        if "trace" in options:
            answer.trace = trace_of(options)
        work: Work
        if is_stream:
            answer.granted = self._first_credit(options.get("credit"))
            self._streams += 1
            work = self._answer_stream(answer, handler, payload)
        elif "key" in options and (scope := self._scope(handler, options["key"], payload)) is not None:
            work = self._answer_once(answer, handler, payload, scope)
        else:
            work = self._answer_call(answer, handler, payload)
        meter = peer.meter
        if meter is not None:
            answer.timing = meter.timing(len(self._under_way))
        self._under_way[number] = answer
        self.held_bytes += size
        self._running.add(answer)
        peer.runner.start_one(work, answer, handler.habit)

    def cancel(self, message: list[Any]) -> None:
        """CANCEL has arrived."""
        answer = self._find(message[1], "CANCEL")
        if answer is not None:
            answer.stop("cancelled")

    def credit(self, message: list[Any]) -> None:
        """STREAM_CREDIT has arrived."""
        answer = self._find(message[1], "STREAM_CREDIT")
        if answer is not None:
            answer.granted = (max(answer.granted[0], message[2]), max(answer.granted[1], message[3]))
            if answer.waiter is not None and answer.has_credit and not answer.waiter.done():
                answer.waiter.set_result(None)

    def stop_all(self, reason: Reason) -> None:
        """Cancel every handler."""
        for answer in list(self._under_way.values()):
            answer.stop(reason)

    @property
    def running(self) -> set[Answer]:
        """Those whose handlers have not ended, those of a session that was replaced included."""
        return self._running

    def forget(self) -> None:
        """A new session begins: requests of the old one have nothing to do with its numbers."""
        self._under_way = {}
        self._highest = 0
        self._streams = self.held_bytes = 0

    def rejected(self, answer: Answer, error: IonbusError) -> None:
        """The other side does not take the message of the result, or of an item: that ends a stream."""
        answer.stop("cancelled")
        answer.is_answered = True
        self._peer.send(self._error(answer.id, error))  # past the items that wait: after it they are ignored

    def _crowd(self, name: str, size: int, is_stream: bool) -> str | None:
        """Why no request more is taken, or None."""
        limits = self._peer.limits
        if len(self._under_way) >= limits.max_requests:
            return f"{name}: {len(self._under_way)} requests are under way already"
        if self._under_way and self.held_bytes + size > limits.max_request_bytes:
            return f"{name}: requests of {self.held_bytes} bytes are under way already; at most {limits.max_request_bytes} are"
        if is_stream and self._streams >= limits.max_streams:
            return f"{name}: {self._streams} streams are under way already"
        return None

    def _scope(self, handler: Handler, key: object, payload: bytes) -> Hashable | None:
        """What tells an idempotent call from all others; None: it is none, or nothing is remembered on this side."""
        if self._peer.remembered is None or not isinstance(key, str) or not handler.member.idempotent:
            return None
        digests = sha256(key.encode()).digest(), sha256(payload).digest()  # a key may be of any length
        return hashable(self._peer.principal), handler.member.name, *digests

    def _first_credit(self, credit: Any) -> tuple[int, int]:
        limits = self._peer.limits
        if (
            type(credit) is list
            and len(credit) == 2
            and all(type(part) is int and part >= 0 for part in credit)
        ):
            return credit[0], credit[1]
        return limits.stream_credit_bytes, limits.stream_credit_messages

    async def _answer_call(self, answer: Answer, handler: Handler, payload: bytes) -> None:
        try:
            answer.start()
            arguments = self._arguments(answer, handler, payload)
            if handler.is_async:
                result = await handler.function(*arguments)
            else:
                result = await self._peer.threads.run(partial(handler.function, *arguments))
            data = handler.answer.encode(result)
            if len(data) > KEPT_BUFFER_BYTES:  # it has taken a while, and so will what follows: others first
                await asyncio.sleep(0)
        except BaseException as error:
            self._fail(answer, handler, payload, error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            answer.outcome = data
            self._send(answer, encode_result(answer.id, data))
        finally:
            self._finish(answer)

    async def _answer_once(self, answer: Answer, handler: Handler, payload: bytes, scope: Hashable) -> None:
        """Answer an idempotent call: by the run of it that there was, or is, or by one of our own."""
        remembered, now = self._peer.remembered, self._peer.loop.time
        assert remembered is not None
        try:
            answer.start()
            while (once := remembered.find(scope, now())) is not None:
                await asyncio.wait([once])
                if not once.cancelled():
                    self._send(answer, _encode_outcome(answer.id, once.result()))
                    self._finish(answer)
                    return
        except asyncio.CancelledError as error:
            self._fail(answer, handler, payload, error)
            self._finish(answer)
            return
        remembered.begin(scope, self._peer.loop)
        try:
            await self._answer_call(answer, handler, payload)
        finally:
            remembered.end(scope, answer.outcome, now())

    async def _answer_stream(self, answer: Answer, handler: Handler, payload: bytes) -> None:
        try:
            answer.start()
            arguments = self._arguments(answer, handler, payload)
            if handler.is_async:
                await self._send_items(answer, handler, handler.function(*arguments))
            else:
                await self._peer.threads.run(partial(self._run_items, answer, handler, arguments))
        except BaseException as error:
            self._fail(answer, handler, payload, error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            self._send(answer, encode_message(Message.END, answer.id))
        finally:
            self._finish(answer)

    def _arguments(self, answer: Answer, handler: Handler, payload: bytes) -> list[Any]:
        """Decode and validate the payload, and make the context, as far as the handler takes them."""
        try:
            request = handler.request.decode(payload)
        except InvalidPayload as error:
            raise Refused(error) from error
        signature = handler.signature
        arguments = [request] if signature.takes_payload else []
        if signature.takes_context:
            arguments.append(self._peer.context_for(answer, is_async=handler.is_async))
        return arguments

    async def _send_items(self, answer: Answer, handler: Handler, items: AsyncIterable[Any]) -> None:
        """Send each item, and close a generator when nobody reads any more."""
        try:
            async for item in items:
                await self._send_item(answer, handler.answer.encode(item))
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    def _run_items(self, answer: Answer, handler: Handler, arguments: list[Any]) -> None:
        """The same on a thread, where a function that only returns an iterator runs too."""
        items: Iterable[Any] = handler.function(*arguments)
        try:
            for item in items:
                wait_in_thread(self._send_item(answer, handler.answer.encode(item)), self._peer.loop, answer)
        except CallCancelled:
            if not answer.is_cancelled():
                raise
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    async def _send_item(self, answer: Answer, payload: Encoded) -> None:
        """Send an item once there is credit, and what was sent before has left: a reader may grant more than it reads."""
        peer = self._peer
        while not answer.has_credit:
            answer.waiter = peer.loop.create_future()
            await answer.waiter
        if peer.engine.queued_message_bytes > peer.limits.credit_bytes:
            engine, enough = peer.engine, peer.limits.credit_bytes
            await peer.until(lambda: engine.queued_message_bytes <= enough or peer.engine is not engine)
        answer.sent = (answer.sent[0] + len(payload), answer.sent[1] + 1)
        try:
            peer.send(encode_item(answer.id, payload), -answer.id, answer)
        except TooLarge as error:
            raise Refused(error) from error

    def _fail(self, answer: Answer, handler: Handler, payload: bytes, error: BaseException) -> None:
        if answer.reason == "lost":
            return
        if isinstance(error, (asyncio.CancelledError, CallCancelled)) and (
            answer.reason is not None or isinstance(error, asyncio.CancelledError)
        ):
            text = f"{answer.name}: {WHY_STOPPED[answer.reason or 'cancelled']}"
            told: IonbusError = CallTimeout(text) if answer.reason == "timeout" else CallCancelled(text)
        elif isinstance(error, Refused):
            told = error.told
            if isinstance(told, InvalidPayload):
                self._peer.request_failed("invalid", told, _kind(answer), answer.name, payload)
        elif isinstance(error, IonbusError) and error.code in (
            declared.code for declared in handler.member.raises
        ):
            told = error
        else:
            told = internal_error(answer.name, error)
            self._peer.request_failed("failed", error, _kind(answer), answer.name, payload)
        meter = self._peer.meter
        if meter is not None:
            meter.failed(answer, told)
        try:
            fields = _error_fields(told)
            if told is error:
                answer.outcome = fields
            message = encode_message(Message.ERROR, answer.id, *fields)
        except Exception as problem:  # noqa: BLE001 - its fields were changed after it was made: they cannot travel
            problem.__cause__ = error
            message = self._error(answer.id, internal_error(answer.name, problem))
        self._send(answer, message)

    def _send(self, answer: Answer, message: Encoded) -> None:
        if answer.is_answered or answer.reason == "lost":
            return
        answer.is_answered = True
        peer = self._peer
        waiting, limit = peer.engine.queued_message_bytes, peer.limits.max_answer_bytes
        try:
            if waiting and waiting + len(message) > limit:
                raise TooLarge(
                    f"{answer.name}: answers of {waiting} bytes wait for their reader already; at most {limit} do"
                )
            peer.send(message, -answer.id, answer)
        except TooLarge as error:
            peer.send(self._error(answer.id, error), -answer.id)

    def _finish(self, answer: Answer) -> None:
        answer.finish()
        meter = self._peer.meter
        if meter is not None:
            meter.answered(answer)
        self._running.discard(answer)
        if self._under_way.get(answer.id) is answer:
            del self._under_way[answer.id]
            self._streams -= answer.is_stream
            self.held_bytes -= answer.size

    def _find(self, number: int, what: str) -> Answer | None:
        answer = self._under_way.get(number)
        if answer is None and not 0 < number <= self._highest:
            raise MalformedFrame(f"{what} for request {number}, which never was")
        return answer

    def _refuse(self, number: int, error: IonbusError) -> None:
        if self._peer.meter is not None:
            self._peer.meter.refused[type(error).code] += 1
        self._peer.send(self._error(number, error), -number)

    def _error(self, number: int, error: IonbusError) -> bytes:
        return encode_message(Message.ERROR, number, *_error_fields(error))


def _error_fields(error: IonbusError) -> tuple[str, str, bytes | None]:
    code, text, details = error_to_wire(error)
    return code, text, values.encode(details) if details else None


def _kind(answer: Answer) -> Literal["call", "stream"]:
    return "stream" if answer.is_stream else "call"


def _encode_outcome(number: int, outcome: Outcome) -> Encoded:
    if isinstance(outcome, tuple):
        return encode_message(Message.ERROR, number, *outcome)
    return encode_result(number, outcome)


class Refused(Exception):
    """The request is not valid, or an item not taken: that is what its caller is told, and no failure of the handler's."""

    def __init__(self, told: IonbusError) -> None:
        super().__init__(told)
        self.told = told


def internal_error(name: str, error: BaseException) -> InternalError:
    """Log what code of the user's raised under a new incident id, and give what its caller is told: nothing but that id."""
    incident_id = uuid4().hex[:12]
    log.error("incident %s: %s failed", incident_id, name, exc_info=error)
    return InternalError(
        f"{name} failed; the reason is in its log, under {incident_id}", incident_id=incident_id
    )
