"""The contract of the soak, and one side's half of it: what it sends, and the ledger of what it got.

Both sides do the same: events that carry numbers, calls that carry ids, streams whose items carry numbers, and now and
then a payload so large that it travels in parts. What arrives is compared with what must arrive next.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from ionbus import Call, CallTimeout, Contract, ContractError, Event, IonbusError, Stream

CALLERS = 24
"""Calls under way at once, on each side."""

SMALLEST_BIG, LARGEST_BIG = 300_000, 3_000_000
"""Bytes of payloads that travel in parts; the small among them are more frequent."""

PATIENCE = 20.0
"""Seconds without any event after which no more is waited for."""

_PATTERN = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(120_000))
_SHIFTS = 65_536


class Work(BaseModel):
    """What one side does in one session."""

    seed: int
    events: int
    calls: int
    streams: int
    big_events: int
    big_calls: int


class Tally(BaseModel):
    """What one side has sent, and what it has got of the other's."""

    sent_events: int = 0
    got_events: int = 0
    got_announced: int = 0
    calls: dict[str, int] = {}
    executed: int = 0
    streams: int = 0
    left_streams: int = 0
    items: int = 0
    big_payloads: int = 0
    violations: list[str] = []


class Job(BaseModel):
    """One call."""

    id: int
    kind: Literal["echo", "refuse", "wait"]
    body: bytes = b""


class Done(BaseModel):
    """Its answer: the same body."""

    id: int
    body: bytes


class Refused(ContractError):
    """Refused, as asked."""

    code = "refused"
    id: int


class Count(BaseModel):
    """A stream of so many items, each of so many bytes."""

    items: int
    size: int


class Soak(Contract, name="soak", version="1.0"):
    """What the soak sends."""

    begin = Call(Work, Tally, timeout=None, doc="The broker does its half, and tells of it.")
    tally = Call(
        int, Tally, timeout=None, doc="What the broker has got of this client, who sent so many events."
    )
    announce = Call(int, None, timeout=None, doc="So many events to all sessions.")
    pace = Call(
        None, None, timeout=None, served_by="client", doc="Answered at once: who announces waits for it."
    )
    told = Event(bytes)
    announced = Event(bytes)
    said = Event(bytes, source="client")
    do = Call(Job, Done, timeout=90, raises=[Refused])
    asked = Call(Job, Done, timeout=90, raises=[Refused], served_by="client")
    counted = Stream(Count, bytes, timeout=None)
    drawn = Stream(Count, bytes, timeout=None, served_by="client")


def body(number: int, size: int) -> bytes:
    """The bytes that belong to a number; `size` counts the eight that hold it."""
    shift = number * 31 % _SHIFTS
    return number.to_bytes(8, "big") + _PATTERN[shift : shift + size - 8]


def big_size(dice: random.Random) -> int:
    """Bytes of a payload that travels in parts."""
    return int(SMALLEST_BIG * (LARGEST_BIG / SMALLEST_BIG) ** dice.random())


def number_of(data: bytes) -> int | None:
    """The number that bytes were made for; None: they are not as they were made."""
    number = int.from_bytes(data[:8], "big")
    return number if data == body(number, len(data)) else None


class Sequence:
    """Numbers that must arrive 0, 1, 2, …: what was lost, doubled, or came out of order."""

    def __init__(self, name: str, violated: Callable[[str], None]) -> None:
        self.got = 0
        self.next = 0
        self._name = name
        self._violated = violated
        self._missing: set[int] = set()

    def take(self, data: bytes) -> None:
        """Bytes have arrived."""
        number = number_of(data)
        if number == self.next:
            self.next += 1
            self.got += 1
            return
        if number is None:
            self._violated(f"{self._name}: bytes that were never sent, in place of {self.next}")
        elif number > self.next:
            self._violated(f"{self._name}: {number} came where {self.next} was due")
            self._missing.update(range(self.next, number))
            self.next = number + 1
            self.got += 1
        elif number in self._missing:
            self._violated(f"{self._name}: {number} came late, after {self.next - 1}")
            self._missing.discard(number)
            self.got += 1
        else:
            self._violated(f"{self._name}: {number} came twice")

    def close(self, sent: int) -> None:
        """No more will come, and so many were sent."""
        if self.got != sent:
            self._violated(f"{self._name}: {sent} were sent and {self.got} have come")


