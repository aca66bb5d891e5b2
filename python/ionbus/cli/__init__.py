"""The command line: `ionbus`. Exit status 0: done, 1: the operation failed, 2: wrong usage."""

from __future__ import annotations

import click

from ionbus.cli.codegen import codegen
from ionbus.cli.dead_letters import dead_letters
from ionbus.cli.doctor import doctor
from ionbus.cli.observe import health, metrics, subscriptions
from ionbus.cli.schema import schema
from ionbus.cli.serve import serve
from ionbus.cli.talk import call, emit, stream, tap
from ionbus.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="ionbus")
def main() -> None:
    """Typed events, calls and streams between a Python process and an Electron window or a browser page."""


for command in (
    serve,
    codegen,
    schema,
    call,
    emit,
    tap,
    stream,
    dead_letters,
    health,
    metrics,
    subscriptions,
    doctor,
):
    main.add_command(command)
