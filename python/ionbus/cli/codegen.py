"""`ionbus codegen`: code and documents from contracts."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ionbus.codegen import Change, CodegenError, Outputs, apply, plan
from ionbus.codegen.watch import watch as watch_sources

_Command = TypeVar("_Command", bound=Callable[..., object])


def _folder(name: str, help_text: str) -> Callable[[_Command], _Command]:
    kind: click.Path = click.Path(file_okay=False, path_type=Path)
    return click.option(name, metavar="DIR", type=kind, help=help_text)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@_folder("--typescript", "TypeScript: types, members and error classes.")
@_folder("--python", "Python, from AsyncAPI files: pydantic models and contract classes.")
@_folder("--json-schema", "One JSON Schema document a contract.")
@_folder("--markdown", "One reference page a contract.")
@click.option(
    "--asyncapi",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The AsyncAPI 3.0 document of one contract; .yaml, .yml or .json.",
)
@click.option("--check", is_flag=True, help="Write nothing; show what is stale, and exit with 1.")
@click.option("--dry-run", is_flag=True, help="Write nothing; say which files would be written.")
@click.option("--watch", is_flag=True, help="Do it again after each change of a source, until Ctrl-C.")
def codegen(
    sources: tuple[str, ...],
    typescript: Path | None,
    python: Path | None,
    json_schema: Path | None,
    markdown: Path | None,
    asyncapi: Path | None,
    *,
    check: bool,
    dry_run: bool,
    watch: bool,
) -> None:
    """Generate code and documents from contracts.

    SOURCE is a module, as myapp.contracts, one contract in it, as myapp.contracts:Conductor, or an AsyncAPI 3.0
    file, as schemas/conductor.asyncapi.yaml. Files that are not generated stay as they are; those that an earlier
    run of the same command made and nothing makes any more are removed.
    """
    outputs = Outputs(typescript, python, json_schema, markdown, asyncapi)
    if outputs == Outputs():
        raise click.UsageError(
            "say what to make: --typescript, --python, --json-schema, --markdown (a folder each) or --asyncapi (a file)"
        )
    if check and dry_run:
        raise click.UsageError("--check and --dry-run both write nothing; take one")

    def run() -> bool:
        changes = plan(sources, outputs)
        if check:
            return _show(changes)
        for change in changes:
            click.echo(_told(change, is_planned=dry_run))
        if not dry_run:
            apply(changes)
        return True

    def run_again() -> None:
        try:
            run()
        except CodegenError as error:
            click.echo(f"Error: {error}", err=True)
        except Exception:  # noqa: BLE001 - whatever importing a half-written module raises: it will be mended
            click.echo(traceback.format_exc(limit=-3), err=True, nl=False)

    try:
        if watch:
            watch_sources(sources, run_again)
        elif not run():
            sys.exit(1)
    except CodegenError as error:
        raise click.ClickException(str(error)) from error


def _show(changes: list[Change]) -> bool:
    """Print what is stale; gives whether nothing is."""
    for change in changes:
        click.echo(change.diff(), nl=False)
    if changes:
        names = ", ".join(str(change.path) for change in changes)
        click.echo(f"stale: {names}; run the same command without --check", err=True)
    return not changes


def _told(change: Change, *, is_planned: bool) -> str:
    removed = change.new is None
    if is_planned:
        return f"would {'remove' if removed else 'write'} {change.path}"
    return f"{'removed ' if removed else ''}{change.path}"
