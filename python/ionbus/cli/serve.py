"""`ionbus serve`: run a broker."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

import click

from ionbus.broker.endpoints import STDIO
from ionbus.channels.lifeline import end_with_lifeline
from ionbus.channels.stdio import Stdio, is_launched, take_over_stdio

MAX_PORT = 65_535


def address(text: str) -> str:
    """An option that is HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        raise click.BadParameter(f"{text!r} is not HOST:PORT, as 127.0.0.1:8765; port 0 takes a free one")
    return text


@click.command()
@click.argument("target", metavar="MODULE:BROKER")
@click.option(
    "--ws",
    "addresses",
    multiple=True,
    type=address,
    metavar="HOST:PORT",
    help="Serve WebSocket; port 0 takes a free one.",
)
@click.option("--stdio", is_flag=True, help="Serve the program that started this one, over its pipe.")
@click.option("--origin", "origins", multiple=True, help="A page's origin that may connect besides our own.")
@click.option("--role", "roles", multiple=True, help="What the token gives.")
@click.option(
    "--endpoint-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write URL and token there, for you alone to read, instead of printing the token.",
)
@click.option("--reload", is_flag=True, help="Start anew when a Python file below this folder changes.")
@click.option(
    "--grace",
    default=5.0,
    type=click.FloatRange(min=0),
    show_default=True,
    help="Seconds that handlers have to end.",
)
@click.option(
    "--drain",
    default=0.0,
    type=click.FloatRange(min=0),
    show_default=True,
    help="Seconds that requests under way may go on after SIGTERM or SIGINT; a second signal ends them.",
)
def serve(
    target: str,
    addresses: tuple[str, ...],
    origins: tuple[str, ...],
    roles: tuple[str, ...],
    endpoint_file: Path | None,
    grace: float,
    drain: float,
    *,
    stdio: bool,
    reload: bool,
) -> None:
    """Serve the broker in MODULE:BROKER, as myapp:broker.

    Without --ws and --stdio: stdio where launchBroker or connect(stdio=...) started it, else ws://127.0.0.1:0. The URL
    and the token are printed; IONBUS_TOKEN sets the token.
    """
    from ionbus.broker.broker import FROM_LIFESPAN  # noqa: PLC0415 - the other commands start faster without it
    from ionbus.broker.running import run_broker  # noqa: PLC0415 - as above

    is_stdio = stdio or (is_launched() and not addresses)
    if reload:
        if drain:
            raise click.UsageError("--drain is for a broker that stops for good; leave it out with --reload")
        from ionbus.cli.reload import reload_broker  # noqa: PLC0415 - as above

        kept = [word for role in roles for word in ("--role", role)]
        kept += [] if endpoint_file is None else ["--endpoint-file", str(endpoint_file)]
        sys.exit(reload_broker(target, addresses, origins, grace, kept, is_stdio=is_stdio))
    end_with_lifeline()
    taken: Stdio | None = (
        take_over_stdio() if is_stdio else None
    )  # before the application's modules can print
    broker = load_broker(target)
    urls = [*(f"ws://{address}" for address in addresses), *((STDIO,) if is_stdio else ())]
    try:
        run_broker(
            broker,
            urls,
            roles=frozenset(roles),
            endpoint_file=endpoint_file,
            origins=origins,
            grace=grace,
            drain=drain,
            stdio=taken,
        )
    except (TypeError, ValueError, OSError) as error:
        if FROM_LIFESPAN in getattr(error, "__notes__", ()):
            raise  # the application's own, with its traceback
        raise click.ClickException(str(error)) from error


def load_broker(target: str) -> Any:
    """The broker that MODULE:BROKER means; a function that makes one is called."""
    from ionbus.broker.broker import Broker  # noqa: PLC0415 - as above

    name, colon, attribute = target.partition(":")
    if not colon or not all(step.isidentifier() for step in (*name.split("."), *attribute.split("."))):
        raise click.UsageError(f"{target!r} is not MODULE:BROKER, as myapp:broker")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise click.ClickException(
                f"there is no module {error.name!r} here; run from the folder that holds it"
            ) from error
        raise
    for step in attribute.split("."):
        found = getattr(found, step, None)
    if inspect.isfunction(found):
        found = found()
    if not isinstance(found, Broker):
        raise click.ClickException(f"{attribute!r} in {name} is no Broker")
    return found
