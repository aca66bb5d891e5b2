"""`ionbus health`, `metrics` and `subscriptions`: how a running broker stands, and who listens to what."""

from __future__ import annotations

import sys

import click
from pydantic import TypeAdapter

from ionbus.admin import Admin
from ionbus.channels.base import Opener
from ionbus.cli.output import show
from ionbus.cli.talk import connected, reaches_a_broker
from ionbus.client.client_session import ClientSession
from ionbus.errors import printable
from ionbus.observe.health import Health
from ionbus.observe.metrics import Distribution, Metrics, Number


@click.command()
@reaches_a_broker
def health(opener: Opener, *, as_json: bool) -> None:
    """Say what is wrong with a broker; exit with status 1 where something is.

    The token has to give the role `admin`. Most of what is looked at is counted by `Broker(..., metrics=True)` alone.
    """
    found: list[Health] = []

    async def work(session: ClientSession) -> None:
        found.append(await session.call(Admin.health))

    connected(work, opener, as_json=as_json)
    if not found:  # interrupted
        return
    report = found[0]
    if as_json:
        show(TypeAdapter(Health).dump_python(report), as_json=True)
    elif report.problems:
        for problem in report.problems:
            click.echo(
                f"{click.style(problem.kind, fg='red', bold=True)}: {printable(problem.sentence, 4_000)}"
            )
    else:
        click.echo(report.summary)
    sys.exit(0 if report.is_well else 1)


@click.command()
@click.option(
    "--name", "part", default="", metavar="TEXT", help="Of these metrics alone: a part of their names."
)
@reaches_a_broker
def metrics(part: str, opener: Opener, *, as_json: bool) -> None:
    """Print what a broker has counted. The token has to give the role `admin`."""

    async def work(session: ClientSession) -> None:
        told: Metrics = await session.call(Admin.metrics)
        every: list[Number | Distribution] = [*told.numbers, *told.distributions]
        for each in every:
            if part not in each.name:
                continue
            if as_json:
                show(TypeAdapter(type(each)).dump_python(each), as_json=True)
            else:
                click.echo(_line(each))

    connected(work, opener, as_json=as_json)


@click.command()
@reaches_a_broker
def subscriptions(opener: Opener, *, as_json: bool) -> None:
    """List which clients listen to what. The token has to give the role `admin`."""

    async def work(session: ClientSession) -> None:
        for each in await session.call(Admin.subscriptions):
            if as_json:
                show(each.model_dump(), as_json=True)
                continue
            since = each.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            whose = f" {printable(each.principal)}" if each.principal else ""
            options = "".join(f" {name}={value}" for name, value in each.options.items())
            pattern = click.style(printable(each.pattern), bold=True)
            click.echo(f"{since} {each.session[:8]}{whose} {pattern}{printable(options)}")

    connected(work, opener, as_json=as_json)


def _line(metric: Number | Distribution) -> str:
    labels = " ".join(f"{name}={printable(value)}" for name, value in metric.labels.items())
    head = f"{click.style(metric.name, bold=True)} {labels}".rstrip()
    if isinstance(metric, Number):
        return f"{head} {metric.value:,g}"
    return f"{head} count={metric.count} p50={metric.p50:.3g} p90={metric.p90:.3g} p99={metric.p99:.3g}"
