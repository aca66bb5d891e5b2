"""`ionbus schema`: what changed between two contracts, what will hurt later, and a file to compare with."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ionbus.codegen import CodegenError
from ionbus.codegen.asyncapi import FILE_ENDINGS, parse
from ionbus.codegen.source import load, load_file
from ionbus.contract.evolution import Change, Incomparable, compare
from ionbus.contract.fingerprint import describe
from ionbus.contract.lint import Pain, lint as find

Described = dict[str, tuple[str, Mapping[str, Any]]]
"""Version and canonical description of each contract, by its name."""

_WHO = {"client": "clients send", "broker": "the broker sends"}

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def schema() -> None:
    """Compare contracts, check them, and keep what they were.

    SOURCE, OLD and NEW are each a module, as myapp.contracts, one contract in it, as myapp.contracts:Conductor, or a
    file: an AsyncAPI document, or what `ionbus schema dump` wrote.
    """


@schema.command()
@click.argument("old")
@click.argument("new")
@as_json_option
def diff(old: str, new: str, *, as_json: bool) -> None:
    """Name each change from OLD, what clients were built with, to NEW, what the broker serves.

    Exit status 1: at least one change breaks old clients. The rules: docs/evolution.md.
    """
    before, after = _read(old), _read(new)
    found: list[Change] = []
    lines: list[str] = []
    for name in sorted({*before, *after}):
        if name not in after:
            lines.append(f"breaking    {name}: the contract is removed")
        elif name not in before:
            lines.append(f"compatible  {name}: the contract is added")
        else:
            try:
                found += compare(before[name][1], after[name][1])
            except Incomparable as error:
                raise click.ClickException(f"{name}: {error}") from error
    removed, added = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    if as_json:
        told = {"removed": removed, "added": added, "changes": [_as_data(change) for change in found]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for change in found:
            verdict = "breaking  " if change.is_breaking else "compatible"
            lines.append(f"{verdict}  {change} [{_WHO[change.flow]}]")
        for line in lines or ["no changes"]:
            click.echo(line)
    if removed or any(change.is_breaking for change in found):
        sys.exit(1)


@schema.command()
@click.argument("source")
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    type=click.Choice([str(pain) for pain in Pain]),
    help="A kind of finding that is accepted; may be repeated.",
)
@as_json_option
def lint(source: str, ignored: Sequence[str], *, as_json: bool) -> None:
    """Point out what in SOURCE will hurt later: place, problem and remedy.

    Exit status 1: there are findings.
    """
    findings = [
        finding
        for _, description in _read(source).values()
        for finding in find(description)
        if finding.pain not in ignored
    ]
    if as_json:
        told = [
            {"finding": each.pain, "place": each.place, "problem": each.problem, "remedy": each.remedy}
            for each in findings
        ]
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(finding)
        click.echo(f"{len(findings)} finding{'' if len(findings) == 1 else 's'}", err=True)
    if findings:
        sys.exit(1)


@schema.command()
@click.argument("source")
def dump(source: str) -> None:
    """Print what the two sides of SOURCE agree on, as a file to compare later contracts with."""
    contracts = [
        {"version": version, "description": description} for version, description in _read(source).values()
    ]
    click.echo(json.dumps({"contracts": contracts}, indent=2, sort_keys=True, ensure_ascii=False))


def _read(source: str) -> Described:
    path = Path(source)
    try:
        if path.suffix in FILE_ENDINGS:
            return _read_file(path)
        return {info.name: (info.version, describe(info)) for info in load(source)}
    except CodegenError as error:
        raise click.ClickException(str(error)) from error


def _read_file(path: Path) -> Described:
    document = parse(path)
    if "contracts" not in document:
        contract = load_file(path)
        return {contract.name: (contract.version, contract.canonical())}
    try:
        contracts = document["contracts"]
        return {each["description"]["name"]: (each["version"], each["description"]) for each in contracts}
    except (KeyError, TypeError) as error:
        raise click.ClickException(f"{path}: `ionbus schema dump` did not write this ({error!r})") from error


def _as_data(change: Change) -> dict[str, object]:
    return {
        "contract": change.contract,
        "member": change.member,
        "path": change.path,
        "who": _WHO[change.flow],
        "change": change.rule,
        "breaking": change.is_breaking,
        "detail": change.detail,
    }
