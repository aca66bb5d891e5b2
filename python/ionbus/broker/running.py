"""Runs a broker as a program: from the launch to the last signal."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl as tls
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence, Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from ionbus.broker.access import Access
from ionbus.broker.endpoints import STDIO, Endpoint, Listening
from ionbus.broker.tokens import Authenticate, Tokens
from ionbus.channels.lifeline import HardExit, when_input_ends
from ionbus.channels.stdio import Stdio, is_launched, take_over_stdio

if TYPE_CHECKING:
    from ionbus.broker.broker import Broker

SLACK = 2.0
"""Seconds beyond `grace` for what is not a handler: closing sockets, `lifespan`, the interpreter's own end."""


def run_broker(
    broker: Broker[Any],
    urls: Sequence[str] = (),
    *,
    authenticate: Authenticate | None = None,
    roles: AbstractSet[str] = frozenset(),
    tokens: Tokens | None = None,
    endpoint_file: str | os.PathLike[str] | None = None,
    origins: Collection[str] = (),
    hosts: Collection[str] = (),
    ssl: tls.SSLContext | None = None,
    grace: float = 5.0,
    drain: float = 0.0,
    stdio: Stdio | None = None,
) -> None:
    """What `Broker.run` says. `stdio`: descriptors that were taken over before the broker was imported."""
    urls = urls or ((STDIO,) if is_launched() else ("ws://127.0.0.1:0",))
    os.environ.pop("IONBUS_LAUNCH", None)
    token = os.environ.pop("IONBUS_TOKEN", None)
    launched = STDIO in urls  # then the token is for the pipe alone: every window is given it
    access = Access(
        authenticate=authenticate,
        token=None if launched else token,
        roles=roles,
        tokens=tokens,
        needs_token=endpoint_file is not None,
    )
    hard_exit = HardExit()

    def must_end(reason: str) -> None:
        hard_exit.start(reason, drain + grace + SLACK)

    if STDIO in urls:
        stdio = stdio or take_over_stdio()
        when_input_ends(stdio.input_fd, lambda: must_end("the parent has closed the pipe"))

    async def serve() -> None:
        async with _signals() as stop:
            listening = Listening(
                broker,
                urls,
                access=access,
                launch_token=token if launched else None,
                endpoint_file=endpoint_file,
                origins=origins,
                hosts=hosts,
                ssl=ssl,
                grace=grace,
                stdio=stdio,
            )
            async with listening as endpoints:
                _announce(endpoints, endpoint_file)
                over = asyncio.create_task(listening.input_over.wait())
                told = asyncio.create_task(stop.wait())
                stopped = asyncio.create_task(broker.stopped())
                await asyncio.wait([over, told, stopped], return_when=asyncio.FIRST_COMPLETED)
                for task in (over, told, stopped):
                    task.cancel()
                must_end("the broker was told to stop")
                if stop.is_set():
                    await broker.stop(drain=drain)

    try:
        with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
            runner.run(serve())
    finally:
        if STDIO not in urls:
            hard_exit.cancel()


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes uvloop's event loop where that is installed (`ionbus[fast]`); None: asyncio's own, or the policy's."""
    try:
        import uvloop  # noqa: PLC0415 - not everywhere
    except ImportError:
        return None
    make: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return make


@asynccontextmanager
async def _signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: dict[signal.Signals, Any] = {}
    try:
        for number in numbers:
            before[number] = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, asked)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(asked))
    except (ValueError, RuntimeError):
        before.clear()  # not on the main thread: whoever runs us stops us
    try:
        yield stop
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def _announce(endpoints: list[Endpoint], endpoint_file: str | os.PathLike[str] | None) -> None:
    """Tell people where the broker is, and the token where no file has it; on stdio there is nobody to tell."""
    for endpoint in endpoints:
        if endpoint.url != STDIO:
            token = "" if endpoint.token is None else f"  token {endpoint.token}"
            if endpoint_file is not None:
                token = f"  token in {os.fspath(endpoint_file)}"
            sys.stderr.write(f"ionbus: serving {endpoint.url}{token}\n")
            sys.stderr.flush()
