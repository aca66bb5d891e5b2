"""The clients of the soak, a process of their own: `python -m trials.soak_client SPEC`, a JSON object; prints what they counted."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

from pydantic import BaseModel

from ionbus import Bus, LaunchedBroker, connect
from ionbus.generated.protocol import Limits
from ionbus.session.connection import StateChange
from trials.cut_channels import CutChannels
from trials.report import environment_of_trials, say
from trials.soaking import Count, Done, Job, Ledger, Soak, Tally, Work, do_half

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)
"""The cuts come faster than networks come back: without this, waits would be all that there is."""


class Spec(BaseModel):
    """What this process does.

    `url`: over WebSocket, through the proxy that cuts. Without one, a broker is started as a child, and the channels
    that share its pipe are cut.
    """

    url: str | None = None
    token: str | None = None
    seed: int
    sessions: int
    work: Work
    announced: int
    fingerprint: str = ""
    bytes_to_a_cut: float = 0


class Outcome(BaseModel):
    """What this process prints."""

    clients: list[Tally]
    brokers: list[Tally]
    resumed: int
    replayed: int
    cuts: int
    violations: list[str]


class _Broker:
    """The broker, for the half of the work that a client does."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def emit(self, payload: bytes) -> Coroutine[Any, Any, None]:
        return self._bus.emit(Soak.said, payload)

    def call(self, job: Job, timeout: float | None) -> Coroutine[Any, Any, Done]:
        if timeout is None:
            return self._bus.call(Soak.do, job)
        return self._bus.call(Soak.do, job, timeout=timeout)

    def stream(self, count: Count) -> Any:
        return self._bus.stream(Soak.counted, count)


class SoakClient:
    """One session: its bus, its ledger, and what became of its channels."""

    def __init__(self, bus: Bus, number: int) -> None:
        self.bus = bus
        self.ledger = ledger = Ledger(f"client {number}")
        self.outcomes: Counter[str] = Counter()
        self.replayed = 0
        self.subscriptions = [
            bus.on(Soak.told, ledger.events.take),
            bus.on(Soak.announced, ledger.announced.take),
        ]
        bus.on_state(self._changed)
        bus.on_error(lambda error: ledger.violated(f"client {number}: {error} was refused later"))

        @bus.handle(Soak.asked)
        async def asked(job: Job) -> Done:
            return await ledger.execute(job)

        @bus.handle(Soak.pace)
        async def pace() -> None:
            pass

        @bus.handle(Soak.drawn)
        async def drawn(count: Count) -> AsyncIterator[bytes]:
            async with aclosing(ledger.items(count)) as items:
                async for item in items:
                    yield item

    async def work(self, work: Work, announced: int) -> tuple[Tally, Tally]:
        """Both halves at once; what this side counted, and what the broker did."""
        found: list[str] = []
        theirs, mine = await asyncio.gather(
            self.bus.call(Soak.begin, work), do_half(work, _Broker(self.bus), found.append)
        )
        at_broker = await self.bus.call(Soak.tally, mine.sent_events)
        here = await self.ledger.close(theirs.sent_events, announced)
        return merged(mine, here, found), merged(theirs, at_broker, [])

    def _changed(self, change: StateChange) -> None:
        if change.outcome is not None:
            self.outcomes[change.outcome] += 1
            self.replayed += change.replayed
        if change.outcome == "lost":
            self.ledger.violated(f"a session was lost: {change.code} {change.reason}")

    @property
    def progress(self) -> int:
        """Rises as long as anything arrives."""
        return self.ledger.events.got + self.ledger.announced.got + self.ledger.tally.executed


def merged(sent: Tally, got: Tally, found: list[str]) -> Tally:
    """One side's two halves in one: what it sent, and what it got."""
    return sent.model_copy(
        update={
            "got_events": got.got_events,
            "got_announced": got.got_announced,
            "executed": got.executed,
            "violations": [*sent.violations, *got.violations, *found],
        }
    )


@asynccontextmanager
async def broker_of(spec: Spec) -> AsyncIterator[str | LaunchedBroker]:
    """What the clients connect to."""
    if spec.url is not None:
        yield spec.url
        return
    command = [sys.executable, "-m", "trials.soak_broker"]
    async with LaunchedBroker(command, env=environment_of_trials()) as broker:
        yield broker


async def tell_progress(clients: list[SoakClient]) -> None:
    """Print a line each second in which something arrives: whoever started us knows by that whether all stands still."""
    told, still = -1, 0
    while True:
        progress = sum(client.progress for client in clients)
        still = 0 if progress > told else still + 1
        if not still:
            print(f"progress {progress}", flush=True)
        elif still == 30:
            for client in clients:
                say(f"soak: no progress for {still} s: {client.bus} {client.outcomes} {client.ledger}")
        told = progress
        await asyncio.sleep(1)


async def run(spec: Spec) -> Outcome:
    """Connect all clients, let them and the broker work, and collect what each side counted."""
    async with AsyncExitStack() as stack:
        channels = CutChannels(spec.seed, spec.bytes_to_a_cut)
        broker = await stack.enter_async_context(broker_of(spec))
        clients: list[SoakClient] = []
        for number in range(spec.sessions):
            connecting = connect(broker, token=spec.token, limits=BRISK, wait=False, through=channels.through)
            clients.append(SoakClient(await stack.enter_async_context(connecting), number))
        for client in clients:
            for subscription in client.subscriptions:
                await subscription.confirmed()
        works = [
            spec.work.model_copy(update={"seed": spec.seed * 100 + number}) for number in range(spec.sessions)
        ]
        done, _ = await asyncio.gather(
            asyncio.gather(
                *(client.work(work, spec.announced) for client, work in zip(clients, works, strict=True))
            ),
            clients[0].bus.call(Soak.announce, spec.announced),
        )
        return Outcome(
            clients=[mine for mine, _ in done],
            brokers=[theirs for _, theirs in done],
            resumed=sum(client.outcomes["resumed"] for client in clients),
            replayed=sum(client.replayed for client in clients),
            cuts=channels.cuts,
            violations=[
                f"a session began anew {client.outcomes['fresh']} times"
                for client in clients
                if client.outcomes["fresh"] != 1
            ],
        )


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    outcome = asyncio.run(run(Spec.model_validate(json.loads(sys.argv[1]))))
    print(outcome.model_dump_json())
