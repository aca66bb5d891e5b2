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
from collections.abc import Sequence
from pathlib import Path

import click

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
    try:
        import watchfiles  # noqa: F401, PLC0415 - an extra: not everybody needs it
    except ImportError:
        raise click.ClickException("--reload needs watchfiles: pip install 'ionbus[reload]'") from None
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
    stop = _stop_event()
    while not stop.is_set():
        broker = await asyncio.create_subprocess_exec(*command, env=os.environ)
        await _changed_or(stop)
        await _end(broker, grace)
    return 0


async def _reload_stdio(command: Sequence[str], grace: float) -> int:
    stop = _stop_event()
    stdio = take_over_stdio()
    env = {**os.environ, "IONBUS_LAUNCH": "stdio"}
    relay = Relay(stop.set)
    await relay.open(stdio)
    while not stop.is_set():
        broker = await asyncio.create_subprocess_exec(
            *command, env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        passing = asyncio.create_task(relay.serve(broker))
        await _changed_or(stop)
        relay.leave("the broker is started anew")
        await _end(broker, grace)
        await passing
    await relay.close()
    return 0


async def _changed_or(stop: asyncio.Event) -> None:
    """Wait for a change of a Python file below this folder, or for `stop`."""
    import watchfiles  # noqa: PLC0415 - as above

    async for changes in watchfiles.awatch(
        Path.cwd(), watch_filter=watchfiles.PythonFilter(), stop_event=stop, raise_interrupt=False
    ):
        names = ", ".join(sorted({Path(path).name for _, path in changes}))
        click.echo(f"ionbus: {names} changed; the broker is started anew", err=True)
        return


async def _end(broker: asyncio.subprocess.Process, grace: float) -> None:
    """Ask the broker to stop, and see to it that it does."""
    if broker.returncode is None:
        try:
            broker.terminate()
            async with asyncio.timeout(grace + RESTART_SECONDS):
                await broker.wait()
        except ProcessLookupError:
            pass
        except TimeoutError:
            broker.kill()
    await broker.wait()


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _with_port(address: str) -> str:
    """The address with a free port in place of 0, so that it stays the same over all starts."""
    host, _, port = address.rpartition(":")
    if port != "0":
        return address
    bare = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET) as probe:
        probe.bind((bare, 0))
        return f"{host}:{probe.getsockname()[1]}"
