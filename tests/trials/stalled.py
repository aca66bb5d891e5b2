"""`make stalled`: one client among 200 reads nothing, while a million events are emitted: the others do not notice, and memory is bounded.

Phases without and with a stalled client take turns, under the same load, so that whatever else the machine does concerns both. In
each, the stalled client is waited for by whoever emits, for a second, before anything is measured; and what is kept for it reaches
its bound before the phase is over, so that its end is measured too.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from ionbus import Bus, connect
from trials.loading import Facts, Flood, Load, MostResident, Served, broker_process, timed_ping
from trials.report import Report, conclude, environment_of_trials, percentiles, say

MAX_BROKER_BYTES = 64 * 2**20
"""What the broker is told to keep at most, for all clients."""

WORST_RATIO = 1.5
"""So many times of their own baseline may the others' 99th percentile be."""


@dataclass(frozen=True)
class Scale:
    """How much there is to do. Each phase emits its part of the events, the first `lead_in` of them unmeasured."""

    events: int = 1_000_000
    clients: int = 200
    pairs: int = 16
    per_second: int = 10_000
    size: int = 700
    lead_in: int = 5_000
    think_seconds: float = 0.2
    judges_times: bool = True


@dataclass
class Others:
    """The clients that read."""

    buses: list[Bus]
    ticks: int = 0
    gaps: int = 0
    news: int = 0
    latencies: list[float] = field(default_factory=list)

    def tick(self, data: bytes) -> None:
        """An event of the flood has come to the first of them; each flood counts from 0."""
        number = int.from_bytes(data[:8], "big")
        self.gaps += number not in (0, self._next)
        self._next = number + 1
        self.ticks += 1

    _next: int = 0

    async def call_on(self, bus: Bus, think_seconds: float) -> None:
        """Call again and again, with pauses."""
        while True:
            await asyncio.sleep(random.random() * 2 * think_seconds)
            self.latencies.append(await timed_ping(bus))

    def count_news(self, _: int) -> None:
        """News has come."""
        self.news += 1


@asynccontextmanager
async def others_of(served: Served, count: int) -> AsyncIterator[Others]:
    """So many clients; all get the news, the first one the flood."""
    async with AsyncExitStack() as stack:
        buses: list[Bus] = []
        for _ in range(count):
            connecting = connect(served.url, token=served.token)
            buses.append(await stack.enter_async_context(connecting))
        others = Others(buses)
        await buses[0].on(Load.tick, others.tick).confirmed()
        for bus in buses:
            await bus.on(Load.news, others.count_news).confirmed()
        yield others


class Stalling:
    """The process whose sessions read nothing."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self.sessions = 0

    async def stall(self) -> None:
        """There is one when this returns."""
        self._stdin.write(b"stall\n")
        await self._until(b"stalled")
        self.sessions += 1

    async def rest(self) -> None:
        """End them all."""
        self._stdin.write(b"rest\n")
        await self._until(b"rests")

    async def ready(self) -> None:
        """It has started."""
        await self._until(b"ready")

    async def _until(self, wanted: bytes) -> None:
        while (said := (await self._stdout.readline()).strip()) != wanted:
            if not said:
                raise RuntimeError("the stalling process has ended")
            self.sessions += said == b"stalled"


@asynccontextmanager
async def stalling_process(served: Served) -> AsyncIterator[Stalling]:
    """It runs as long as the block does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trials.stalling",
        served.url,
        served.token,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment_of_trials(),
    )
    try:
        stalling = Stalling(process)
        await stalling.ready()
        yield stalling
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def phase(others: Others, lead_in: Flood, flood: Flood, think_seconds: float) -> list[float]:
    """Two floods: how long the others' calls took during the second."""
    others.latencies = []
    calling = [asyncio.create_task(others.call_on(bus, think_seconds)) for bus in others.buses]
    await others.buses[0].call(Load.flood, lead_in)
    others.latencies = []
    await others.buses[0].call(Load.flood, flood)
    for task in calling:
        task.cancel()
    await asyncio.gather(*calling, return_exceptions=True)
    return others.latencies


