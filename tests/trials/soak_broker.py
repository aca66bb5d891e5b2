"""The broker of the soak, a process of its own: `python -m trials.soak_broker`, on stdio where its parent started it so."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any

from ionbus import Broker, Context
from ionbus.channels.stdio import is_launched
from trials.soaking import Count, Done, Job, Ledger, Soak, Tally, Work, body, do_half

PACE = 500
"""Events that are announced between two calls to all sessions."""

Ledgers = dict[str, Ledger]
"""By the session's id."""


@asynccontextmanager
async def ledgers(_: Broker[Ledgers]) -> AsyncIterator[Ledgers]:
    yield {}


broker = Broker(Soak, lifespan=ledgers)


class _Client:
    """A client, for the half of the work that the broker does."""

    def __init__(self, ctx: Context[Ledgers]) -> None:
        self._ctx = ctx

    def emit(self, payload: bytes) -> Coroutine[Any, Any, None]:
        return self._ctx.emit(Soak.told, payload)

    def call(self, job: Job, timeout: float | None) -> Coroutine[Any, Any, Done]:
        if timeout is None:
            return self._ctx.call(Soak.asked, job)
        return self._ctx.call(Soak.asked, job, timeout=timeout)

    def stream(self, count: Count) -> Any:
        return self._ctx.stream(Soak.drawn, count)


def ledger_of(ctx: Context[Ledgers]) -> Ledger:
    """This session's."""
    return ctx.state.setdefault(ctx.session.id, Ledger(f"broker, session {ctx.session.id[:8]}"))


@broker.handle(Soak.begin)
async def begin(work: Work, ctx: Context[Ledgers]) -> Tally:
    found: list[str] = []
    tally = await do_half(work, _Client(ctx), found.append)
    tally.violations = found
    return tally


@broker.handle(Soak.tally)
async def tally(sent: int, ctx: Context[Ledgers]) -> Tally:
    return await ledger_of(ctx).close(sent)


@broker.handle(Soak.announce)
async def announce(events: int) -> None:
    for number in range(events):
        await broker.emit(Soak.announced, body(number, 8))
        if number % PACE == 0:
            await asyncio.gather(*(broker.call(session, Soak.pace) for session in broker.sessions))


@broker.on(Soak.said)
async def said(payload: bytes, ctx: Context[Ledgers]) -> None:
    ledger_of(ctx).events.take(payload)


@broker.handle(Soak.do)
async def do(job: Job, ctx: Context[Ledgers]) -> Done:
    return await ledger_of(ctx).execute(job)


@broker.handle(Soak.counted)
async def counted(count: Count, ctx: Context[Ledgers]) -> AsyncIterator[bytes]:
    async with aclosing(ledger_of(ctx).items(count)) as items:
        async for item in items:
            yield item


async def serve() -> None:
    """Serve on WebSocket until the parent closes our standard input."""
    loop = asyncio.get_running_loop()
    async with broker.serve("ws://127.0.0.1:0", grace=1.0) as (endpoint,):
        print(json.dumps({"url": endpoint.url, "token": endpoint.token}), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if is_launched():
        broker.run()
    else:
        asyncio.run(serve())
