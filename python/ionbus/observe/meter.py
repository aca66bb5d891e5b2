"""What a broker counts while it works, where it is asked to: `Broker(metrics=True)`. Without that there is none of this.

Everything here is written by the loop's thread alone. Other threads may read it: a snapshot copies what it goes through.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter_ns
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from ionbus.errors import InternalError, IonbusError
from ionbus.observe.histogram import Histogram
from ionbus.observe.loop_watch import LoopWatch
from ionbus.session.session import Session as Engine

if TYPE_CHECKING:
    from ionbus.broker.dead_letters import Reason
    from ionbus.dispatch.answers import Answer

T = TypeVar("T")

OK: Final = "ok"
"""The outcome of a request that was answered by what it asked for."""

UNKNOWN: Final = "(unknown)"
"""What stands for the name of an event that is in no contract: it would be one more label for whoever makes names up."""

SAMPLED: Final = 8
"""Of so many requests that one client has under way together the first is timed: to time a small call takes a twentieth of it."""

MINUTE: Final = 60.0
"""Seconds between two marks, from which on things are recent."""

Source = Literal["broker", "client"]


class EventMeter:
    """One event, over all sessions.

    Attributes:
        published: how often, by who published it.
        published_bytes: the payloads' bytes.
        queued: for a session.
        unqueued: dropped before that: by middleware, or while a subscription with options kept it.
        refused: a client's, by code.
        failures: of listeners, and how many there were at the mark before the last.
        took: nanoseconds that a listener took.
        waited: nanoseconds from arrival to a listener's start.
    """

    __slots__ = (
        "failures",
        "mark",
        "published",
        "published_bytes",
        "queued",
        "refused",
        "took",
        "unqueued",
        "waited",
    )

    def __init__(self) -> None:
        self.published: dict[Source, int] = {"broker": 0, "client": 0}
        self.published_bytes: dict[Source, int] = {"broker": 0, "client": 0}
        self.queued = 0
        self.unqueued = 0
        self.refused: Counter[str] = Counter()
        self.failures = 0
        self.took = Histogram()
        self.waited = Histogram()
        self.mark = (0, 0)

    def publish(self, source: Source, count: int, size: int) -> None:
        """So many were published, of so many bytes together."""
        self.published[source] += count
        self.published_bytes[source] += size

    def arrive(self, count: int, size: int) -> int:
        """A client has published so many, of so many bytes together; gives when that was, in nanoseconds."""
        self.publish("client", count, size)
        return perf_counter_ns()

    def give_up(self, reason: Reason, error: BaseException) -> None:
        """A client's has come to nothing: it was not valid, or a listener failed at it."""
        if reason == "failed":
            self.failures += 1
        else:
            self.refuse(error)

    def refuse(self, error: BaseException, count: int = 1) -> None:
        """So many of a client's were refused."""
        self.refused[type(error).code if isinstance(error, IonbusError) else "internal_error"] += count

    def timed(self, begin: Callable[[Any], object]) -> Callable[[Any], object]:
        """What calls a listener, and measures how long that takes."""
        took = self.took

        async def until_over(began: int, work: Coroutine[Any, Any, object]) -> object:
            try:
                return await work
            finally:
                took.add(perf_counter_ns() - began)

        def timed(value: Any) -> object:
            began = perf_counter_ns()
            work = begin(value)
            if isinstance(work, CoroutineType):
                return until_over(began, work)
            if isinstance(work, asyncio.Future):  # it runs on a thread
                work.add_done_callback(lambda _: took.add(perf_counter_ns() - began))
            else:
                took.add(perf_counter_ns() - began)
            return work

        return timed


class RequestMark(NamedTuple):
    """How a request's counts were at some time."""

    outcomes: dict[str, int]
    took: list[int]


class RequestMeter:
    """One call or stream, over all sessions.

    Attributes:
        is_stream: whether it is a stream.
        ok: how often it was answered by what it asked for.
        errors: how often by an error, by code.
        took: nanoseconds of its handler.
        waited: nanoseconds before it began.
        request_bytes: of payloads.
        response_bytes: of results or items.
        items: of a stream.
        incident: the id of the newest failure.
        since: how it was one to two minutes ago.
    """

    __slots__ = (
        "_newer",
        "errors",
        "incident",
        "is_stream",
        "items",
        "ok",
        "request_bytes",
        "response_bytes",
        "since",
        "took",
        "waited",
    )

    def __init__(self, *, is_stream: bool) -> None:
        self.is_stream = is_stream
        self.ok = 0
        self.errors: Counter[str] = Counter()
        self.took = Histogram()
        self.waited = Histogram()
        self.request_bytes = 0
        self.response_bytes = 0
        self.items = 0
        self.incident: str | None = None
        self._newer = self.since = self._now()

    @property
    def outcomes(self) -> dict[str, int]:
        """How often it was answered, by outcome."""
        return ({OK: self.ok} if self.ok else {}) | self.errors.copy()

    def count_unusual(self, answer: Answer) -> None:
        """A stream is over, or a call that has no result or one in pieces."""
        if answer.is_stream:
            size, count = answer.sent
            self.response_bytes += size
            self.items += count
        elif answer.outcome is not None and not isinstance(answer.outcome, tuple):
            self.response_bytes += len(answer.outcome)
        code = "session_lost" if answer.reason == "lost" else answer.code
        if code is None:
            self.ok += 1
        else:
            self.errors[code] += 1

    def mark(self) -> None:
        """A minute has passed."""
        self.since, self._newer = self._newer, self._now()

    def recent(self) -> RequestMark:
        """What has been counted in the last one to two minutes."""
        before, now = self.since, self._now()
        return RequestMark(
            {outcome: count - before.outcomes.get(outcome, 0) for outcome, count in now.outcomes.items()},
            [count - earlier for count, earlier in zip(now.took, before.took, strict=True)],
        )

    def _now(self) -> RequestMark:
        return RequestMark(self.outcomes, self.took.counts[:])