async def stalled(scale: Scale) -> Report:
    """Run it."""
    report = Report("stalled")
    flood = Flood(
        events=scale.events // (2 * scale.pairs) - scale.lead_in,
        per_second=scale.per_second,
        size=scale.size,
        news_every=scale.per_second // 10,
    )
    lead_in = flood.model_copy(update={"events": scale.lead_in})
    async with (
        broker_process(max_broker_bytes=MAX_BROKER_BYTES) as served,
        stalling_process(served) as stalling,
        others_of(served, scale.clients - 1) as others,
    ):
        await others.buses[0].call(Load.flood, lead_in)
        gc.collect()
        gc.freeze()
        alone: list[list[float]] = []
        beside: list[list[float]] = []
        async with MostResident(served) as resident:
            for number in range(scale.pairs):
                alone.append(await phase(others, lead_in, flood, scale.think_seconds))
                await stalling.stall()
                beside.append(await phase(others, lead_in, flood, scale.think_seconds))
                await stalling.rest()
                say(
                    f"stalled: pair {number + 1} of {scale.pairs}: "
                    f"p99 {percentiles(alone[-1])['p99_ms']} ms alone, {percentiles(beside[-1])['p99_ms']} ms beside it"
                )
            facts = await others.buses[1].call(Load.facts)
        conclude_from(report, scale, alone, beside)
        check_counts(report, scale, (flood, lead_in), others, facts)
        report.counts |= {
            "events_emitted": (flood.events + lead_in.events) * scale.pairs * 2 + lead_in.events,
            "stalled_sessions": stalling.sessions,
            "broker_resident_mib": round(resident.first / 2**20, 1),
            "broker_growth_mib": round(resident.growth / 2**20, 1),
        }
        report.check(
            resident.growth < MAX_BROKER_BYTES,
            f"the broker grew by {resident.growth} bytes; its bound is {MAX_BROKER_BYTES}",
        )
    return report


def conclude_from(report: Report, scale: Scale, alone: list[list[float]], beside: list[list[float]]) -> None:
    """How long the others' calls took, and whether that is a violation."""
    without, within = (
        percentiles([each for phase in phases for each in phase]) for phases in (alone, beside)
    )
    ratio = within["p99_ms"] / without["p99_ms"]
    ratios = [
        percentiles(two)["p99_ms"] / percentiles(one)["p99_ms"]
        for one, two in zip(alone, beside, strict=True)
    ]
    report.counts |= {
        "clients": scale.clients,
        "calls_alone": without,
        "calls_beside_a_stalled_one": within,
        "p99_ratio": round(ratio, 2),
        "p99_ratio_median_of_pairs": round(statistics.median(ratios), 2),
        "bound_mib": MAX_BROKER_BYTES // 2**20,
    }
    if scale.judges_times:
        report.check(ratio <= WORST_RATIO, f"the others' p99 is {ratio:.2f} times of their own")


def check_counts(
    report: Report, scale: Scale, floods: tuple[Flood, Flood], others: Others, facts: Facts
) -> None:
    """Nothing was lost for those that read, the bound holds, and what the stalled ones cost is counted."""
    flood, lead_in = floods
    sizes = [*[flood.events, lead_in.events] * scale.pairs * 2, lead_in.events]
    ticks, news = sum(sizes), sum(-(-size // flood.news_every) for size in sizes)
    report.counts |= {
        "most_held_mib": round(facts.most_held_bytes / 2**20, 1),
        "events_dropped": facts.dropped,
    }
    report.check(others.ticks == ticks, f"{others.ticks} events of {ticks} have come to one that reads")
    report.check(others.gaps == 0, f"{others.gaps} events were not the ones that were due")
    wanted = news * len(others.buses)
    report.check(others.news == wanted, f"{others.news} news of {wanted} have come")
    report.check(
        facts.most_held_bytes <= MAX_BROKER_BYTES,
        f"{facts.most_held_bytes} bytes were kept; the bound is {MAX_BROKER_BYTES}",
    )
    report.check(facts.sessions == len(others.buses), f"{facts.sessions} sessions are left")


if __name__ == "__main__":
    conclude(asyncio.run(stalled(Scale())))
