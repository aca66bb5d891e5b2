"""The end-to-end tests' broker. `python app.py` runs it over standard input and output when a program launches it.

`python app.py '{"origins": [...], …}'` serves it on a WebSocket port, with what `serve` says, and prints URL and token as one
line of JSON.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from contracts import (
    Answer,
    Count,
    Job,
    Level,
    Parcel,
    Probe,
    Question,
    Refusal,
    Refused,
    Said,
    Stop,
    Sum,
    Tick,
    Ticks,
)
from ionbus import Broker, Context, ThreadContext

LISTENER = "import sys; read = len(sys.stdin.buffer.read()); print('printed by the child'); sys.exit(read)"


@dataclass
class State:
    """What the broker has seen."""

    fates: dict[str, str] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)

    @contextmanager
    def following(self, name: str) -> Iterator[None]:
        """Note what becomes of the body, under a name."""
        self.fates[name] = "running"
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.fates[name] = "cancelled"
            raise
        self.fates[name] = "finished"


@asynccontextmanager
async def lifespan(_: Broker) -> AsyncIterator[State]:
    yield State()


broker = Broker(Probe, lifespan=lifespan)


@broker.handle(Probe.pid)
async def pid() -> int:
    return os.getpid()


@broker.handle(Probe.sessions)
async def sessions() -> int:
    return len(broker.sessions)


@broker.handle(Probe.subscribed)
async def subscribed(ctx: Context[State]) -> list[str]:
    return [each.pattern for each in broker.subscriptions() if each.session == ctx.session.id]


@broker.handle(Probe.add)
async def add(request: Sum) -> int:
    return request.a + request.b


@broker.handle(Probe.echo)
async def echo(parcel: Parcel) -> Parcel:
    return parcel


@broker.handle(Probe.slow)
async def slow(job: Job, ctx: Context[State]) -> str:
    with ctx.state.following(job.name):
        await asyncio.sleep(job.seconds)
    return job.name


@broker.handle(Probe.count)
async def count(request: Count, ctx: Context[State]) -> AsyncIterator[int]:
    with ctx.state.following(request.name):
        for number in range(request.upto):
            yield number
            await asyncio.sleep(request.interval)


@broker.handle(Probe.fate)
async def fate(name: str, ctx: Context[State]) -> str:
    return ctx.state.fates.get(name, "unknown")


@broker.handle(Probe.block_thread)
def block_thread(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@broker.handle(Probe.block_loop)
async def block_loop(seconds: float) -> float:
    time.sleep(seconds)  # noqa: ASYNC251 - this is what must not cost the session
    return seconds


@broker.handle(Probe.ignore_cancellation)
async def ignore_cancellation(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


@broker.handle(Probe.noisy)
def noisy() -> int:
    print("printed by the handler", flush=True)
    os.write(1, b"written to descriptor 1\n")
    return subprocess.run([sys.executable, "-c", LISTENER], check=False, timeout=20).returncode


@broker.handle(Probe.fail)
async def fail(refusal: Refusal) -> None:
    raise Refused(reason=refusal.reason, allowed=refusal.allowed)


@broker.handle(Probe.crash)
async def crash(secret: str) -> None:
    raise ValueError(f"the handler's own business: {secret}")


@broker.handle(Probe.emit_ticks)
async def emit_ticks(request: Ticks) -> None:
    for number in range(request.count):
        await broker.emit(Probe.tick, Tick(run=request.run, number=number))
        await asyncio.sleep(request.interval)


@broker.handle(Probe.set_level)
async def set_level(level: Level) -> None:
    await broker.emit(Probe.level, level)


@broker.on(Probe.said)
async def hear(said: Said, ctx: Context[State]) -> None:
    ctx.state.said.append(said)


@broker.handle(Probe.heard)
async def heard(who: str, ctx: Context[State]) -> list[Said]:
    return [said for said in ctx.state.said if said.who == who]


@broker.handle(Probe.guarded)
async def guarded() -> str:
    return "open"


@broker.handle(Probe.raise_alarm)
async def raise_alarm(text: str) -> None:
    await broker.emit(Probe.alarm, text)


stopping: set[asyncio.Task[None]] = set()


@broker.handle(Probe.stop)
async def stop(request: Stop) -> None:
    task = asyncio.create_task(broker.stop(drain=request.drain, elsewhere=request.elsewhere))
    stopping.add(task)
    task.add_done_callback(stopping.discard)


@broker.handle(Probe.ask)
async def ask(text: str, ctx: Context[State]) -> Answer:
    return await ctx.call(Probe.question, Question(text=text))


@broker.handle(Probe.ask_from_thread)
def ask_from_thread(text: str, ctx: ThreadContext[State]) -> Answer:
    return ctx.call(Probe.question, Question(text=text))


async def serve(
    origins: list[str],
    hosts: list[str],
    token: str | None = None,
    roles: Sequence[str] = (),
    certificate: str | None = None,
    endpoint_file: str | None = None,
) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    async with broker.serve(
        "ws://127.0.0.1:0" if context is None else "wss://127.0.0.1:0",
        origins=origins,
        hosts=hosts,
        token=token,
        roles=set(roles),
        ssl=context,
        endpoint_file=endpoint_file,
    ) as endpoints:
        print(json.dumps({"url": endpoints[0].url, "token": endpoints[0].token}), flush=True)
        await broker.stopped()


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(serve(**json.loads(sys.argv[1])))
    else:
        broker.run()