class Timing:
    """When one request arrived, and when its handler began, by `time.perf_counter_ns`."""

    __slots__ = ("arrived_ns", "began_ns")

    def __init__(self) -> None:
        self.arrived_ns = self.began_ns = perf_counter_ns()


class AskedMeter:
    """One call that the broker makes, over all clients: outcomes, and nanoseconds until the answer."""

    __slots__ = ("outcomes", "took")

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.took = Histogram()


class FrameMeter:
    """Frames of one direction: how many, their bytes, and the elements of those that have any."""

    __slots__ = ("bytes", "count", "elements")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self.elements = Histogram()

    def add(self, size: int, elements: int) -> None:
        """Count one."""
        self.count += 1
        self.bytes += size
        if elements > 0:
            self.elements.add(elements)


class Meter:
    """See the module; one for each time that a broker is served.

    Args:
        loop: where it is served.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.events: dict[str, EventMeter] = {}
        self.requests: dict[str, RequestMeter] = {}
        self.asked: dict[str, AskedMeter] = {}
        self.refused: Counter[str] = Counter()
        """Requests that were not begun, by code."""
        self.received = FrameMeter()
        self.sent = FrameMeter()
        self.credit_waits = Histogram()
        self.lag = Histogram()
        self.watch = LoopWatch(loop, self.lag)
        self._loop = loop
        self._marked = loop.time()

    def event(self, name: str) -> EventMeter:
        """That of one event. Names are those of contracts, never what a client sends."""
        meter = self.events.get(name)
        if meter is None:
            meter = self.events[name] = EventMeter()
        return meter

    def timing(self, under_way: int) -> Timing | None:
        """What measures a request that has arrived, where so many of its client are under way; None: it is not measured."""
        return None if under_way % SAMPLED else Timing()

    def failed(self, answer: Answer, error: IonbusError) -> None:
        """A request's caller is told of an error."""
        answer.code = error.code
        if isinstance(error, InternalError):
            self.request(answer).incident = error.incident_id

    def answered(self, answer: Answer) -> None:
        """A request is over."""
        request = self.requests.get(answer.name) or self.request(answer)
        request.request_bytes += answer.size
        outcome, timing = answer.outcome, answer.timing
        if outcome.__class__ is bytes:
            request.ok += 1
            request.response_bytes += len(outcome)
        else:
            request.count_unusual(answer)
        if timing is not None:
            request.took.add(perf_counter_ns() - timing.began_ns)
            request.waited.add(timing.began_ns - timing.arrived_ns)

    def request(self, answer: Answer) -> RequestMeter:
        """That of a call or stream, of which this is one."""
        meter = self.requests.get(answer.name)
        if meter is None:
            meter = self.requests[answer.name] = RequestMeter(is_stream=answer.is_stream)
        return meter

    def engine(self, engine: Engine) -> MeteredEngine:
        """A session's engine, its frames counted."""
        return MeteredEngine(engine, self)

    def refuse(self, name: str | None, error: IonbusError, count: int) -> None:
        """So many events of a client were refused since of their kind it may publish none; None: there is no such event."""
        self.event(name or UNKNOWN).refuse(error, count)

    async def ask(self, name: str, answer: Awaitable[T]) -> T:
        """Wait for a client's answer, and count how it went."""
        asked = self.asked.get(name)
        if asked is None:
            asked = self.asked[name] = AskedMeter()
        began = perf_counter_ns()
        outcome = "call_cancelled"
        try:
            result = await answer
            outcome = OK
        except IonbusError as error:
            outcome = type(error).code  # not the error's own, which may be anything that the client said
            raise
        finally:
            asked.outcomes[outcome] += 1
            asked.took.add(perf_counter_ns() - began)
        return result

    def tick(self) -> None:
        """Some time has passed, at most seconds: see whether it was a minute."""
        now = self._loop.time()
        if now - self._marked >= MINUTE:
            self._marked = now
            for request in self.requests.values():
                request.mark()
            for event in self.events.values():
                event.mark = (event.mark[1], event.failures)

    def stop(self) -> None:
        """The broker is no longer served."""
        self.watch.stop()


class MeteredEngine:
    """A session's engine as its pump sees it, and what counts the frames of that session.

    Args:
        engine: the session's.
        meter: counts.
    """

    __slots__ = ("_engine", "_meter", "_received")

    def __init__(self, engine: Engine, meter: Meter) -> None:
        self._engine = engine
        self._meter = meter
        self._received = engine.received

    def next_frame(self, now: float) -> bytes | None:
        """The engine's, counted."""
        before = self._engine.sent
        frame = self._engine.next_frame(now)
        if frame is not None:
            self._meter.sent.add(len(frame), self._engine.sent - before)
        return frame

    def deadline(self) -> float:
        """The engine's."""
        return self._engine.deadline()

    def frame_received(self, size: int) -> None:
        """The engine has taken a frame of so many bytes."""
        received = self._engine.received
        self._meter.received.add(size, received - self._received)
        self._received = received
