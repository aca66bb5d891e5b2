"""`ionbus serve --reload`: a parent that starts the broker anew with each change of the code.

On WebSocket the port and the token stay. On stdio this process keeps the pipe, and passes its records on to whichever
broker runs: each change is a new epoch, and the channels that the old broker carried are closed, not over.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from ionbus.channels.file_watch import changes
from ionbus.channels.lifeline import LIFELINE, end_with_reader
from ionbus.channels.stdio import take_over_stdio
from ionbus.cli.relay import Relay

RESTART_SECONDS = 10.0
"""How long a broker may take to end; longer than its own grace."""


def reload_broker(
    target: str,
    addresses: Sequence[str],
    origins: Sequence[str],
    grace: float,
    more: Sequence[str] = (),
    *,
    is_stdio: bool,
) -> int:
    """Run the broker until a signal or the end of the pipe; gives the exit status. `more`: options that it is given as well."""
    if is_stdio and addresses:
        raise click.UsageError("--reload takes --ws or --stdio, not both")
    command = [sys.executable, "-m", "ionbus.cli", "serve", target, "--grace", str(grace)]
    for origin in origins:
        command += ["--origin", origin]
    command += more
    if is_stdio:
        return asyncio.run(_reload_stdio([*command, "--stdio"], grace))
    for address in addresses or ("127.0.0.1:0",):
        command += ["--ws", _with_port(address)]
    os.environ.setdefault("IONBUS_TOKEN", secrets.token_urlsafe(32))
    return asyncio.run(_reload_websocket(command, grace))


async def _reload_websocket(command: Sequence[str], grace: float) -> int:
    with _lifeline() as options:
        async with _wishes() as wishes:
            while wishes.for_a_broker():
                broker = await asyncio.create_subprocess_exec(*command, **options)
                await wishes.for_its_end()
                await _end(broker, grace)
    return 0


async def _reload_stdio(command: Sequence[str], grace: float) -> int:
    stdio = take_over_stdio()
    end_with_reader(stdio.output_fd, 0.0)  # the broker needs the second that its own end may take
    env = {**os.environ, "IONBUS_LAUNCH": "stdio"}
    async with _wishes() as wishes:
        relay = Relay(wishes.stop)
        await relay.open(stdio)
        while wishes.for_a_broker():
            broker = await asyncio.create_subprocess_exec(
                *command, env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            passing = asyncio.create_task(relay.serve(broker))
            await wishes.for_its_end()
            if not relay.has_ended:
                relay.leave("the broker is started anew")
            await _end(broker, grace, relay)
            await passing
        await relay.close()
    return 0


class _Wishes:
    """What ends one broker, and what ends all: changes of the code, signals, the end of the pipe."""

    def __init__(self) -> None:
        self._is_over = False
        self._happened = asyncio.Event()

    def stop(self) -> None:
        """There shall be no other broker."""
        self._is_over = True
        self._happened.set()

    async def watch(self) -> None:
        """Wait for changes of Python files below this folder."""
        async for names in changes([Path.cwd()]):
            click.echo(f"ionbus: {names} changed; the broker is started anew", err=True)
            self._happened.set()

    def for_a_broker(self) -> bool:
        """Whether there shall be another."""
        self._happened.clear()
        return not self._is_over

    async def for_its_end(self) -> None:
        """Wait until the one that runs shall end."""
        await self._happened.wait()


@asynccontextmanager
async def _wishes() -> AsyncIterator[_Wishes]:
    wishes = _Wishes()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, wishes.stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(wishes.stop))
    watching = asyncio.create_task(wishes.watch())
    try:
        yield wishes
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@contextmanager
def _lifeline() -> Iterator[dict[str, Any]]:  # what create_subprocess_exec takes
    """The options for a child process that ends when this one does, however that happens."""
    if sys.platform == "win32":
        yield {"env": os.environ}
        return
    theirs, ours = os.pipe()
    try:
        yield {"env": {**os.environ, LIFELINE: str(theirs)}, "pass_fds": (theirs,)}
    finally:
        os.close(theirs)
        os.close(ours)


async def _end(broker: asyncio.subprocess.Process, grace: float, relay: Relay | None = None) -> None:
    """Ask the broker to stop, and see to it that it does."""
    try:
        async with asyncio.timeout(grace + RESTART_SECONDS):
            if relay is not None and relay.has_ended:
                await relay.say_eof()  # behind all that the parent wrote
            else:
                with suppress(ProcessLookupError):
                    broker.terminate()
            await broker.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            broker.kill()
    await broker.wait()


def _with_port(address: str) -> str:
    """The address with a free port in place of 0, so that it stays the same over all starts."""
    host, _, port = address.rpartition(":")
    if port != "0":
        return address
    bare = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET) as probe:
        probe.bind((bare, 0))
        return f"{host}:{probe.getsockname()[1]}"
