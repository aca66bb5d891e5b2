"""`ionbus codegen`: TypeScript from contracts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ionbus.codegen import CodegenError, check as check_files, write


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--typescript",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the .ts files go.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail where a file is stale, and show how.")
def codegen(sources: tuple[str, ...], directory: Path, *, check: bool) -> None:
    """Generate TypeScript from contracts.

    SOURCE is a module, as myapp.contracts, or one contract in it, as myapp.contracts:Conductor.
    """
    try:
        if check:
            stale = check_files(sources, directory)
            for diff in stale.values():
                click.echo(diff, nl=False)
            if stale:
                again = f"ionbus codegen {' '.join(sources)} --typescript {directory}"
                click.echo(f"stale: {', '.join(stale)}; run `{again}`", err=True)
                sys.exit(1)
            return
        for name in write(sources, directory):
            click.echo(directory / name)
    except (CodegenError, OSError) as error:
        raise click.ClickException(str(error)) from error
