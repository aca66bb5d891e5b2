"""`ionbus dead-letters`: what could not be delivered, validated or handled at a running broker."""

from __future__ import annotations

from typing import Any

import click

from ionbus.admin import Admin, DeadLetterQuery, Letter, LetterId, Resend
from ionbus.channels.base import Opener
from ionbus.cli.output import show
from ionbus.cli.talk import connected, event_pattern, reaches_a_broker
from ionbus.client.client_session import ClientSession
from ionbus.errors import printable


@click.group("dead-letters")
def dead_letters() -> None:
    """List, inspect, send again and drop what came to nothing.

    The token has to give the role `admin`: `ionbus serve --role admin`.
    """


letter_ids = click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")


@dead_letters.command("list")
@click.option(
    "--name", "pattern", type=event_pattern, default="**", help="Of these members, as 'conductor.*'."
)
@click.option("--reason", type=click.Choice(["invalid", "failed", "undelivered"]), help="Of this reason.")
@click.option(
    "--newest", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many."
)
@reaches_a_broker
def list_letters(pattern: str, reason: Any, newest: int, opener: Opener, *, as_json: bool) -> None:
    """List dead letters, oldest first."""

    async def work(session: ClientSession) -> None:
        query = DeadLetterQuery(pattern=pattern, reason=reason, newest=newest)
        letters: list[Letter] = await session.call(Admin.dead_letters.list, query)
        for letter in letters:
            if as_json:
                show(letter.model_dump(), as_json=True)
            else:
                click.echo(_line(letter))
        if not letters and not as_json:
            click.echo("no dead letters", err=True)

    connected(work, opener, as_json=as_json)


@dead_letters.command("show")
@click.argument("letter_id", type=int, metavar="ID")
@reaches_a_broker
def show_letter(letter_id: int, opener: Opener, *, as_json: bool) -> None:
    """Show one with its payload."""

    async def work(session: ClientSession) -> None:
        whole = await session.call(Admin.dead_letters.show, LetterId(id=letter_id))
        show({**whole.letter.model_dump(), "payload": whole.payload}, as_json=as_json)

    connected(work, opener, as_json=as_json)


@dead_letters.command("resend")
@letter_ids
@click.option("--session", help="The session that takes the place of its own, which is over.")
@reaches_a_broker
def resend(ids: tuple[int, ...], session: str | None, opener: Opener, *, as_json: bool) -> None:
    """Send some again; those that work are dropped, the first that does not ends this."""

    async def work(client: ClientSession) -> None:
        for letter_id in ids:
            answer = await client.call(Admin.dead_letters.resend, Resend(id=letter_id, session=session))
            if as_json:
                show({"id": letter_id, "answer": answer}, as_json=True)
            else:
                click.echo(f"{letter_id} sent again")
                if answer is not None:
                    show(answer, as_json=False)

    connected(work, opener, as_json=as_json)


@dead_letters.command("drop")
@click.argument("ids", type=int, nargs=-1, metavar="[ID...]")
@click.option("--all", "is_all", is_flag=True, help="Drop all of them.")
@reaches_a_broker
def drop(ids: tuple[int, ...], opener: Opener, *, is_all: bool, as_json: bool) -> None:
    """Drop some, or all."""
    if bool(ids) == is_all:
        raise click.UsageError("say which: ids, or --all")

    async def work(session: ClientSession) -> None:
        if is_all:
            count = await session.call(Admin.dead_letters.clear)
        else:
            count = 0
            for letter_id in ids:
                count += await session.call(Admin.dead_letters.drop, LetterId(id=letter_id))
        if as_json:
            show({"dropped": count}, as_json=True)
        else:
            click.echo(f"{count} dropped")

    connected(work, opener, as_json=as_json)


def _line(letter: Letter) -> str:
    """One letter on one line of a terminal."""
    when = letter.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    again = f" (sent again {letter.resent}x)" if letter.resent else ""
    where = f" at {printable(letter.listener)}()" if letter.listener else ""
    name = click.style(printable(letter.name), bold=True)
    return f"{letter.id} {when} {letter.reason} {name}{where}: {printable(letter.error)}{again}"
