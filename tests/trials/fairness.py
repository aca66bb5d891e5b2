"""`make fairness`: what other sessions' calls cost while 200 MB travel to one and from another, events flood, and a neighbour reads nothing.

The calls of 20 sessions are timed without and then with all of that. Heartbeats are so short here that a channel would be given up
within three seconds if anything kept them from being sent or heard.

A payload is encoded, and read, in one turn of the event loop: a few of the calls meet that, all at once, whatever their share of
the whole. So it is the longest call and the slowest of twenty that are judged, and not the slowest of a hundred.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ionbus import Bus, ConnectionState, connect
from trials.loading import Load, MostResident, Served, broker_process, timed_ping
from trials.report import Report, conclude, environment_of_trials, percentiles, say
from trials.stalled import stalling_process

HEARTBEAT_MS, SILENCE_MS = 500, 3_000

WORST_MS = 1_000.0
"""No call may take longer."""

WORST_P95_MS = 100.0
"""Nor one of twenty longer than this."""


@dataclass(frozen=True)
class Scale:
    """How much noise there is, and how many try to talk."""

    megabytes: int = 200
    clients: int = 20
    baseline_seconds: float = 5.0
    think_seconds: float = 0.02
    judges_times: bool = True


@asynccontextmanager
async def noise_process(served: Served, megabytes: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """It runs as long as the block does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trials.noise",
        served.url,
        served.token,
        str(megabytes),
        stdout=asyncio.subprocess.PIPE,
        env=environment_of_trials(),
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Talkers:
    """The sessions whose calls are timed."""

    def __init__(self, buses: list[Bus]) -> None:
        self.buses = buses
        self.interruptions: list[str] = []
        for bus in buses:
            bus.on_state(self._changed)

    async def talk(self, think_seconds: float, until: asyncio.Future[Any]) -> list[float]:
        """All call again and again; how long each call took."""
        latencies: list[float] = []

        async def call_on(bus: Bus) -> None:
            while not until.done():
                await asyncio.sleep(random.random() * 2 * think_seconds)
                latencies.append(await timed_ping(bus))

        await asyncio.gather(*(call_on(bus) for bus in self.buses))
        return latencies

    def _changed(self, change: Any) -> None:
        if change.after not in (ConnectionState.OPEN, ConnectionState.CLOSED):
            self.interruptions.append(f"{change.code}: {change.reason}")


async def fairness(scale: Scale) -> Report:
    """Run it."""
    report = Report("fairness")
    async with (
        broker_process(heartbeat_ms=HEARTBEAT_MS, silence_ms=SILENCE_MS) as served,
        stalling_process(served) as stalling,
        AsyncExitStack() as stack,
    ):
        connecting = [connect(served.url, token=served.token) for _ in range(scale.clients)]
        talkers = Talkers([await stack.enter_async_context(each) for each in connecting])
        baseline = asyncio.ensure_future(asyncio.sleep(scale.baseline_seconds))
        alone = await talkers.talk(scale.think_seconds, baseline)
        say(f"fairness: alone {percentiles(alone)}")
        await stalling.stall()
        async with noise_process(served, scale.megabytes) as noise, MostResident(served) as resident:
            assert noise.stdout is not None
            assert (await noise.stdout.readline()).strip() == b"noisy"
            began = time.perf_counter()
            told = asyncio.ensure_future(noise.stdout.readline())
            beside = await talkers.talk(scale.think_seconds, told)
            seconds = time.perf_counter() - began
            outcome = json.loads(told.result() or b"{}")
        say(f"fairness: beside the noise {percentiles(beside)}")
        await stalling.rest()
        facts = await talkers.buses[0].call(Load.facts)
    report.counts |= {
        "alone": percentiles(alone),
        "beside_the_noise": percentiles(beside),
        "noise": outcome,
        "noise_seconds": round(seconds, 1),
        "megabytes_each_way": scale.megabytes,
        "stalled_sessions": stalling.sessions,
        "broker_growth_mib": round(resident.growth / 2**20, 1),
        "most_held_mib": round(facts.most_held_bytes / 2**20, 1),
    }
    report.check(bool(outcome), "the noisy process has failed")
    for interruption in [*talkers.interruptions, *outcome.get("interruptions", [])]:
        report.violated(f"a channel was lost: {interruption}")
    report.check(facts.sessions == scale.clients, f"{facts.sessions} sessions of {scale.clients} are left")
    report.check(outcome.get("events_heard", 0) > 100, "there was no flood")
    if scale.judges_times:
        told_of = percentiles(beside)
        report.check(told_of["max_ms"] <= WORST_MS, f"a call took {told_of['max_ms']} ms")
        report.check(told_of["p95_ms"] <= WORST_P95_MS, f"one call of twenty took {told_of['p95_ms']} ms")
    return report


if __name__ == "__main__":
    conclude(asyncio.run(fairness(Scale())))
