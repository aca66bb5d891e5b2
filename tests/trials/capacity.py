"""`make capacity`: 10,000 calls under way in one session, and 5,000 sessions at one broker, all answering; what an idle session costs.

The broker is one process, its clients another. Sessions are WebSockets on the loopback interface.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ionbus import Bus, connect
from trials.loading import Load, Served, broker_process, raise_open_files, timed_ping
from trials.report import Report, conclude, percentiles, resident_bytes, say

AT_ONCE = 32
"""Sessions that are opened at once; a broker takes 64 greetings at a time."""


@dataclass(frozen=True)
class Scale:
    """How many there are to be."""

    calls: int = 10_000
    sessions: int = 5_000
    rounds: int = 3


async def calls_under_way(served: Served, scale: Scale, report: Report) -> None:
    """So many calls in one session whose handlers all wait, then all are let go."""
    async with (
        connect(served.url, token=served.token) as bus,
        connect(served.url, token=served.token) as other,
    ):
        before = served.resident_bytes
        began = time.perf_counter()
        calls = [asyncio.create_task(bus.call(Load.hold, "gate")) for _ in range(scale.calls)]
        waiting = 0
        while waiting < scale.calls and time.perf_counter() - began < 60:
            waiting = await other.call(Load.waiting, "gate")
        started = time.perf_counter()
        report.check(waiting == scale.calls, f"{waiting} handlers of {scale.calls} have started")
        ping = await timed_ping(other)
        grown = served.resident_bytes - before
        await other.call(Load.release, "gate")
        answers = await asyncio.gather(*calls, return_exceptions=True)
        ended = time.perf_counter()
    answered = sum(answer == scale.calls for answer in answers)
    report.check(answered == scale.calls, f"{answered} calls of {scale.calls} were answered")
    report.counts["calls_under_way"] = {
        "calls": waiting,
        "answered": answered,
        "seconds_until_all_run": round(started - began, 3),
        "seconds_until_all_are_answered": round(ended - started, 3),
        "another_sessions_call_ms": round(ping * 1000, 3),
        "broker_bytes_a_call": round(grown / scale.calls),
    }
    say(f"capacity: {waiting} calls under way, {answered} answered")


async def live_sessions(served: Served, scale: Scale, report: Report) -> None:
    """So many sessions, opened and asked, all together, several times."""
    gc.collect()
    broker_before, here_before = served.resident_bytes, resident_bytes()
    began = time.perf_counter()
    async with AsyncExitStack() as stack:
        buses = await open_sessions(served, scale.sessions, stack)
        opened = time.perf_counter()
        say(f"capacity: {len(buses)} sessions after {opened - began:.1f} s")
        facts = await buses[0].call(Load.facts)
        report.check(facts.sessions == scale.sessions, f"{facts.sessions} sessions of {scale.sessions} live")
        idle, here = served.resident_bytes - broker_before, resident_bytes() - here_before
        gc.freeze()  # of this process, where 5,000 clients live together: its collector's pauses are not the broker's
        latencies: list[float] = []
        answering = time.perf_counter()
        for number in range(scale.rounds):
            latencies += await asyncio.gather(*(timed_ping(bus, number) for bus in buses))
        answered = time.perf_counter() - answering
        alone = [await timed_ping(bus) for bus in buses[:: max(1, len(buses) // 500)]]
        facts = await buses[-1].call(Load.facts)
        report.check(
            facts.sessions == scale.sessions, f"{facts.sessions} sessions of {scale.sessions} are left"
        )
        active = served.resident_bytes - broker_before
    report.check(len(latencies) == scale.sessions * scale.rounds, "some sessions have not answered")
    report.counts["sessions"] = {
        "sessions": facts.sessions,
        "answered": len(latencies),
        "seconds_to_open": round(opened - began, 1),
        "sessions_opened_a_second": round(scale.sessions / (opened - began)),
        "calls_a_second": round(len(latencies) / answered),
        "one_call_at_a_time": percentiles(alone),
        "broker_bytes_an_idle_session": round(idle / scale.sessions),
        "broker_bytes_a_session_that_has_called": round(active / scale.sessions),
        "client_bytes_a_session": round(here / scale.sessions),
    }


async def open_sessions(served: Served, count: int, stack: AsyncExitStack) -> list[Bus]:
    """Connect so many clients."""
    buses: list[Bus] = []
    left = iter(range(count))

    async def open_some() -> None:
        for _ in left:
            connecting = connect(served.url, token=served.token)
            buses.append(await stack.enter_async_context(connecting))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(open_some())
    return buses


async def capacity(scale: Scale) -> Report:
    """Run both."""
    report = Report("capacity")
    files = raise_open_files()
    report.check(files > scale.sessions + 100, f"only {files} sockets may be open here")
    async with broker_process() as served:
        await calls_under_way(served, scale, report)
    async with broker_process() as served:
        await live_sessions(served, scale, report)
    return report


if __name__ == "__main__":
    conclude(asyncio.run(capacity(Scale())))
