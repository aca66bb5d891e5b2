"""`make soak`: events, calls, streams and large payloads, both ways, through a thousand cuts: nothing is lost, doubled or reordered.

Over WebSocket the broker, its clients and the proxy that cuts at random bytes are three processes. Over stdio the clients' process
is the broker's parent and relays their channels through its one pipe; what is cut is a channel, the pipe goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ionbus.testing import FaultProxy, ProxyConnection
from trials.report import Report, conclude, environment_of_trials, say
from trials.soak_client import Outcome, Spec
from trials.soaking import Soak, Work

SESSIONS = 4

ROUND_EVENTS, ROUND_CALLS, ROUND_CUTS = 1_000_000, 100_000, 1_000
"""What each of the two channels carries, and survives, in one round of `make soak`."""

STANDSTILL = 60.0
"""Seconds without any progress after which a process is taken for hung."""


@dataclass(frozen=True)
class Scale:
    """How much work there is on each channel in one round, over all sessions and both directions."""

    events: int
    calls: int
    cuts: int
    sessions: int = SESSIONS

    @property
    def announced(self) -> int:
        """Events to all sessions at once: half of those that the broker emits."""
        return -(-self.events // (4 * self.sessions))

    @property
    def bytes_to_a_cut(self) -> float:
        """How many bytes, counted in one direction, pass on average between two cuts of a session.

        Found by counting what the work costs, all that is sent again included; some more cuts come than are wanted.
        """
        return 25.0 * self.events / self.cuts

    def work(self, seed: int) -> Work:
        """One side's half in one session: the client emits half of all events, the broker to it alone a quarter."""
        events = -(-self.events * 3 // (8 * self.sessions))
        return Work(
            seed=seed,
            events=events,
            calls=-(-self.calls // (2 * self.sessions)),
            streams=max(4, self.events // 8_000 // self.sessions),
            big_events=max(1, self.events // 40_000 // self.sessions),
            big_calls=max(1, self.events // 40_000 // self.sessions),
        )


@asynccontextmanager
async def process(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours that ends with the block; its standard input is a pipe, its standard output is to be read."""
    started = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment_of_trials(),
        limit=2**24,
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()


async def outcome_of(clients: asyncio.subprocess.Process, report: Report, name: str) -> Outcome | None:
    """What a clients' process prints at its end; None where it fails or stands still, which is a violation."""
    assert clients.stdout is not None
    line = b"began"
    try:
        while line and not line.startswith(b"{"):
            async with asyncio.timeout(STANDSTILL):
                line = await clients.stdout.readline()
    except TimeoutError:
        clients.send_signal(signal.SIGUSR1)  # it shows where it stands
        await asyncio.sleep(0.5)
        report.violated(f"{name}: no progress for {STANDSTILL:g} s, after {line!r}")
        return None
    if not line:
        report.violated(f"{name}: the clients' process ended with {await clients.wait()}")
        return None
    return Outcome.model_validate_json(line)


def cutter(bytes_to_a_cut: float) -> Callable[[ProxyConnection], None]:
    """Cuts each connection at a byte of its own: a quarter of them within what opens a session, the others anywhere."""

    def plan(connection: ProxyConnection) -> None:
        chance, at, direction, how = (connection.random() for _ in range(4))
        most = 3_000 if chance < 0.25 else 8 / 3 * bytes_to_a_cut
        connection.cut(
            after_bytes=1 + int(at * most),
            direction="to_broker" if direction < 0.5 else "to_client",
            how="reset" if how < 0.7 else "close",
        )

    return plan


async def over_websocket(scale: Scale, seed: int, report: Report) -> None:
    """The part over WebSocket: one of the clients is in Node.js, a process of its own."""
    async with process(sys.executable, "-m", "trials.soak_broker") as broker:
        assert broker.stdout is not None
        served = json.loads(await broker.stdout.readline())
        plan = cutter(scale.bytes_to_a_cut)
        async with FaultProxy(served["url"], seed=seed, on_connection=plan) as proxy:
            spec = Spec(
                url=proxy.url,
                token=served["token"],
                seed=seed,
                sessions=scale.sessions - 1,
                work=scale.work(seed),
                announced=scale.announced,
                fingerprint=Soak.__contract__.fingerprint,
            )
            node = [shutil.which("node") or "node", str(Path(__file__).parent / "soak_client.mjs")]
            async with process(*node, spec.model_dump_json()) as in_node:
                assert in_node.stdout is not None
                await in_node.stdout.readline()  # it has subscribed
                async with process(
                    sys.executable, "-m", "trials.soak_client", spec.model_dump_json()
                ) as clients:
                    outcomes = await asyncio.gather(
                        outcome_of(in_node, report, "WebSocket, Node.js"),
                        outcome_of(clients, report, "WebSocket, Python"),
                    )
            count(report, "websocket", outcomes, proxy.faults.counts["cut"], scale)


async def over_stdio(scale: Scale, seed: int, report: Report) -> None:
    """The part over the channels of one pipe."""
    spec = Spec(
        seed=seed,
        sessions=scale.sessions,
        work=scale.work(seed),
        announced=scale.announced,
        bytes_to_a_cut=scale.bytes_to_a_cut,
    )
    async with process(sys.executable, "-m", "trials.soak_client", spec.model_dump_json()) as clients:
        outcome = await outcome_of(clients, report, "stdio")
    count(report, "stdio", [outcome], 0 if outcome is None else outcome.cuts, scale)


def count(report: Report, name: str, outcomes: Sequence[Outcome | None], cuts: int, scale: Scale) -> None:
    """Add up what both sides counted; what does not fit is a violation."""
    found = [outcome for outcome in outcomes if outcome is not None]
    tallies = [tally for outcome in found for tally in (*outcome.clients, *outcome.brokers)]
    for violation in [
        *(each for outcome in found for each in outcome.violations),
        *(each for tally in tallies for each in tally.violations),
    ]:
        report.violated(f"{name}: {violation}")
    calls: Counter[str] = Counter()
    for tally in tallies:
        calls.update(tally.calls)
    to_client = sum(tally.got_events + tally.got_announced for out in found for tally in out.clients)
    to_broker = sum(tally.got_events for out in found for tally in out.brokers)
    total: Counter[str] = Counter(report.counts.get(name, {}))
    total.update(
        {
            "rounds": 1,
            "cuts": cuts,
            "resumed": sum(outcome.resumed for outcome in found),
            "elements_sent_again": sum(outcome.replayed for outcome in found),
            "events": to_client + to_broker,
            "events_to_client": to_client,
            "events_to_broker": to_broker,
            "calls": calls.total(),
            "calls_to_client": sum(sum(tally.calls.values()) for out in found for tally in out.brokers),
            "calls_to_broker": sum(sum(tally.calls.values()) for out in found for tally in out.clients),
            **{f"calls_{how.replace(' ', '_')}": number for how, number in calls.items()},
            "executed": sum(tally.executed for tally in tallies),
            "streams": sum(tally.streams for tally in tallies),
            "streams_left": sum(tally.left_streams for tally in tallies),
            "items": sum(tally.items for tally in tallies),
            "large_payloads": sum(tally.big_payloads for tally in tallies),
        }
    )
    report.counts[name] = dict(total)
    for what, got, wanted in (
        ("cuts", cuts, scale.cuts),
        ("events", to_client + to_broker, scale.events),
        ("calls", calls.total(), scale.calls),
    ):
        report.check(got >= wanted, f"{name}: {got} {what} only of {wanted}")
    answered = calls["answered"] + calls["refused"]
    executed = total["executed"]
    report.check(executed >= answered, f"{name}: {answered} calls were answered and {executed} executed")
    say(f"soak over {name}: {to_client + to_broker} events, {calls.total()} calls, {cuts} cuts")


async def soak(scale: Scale, seed: int, minutes: float = 0.0) -> Report:
    """As many rounds as begin within so many minutes; one at least."""
    report = Report("soak", seed)
    number = 0
    while not number or (time.monotonic() - report.began < minutes * 60 and not report.violations):
        await over_websocket(scale, seed + number, report)
        await over_stdio(scale, seed + number, report)
        number += 1
    return report


def main() -> None:
    """`SOAK_SEED` repeats a run as far as the cuts go; `SOAK_MINUTES` makes it longer."""
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(2**32))
    say(f"soak: seed {seed}")
    scale = Scale(ROUND_EVENTS, ROUND_CALLS, ROUND_CUTS)
    conclude(asyncio.run(soak(scale, seed, float(os.environ.get("SOAK_MINUTES") or 0))))


if __name__ == "__main__":
    main()
