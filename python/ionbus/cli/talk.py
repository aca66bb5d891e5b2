"""`ionbus call`, `emit`, `tap`, `stream`: talk to a running broker by name, without its contract."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from math import nan
from typing import Any

import click

from ionbus.channels.base import Opener
from ionbus.channels.websocket_client import endpoint_file_opener, websocket_opener
from ionbus.cli.output import fail, show, show_event
from ionbus.client.client_session import ClientSession
from ionbus.contract.names import MAX_NAME_BYTES
from ionbus.contract.payload import decode_any
from ionbus.dispatch.reader import StreamReader
from ionbus.errors import IonbusError
from ionbus.events.filters import FilterProblem
from ionbus.events.options import aggregation
from ionbus.events.patterns import pattern_problem
from ionbus.generated.protocol import Limits
from ionbus.version import AGENT
from ionbus.wire import values
from ionbus.wire.messages import encode_event


def broker_url(text: str) -> str:
    """An option that is a broker's address."""
    try:
        websocket_opener(text, None)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return text


def seconds(text: str | float) -> float:
    """An option that is a time."""
    try:
        time = float(text)
    except ValueError:
        time = nan
    if not time >= 0:
        raise click.BadParameter(f"{text!r} is not a time; give seconds")
    return time


def reaches_a_broker(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which broker, and how to print; the command is given an opener for the former."""
    options = (
        click.option(
            "--url", envvar="IONBUS_URL", type=broker_url, help="Where the broker is; else IONBUS_URL."
        ),
        click.option(
            "--token",
            envvar="IONBUS_TOKEN",
            help="Who you are; else IONBUS_TOKEN, which other users of this machine do not see.",
        ),
        click.option(
            "--endpoint-file",
            envvar="IONBUS_ENDPOINT_FILE",
            type=click.Path(),
            help="The file that a broker has written both into; else IONBUS_ENDPOINT_FILE.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON lines."),
    )

    @wraps(command)
    def reach(*, url: str | None, token: str | None, endpoint_file: str | None, **arguments: Any) -> None:
        opener: Opener
        if url is not None:
            opener = websocket_opener(url, token)
        elif endpoint_file is not None:
            opener = endpoint_file_opener(endpoint_file, token)
        else:
            raise click.UsageError("say which broker: --url and --token, or --endpoint-file")
        command(opener=opener, **arguments)

    for option in reversed(options):
        reach = option(reach)
    return reach


def json_value(text: str) -> object:
    """An argument that is JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        raise click.BadParameter("it is nested too deeply") from None
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no JSON: {error}") from error


def full_name(text: str) -> str:
    """An argument that is a member's name."""
    if not 0 < len(text.encode(errors="replace")) <= MAX_NAME_BYTES:
        raise click.BadParameter(f"a name has 1 to {MAX_NAME_BYTES} bytes, as hello.greet")
    return text


def event_pattern(text: str) -> str:
    """An argument that is a pattern of names."""
    problem = pattern_problem(text)
    if problem is not None:
        raise click.BadParameter(problem)
    return text


name_argument = click.argument("name", type=full_name, metavar="NAME")
payload_argument = click.argument("payload", type=json_value, required=False, metavar="[JSON]")


@click.command()
@name_argument
@payload_argument
@click.option(
    "--timeout",
    default=30.0,
    type=seconds,
    metavar="SECONDS",
    show_default=True,
    help="Seconds to wait for the answer.",
)
@reaches_a_broker
def call(name: str, payload: object, timeout: float, opener: Opener, *, as_json: bool) -> None:
    """Call NAME and print its result."""

    async def work(session: ClientSession) -> None:
        requests = session.peer.requests
        answer = await requests.call(name, values.encode(payload), timeout, (), is_idempotent=False)
        show(decode_any(answer, name), as_json=as_json)

    connected(work, opener, as_json=as_json)


@click.command()
@name_argument
@payload_argument
@reaches_a_broker
def emit(name: str, payload: object, opener: Opener, *, as_json: bool) -> None:
    """Publish the event NAME, as a client may."""

    async def work(session: ClientSession) -> None:
        refused: list[IonbusError] = []
        session.error_watchers.add(refused.append)
        data = values.encode(payload)
        await session.peer.emit(encode_event(name, data), len(data), "session")
        # The answer to a subscription comes after the refusal of an event that was sent before it.
        await session.on("ionbus.nothing.*", lambda _: None).confirmed()
        if refused:
            raise refused[0]

    connected(work, opener, as_json=as_json)


@click.command()
@click.argument("pattern", type=event_pattern, metavar="PATTERN")
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@click.option(
    "--every", type=seconds, metavar="SECONDS", help="At most one event in so many seconds, the newest."
)
@click.option(
    "--latest-by", multiple=True, metavar="FIELD", help="With --every: the newest of each value of FIELD."
)
@click.option(
    "--batch",
    type=(int, seconds),
    metavar="COUNT SECONDS",
    help="So many events at a time, or what there is after that.",
)
@click.option(
    "--where", metavar="FILTER", help="Only events that pass, as 'percent >= 50 and state in [\"done\"]'."
)
@click.option("--distinct", is_flag=True, help="No event that is the same as the one before.")
@reaches_a_broker
def tap(pattern: str, count: int | None, opener: Opener, *, as_json: bool, **some: Any) -> None:
    """Print the events that match PATTERN, as 'conductor.*' or 'conductor.**', until interrupted.

    What is asked for by the options is done by the broker: the rest does not travel.
    """
    asked = {
        option: value
        for option, value in some.items()
        if value is not None and value != () and value is not False
    }
    if "latest_by" in asked:
        asked["latest_by"] = ["" if field == "." else field for field in asked["latest_by"]]
    try:
        aggregation(**asked)
    except FilterProblem as problem:
        raise click.UsageError(str(problem)) from None

    async def work(session: ClientSession) -> None:
        left = count
        session.error_watchers.add(lambda _: None)  # entering the events raises what is refused
        async with session.events(pattern, **asked) as given:
            if not as_json:
                click.echo(f"listening to {pattern}", err=True)
            async for events in given:
                for event in events if isinstance(events, list) else [events]:
                    show_event(event.name, event.payload, as_json=as_json)
                    if left is not None:
                        left -= 1
                        if not left:
                            return

    connected(work, opener, as_json=as_json)


@click.command()
@name_argument
@payload_argument
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many items.")
@reaches_a_broker
def stream(name: str, payload: object, count: int | None, opener: Opener, *, as_json: bool) -> None:
    """Read the stream NAME and print each item."""

    async def work(session: ClientSession) -> None:
        left = count
        reader: StreamReader[object] = StreamReader(
            session.peer, name, values.encode(payload), None, None, ()
        )
        async with reader as items:
            async for item in items:
                show(item, as_json=as_json)
                if left is not None:
                    left -= 1
                    if not left:
                        return

    connected(work, opener, as_json=as_json)


def connected(
    work: Callable[[ClientSession], Coroutine[Any, Any, None]], opener: Opener, *, as_json: bool
) -> None:
    """Do something as a client of a broker; print why it failed, where it does."""

    async def run() -> None:
        async with _connected(opener) as session:
            await work(session)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass
    except (IonbusError, ValueError) as error:
        fail(error, as_json=as_json)


@asynccontextmanager
async def _connected(opener: Opener) -> AsyncIterator[ClientSession]:
    session = ClientSession(opener, contracts=(), limits=Limits(), agent=AGENT, may_renew_token=False)
    try:
        await session.start(wait=True)
        yield session
    finally:
        await session.close()