class Ledger:
    """What one side has got in one session: events, and the calls and streams that it answered."""

    def __init__(self, name: str) -> None:
        self.tally = Tally()
        self.events = Sequence(f"{name}: events", self.violated)
        self.announced = Sequence(f"{name}: announced events", self.violated)
        self.open_streams = 0
        self._name = name
        self._executed: set[int] = set()

    def __repr__(self) -> str:
        got, announced = self.events.got, self.announced.got
        return f"<Ledger {self._name}: {got} events, {announced} announced, {self.tally!r}>"

    def violated(self, what: str) -> None:
        """Something is not as it must be."""
        if len(self.tally.violations) < 20:
            self.tally.violations.append(what)

    async def execute(self, job: Job) -> Done:
        """Answer a call."""
        if job.id in self._executed:
            self.violated(f"{self._name}: call {job.id} was executed twice")
        self._executed.add(job.id)
        self.tally.executed += 1
        if job.kind == "refuse":
            raise Refused(id=job.id)
        if job.kind == "wait":
            await asyncio.sleep(30)
        return Done(id=job.id, body=job.body)

    async def items(self, count: Count) -> AsyncGenerator[bytes, None]:
        """Answer a stream."""
        self.open_streams += 1
        try:
            for number in range(count.items):
                yield body(number, count.size)
        finally:
            self.open_streams -= 1

    async def close(self, sent_events: int, announced: int = 0) -> Tally:
        """What there was, once all has come, or nothing more comes: events that wait for credit are passed by answers."""
        seen, still = -1, 0.0
        while (got := self.events.got + self.announced.got) < sent_events + announced or self.open_streams:
            still = 0.0 if got > seen else still + 0.02
            if still > PATIENCE:
                break
            seen = got
            await asyncio.sleep(0.02)
        self.events.close(sent_events)
        self.announced.close(announced)
        if self.open_streams:
            self.violated(f"{self._name}: {self.open_streams} streams go on that nobody reads")
        self.tally.got_events = self.events.got
        self.tally.got_announced = self.announced.got
        return self.tally


class OtherSide(Protocol):
    """How one side reaches the other."""

    def emit(self, payload: bytes) -> Coroutine[Any, Any, None]: ...
    def call(self, job: Job, timeout: float | None) -> Coroutine[Any, Any, Done]: ...
    def stream(self, count: Count) -> Any: ...


async def do_half(work: Work, other: OtherSide, violated: Callable[[str], None]) -> Tally:
    """Send all that `work` says, and check what the answers are."""
    half = _Half(work, other, violated)
    ids = iter(range(work.calls))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(half.emit_events())
        for number in range(CALLERS):
            tasks.create_task(half.call(ids, random.Random(work.seed * 1000 + number)))
        tasks.create_task(half.call_big())
        for number in range(2):
            tasks.create_task(half.read_streams(number))
    half.tally.calls = dict(half.outcomes)
    return half.tally


class _Half:
    def __init__(self, work: Work, other: OtherSide, violated: Callable[[str], None]) -> None:
        self.work = work
        self.tally = Tally()
        self.outcomes: Counter[str] = Counter()
        self._other = other
        self._violated = violated

    async def emit_events(self) -> None:
        dice = random.Random(self.work.seed)
        big = set(dice.sample(range(self.work.events), self.work.big_events))
        for number in range(self.work.events):
            size = 8 if number % 8 else 8 + dice.randrange(200)
            if number in big:
                size = big_size(dice)
                self.tally.big_payloads += 1
            await self._other.emit(body(number, size))
            self.tally.sent_events += 1

    async def call(self, ids: Any, dice: random.Random) -> None:
        for number in ids:
            chance = dice.random()
            if chance < 0.02:
                await self._call(Job(id=number, kind="refuse"))
            elif chance < 0.025:
                await self._call(Job(id=number, kind="wait"), timeout=0.02)
            elif chance < 0.03:
                await self._cancel(Job(id=number, kind="wait"))
            else:
                await self._call(Job(id=number, kind="echo", body=body(number, 8 + dice.randrange(100))))

    async def call_big(self) -> None:
        dice = random.Random(self.work.seed + 1)
        for number in range(self.work.calls, self.work.calls + self.work.big_calls):
            size = big_size(dice)
            self.tally.big_payloads += 2
            await self._call(Job(id=number, kind="echo", body=body(number, size)))

    async def read_streams(self, reader: int) -> None:
        dice = random.Random(self.work.seed + 2 + reader)
        for number in range(reader, self.work.streams, 2):
            count = Count(items=dice.randrange(1, 300), size=8 + dice.randrange(400))
            leaves_at = dice.randrange(count.items) if number % 4 == 0 else None
            items = Sequence(f"stream {number}", self._violated)
            async with self._other.stream(count) as stream:
                async for item in stream:
                    items.take(item)
                    if items.got == leaves_at:
                        break
            self.tally.streams += 1
            self.tally.items += items.got
            if leaves_at is None or items.got < leaves_at:
                items.close(count.items)
            else:
                self.tally.left_streams += 1

    async def _call(self, job: Job, timeout: float | None = None) -> None:
        """Make a call and count how it ended; whatever is no answer and no error that it may end with is a violation."""
        try:
            done = await self._other.call(job, timeout)
        except Refused as error:
            self.outcomes["refused"] += 1
            if job.kind != "refuse" or error.id != job.id:
                self._violated(f"call {job.id} ({job.kind}) was refused as {error.id}")
        except CallTimeout:
            self.outcomes["timed out"] += 1
            if timeout is None:
                self._violated(f"call {job.id} timed out")
        except IonbusError as error:
            self.outcomes[error.code] += 1
            self._violated(f"call {job.id} ended with {type(error).__name__}: {error}")
        else:
            self.outcomes["answered"] += 1
            if (done.id, done.body) != (job.id, job.body) or job.kind != "echo":
                self._violated(f"call {job.id} ({job.kind}) has another one's answer")

    async def _cancel(self, job: Job) -> None:
        """Make a call, and let go of it before it is answered."""
        try:
            async with asyncio.timeout(0.01):
                await self._other.call(job, None)
        except TimeoutError:
            self.outcomes["cancelled"] += 1
        else:
            self._violated(f"call {job.id} was answered though it waits")
