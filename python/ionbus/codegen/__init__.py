"""Code and documents from contracts: what `ionbus codegen` does, without its command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ionbus.codegen.asyncapi import write_asyncapi, write_text
from ionbus.codegen.json_schema import write_json_schema
from ionbus.codegen.markdown import write_markdown
from ionbus.codegen.model import CodegenError, ContractModel
from ionbus.codegen.python import write_python
from ionbus.codegen.reader import read_contract
from ionbus.codegen.source import describe, is_file
from ionbus.codegen.typescript import notice, write_typescript
from ionbus.contract.description import ContractDescription

__all__ = ["Change", "CodegenError", "Outputs", "apply", "check", "generate", "plan", "write"]


@dataclass(frozen=True)
class Outputs:
    """Where what is generated goes; None for what is not asked for.

    Args:
        typescript: the folder of types, members and errors.
        python: the folder of models and contract classes, from files only.
        json_schema: the folder of one JSON Schema document a contract.
        markdown: the folder of one reference page a contract.
        asyncapi: the file of one contract's AsyncAPI document, ending in .yaml, .yml or .json.
    """

    typescript: Path | None = None
    python: Path | None = None
    json_schema: Path | None = None
    markdown: Path | None = None
    asyncapi: Path | None = None


@dataclass(frozen=True)
class _Sourced:
    """A contract, the source that it is from, and its model."""

    source: str
    contract: ContractDescription
    model: ContractModel


@dataclass(frozen=True)
class Change:
    """A file that is not as it would be generated.

    Args:
        path: where it is.
        old: what is on disk; None where there is no such file.
        new: what would be generated; None where nothing generates it any more.
        name: what a diff calls it.
    """

    path: Path
    old: str | None
    new: str | None
    name: str

    def diff(self) -> str:
        """Give the unified diff from what is on disk to what would be generated."""
        return "".join(
            difflib.unified_diff(
                (self.old or "").splitlines(keepends=True),
                (self.new or "").splitlines(keepends=True),
                f"{self.name} (on disk)",
                f"{self.name} (generated)",
            )
        )


def plan(sources: Sequence[str], outputs: Outputs) -> list[Change]:
    """Find what has to change on disk, and change nothing.

    Args:
        sources: each a module ("myapp.contracts"), one contract in it ("myapp.contracts:Conductor"), or an AsyncAPI
            file ("schemas/conductor.asyncapi.yaml").
        outputs: where what is generated goes.

    Returns:
        The files that are stale, missing or left over from an earlier run of the same command, by path.

    Raises:
        CodegenError: a source has no contract, or something in it cannot be expressed; the message says what to do.
    """
    contracts = list(_contracts(sources))
    fresh: dict[Path, str] = {}
    left_over: set[Path] = set()
    for option, directory in (
        ("typescript", outputs.typescript),
        ("python", outputs.python),
        ("json-schema", outputs.json_schema),
        ("markdown", outputs.markdown),
    ):
        if directory is not None:
            texts = _texts(option, contracts, sources)
            fresh.update({directory / name: text for name, text in texts.items()})
            left_over |= _generated_in(directory, option, sources)
    if outputs.asyncapi is not None:
        if len(contracts) != 1:
            names = ", ".join(each.contract.name for each in contracts)
            raise CodegenError(
                f"--asyncapi: a document holds one contract, and there are {names}; name one of them"
            )
        fresh[outputs.asyncapi] = write_text(
            write_asyncapi(contracts[0].contract), outputs.asyncapi, _head("asyncapi", sources, "FILE")
        )
    changes = []
    for path in sorted({*fresh, *left_over}):
        old = path.read_text(encoding="utf-8") if path.exists() else None
        if old != fresh.get(path):
            changes.append(Change(path, old, fresh.get(path), path.name))
    return changes


def apply(changes: Sequence[Change]) -> None:
    """Write the files that a plan names, and remove those that nothing generates any more.

    Raises:
        CodegenError: one cannot be written; those before it were.
    """
    for change in changes:
        try:
            if change.new is None:
                change.path.unlink()
            else:
                change.path.parent.mkdir(parents=True, exist_ok=True)
                change.path.write_text(change.new, encoding="utf-8", newline="\n")
        except OSError as error:
            why = f"it cannot be written: {error.strerror}; name a folder that is yours to write to"
            raise CodegenError(f"{change.path}: {why}") from error


def generate(sources: Sequence[str]) -> dict[str, str]:
    """Make the TypeScript of every contract in the sources.

    Args:
        sources: as for `plan`.

    Returns:
        Texts by file name, the same to the byte for the same contracts.

    Raises:
        CodegenError: as for `plan`.
    """
    return _texts("typescript", list(_contracts(sources)), sources)


def check(sources: Sequence[str], directory: Path) -> dict[str, str]:
    """Compare the TypeScript that is on disk with what would be generated.

    Args:
        sources: as for `plan`.
        directory: where the generated files are.

    Returns:
        A unified diff for each stale, missing or left-over file, by its name; empty where all is well.

    Raises:
        CodegenError: as for `plan`.
    """
    return {change.name: change.diff() for change in plan(sources, Outputs(typescript=directory))}


def write(sources: Sequence[str], directory: Path) -> list[str]:
    """Bring the TypeScript of a directory up to date, and leave the other files alone.

    Args:
        sources: as for `plan`.
        directory: made where it is missing.

    Returns:
        The names of the files that were written or, where nothing generates them any more, removed.

    Raises:
        CodegenError: as for `plan`; then nothing was written.
    """
    changes = plan(sources, Outputs(typescript=directory))
    apply(changes)
    return [change.name for change in changes]


def _contracts(sources: Sequence[str]) -> Iterator[_Sourced]:
    seen: dict[str, str] = {}
    for source in sources:
        for contract in describe(source):
            other = seen.setdefault(contract.name, contract.fingerprint)
            if other != contract.fingerprint:
                raise CodegenError(
                    f"{source}: another source has a contract {contract.name!r} too; rename one"
                )
            yield _Sourced(source, contract, read_contract(contract))


def _texts(option: str, contracts: Sequence[_Sourced], sources: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for each in contracts:
        for name, text in _write(option, each, sources).items():
            if texts.setdefault(name, text) != text:
                raise CodegenError(
                    f"{each.source}: another source has a contract {each.contract.name!r} too; rename one"
                )
    return texts


def _write(option: str, sourced: _Sourced, sources: Sequence[str]) -> Mapping[str, str]:
    head = _head(option, sources)
    match option:
        case "typescript":
            return write_typescript(sourced.model, _command(option, sources))
        case "python":
            if not is_file(sourced.source):
                raise CodegenError(
                    f"{sourced.source}: --python takes AsyncAPI files; this contract is in Python already"
                )
            return write_python(sourced.contract, head)
        case "json-schema":
            return write_json_schema(sourced.contract, head)
        case _:
            return write_markdown(sourced.model, sourced.contract, head)


def _command(option: str, sources: Sequence[str], target: str = "DIR") -> str:
    return f"ionbus codegen {' '.join(sources)} --{option} {target}"


def _head(option: str, sources: Sequence[str], target: str = "DIR") -> str:
    return f"Generated by `{_command(option, sources, target)}`; do not edit."


def _generated_in(directory: Path, option: str, sources: Sequence[str]) -> set[Path]:
    """The files in a directory that an earlier run of the same command made."""
    head = _head(option, sources)
    beginning, ending = {
        "typescript": (notice(_command(option, sources)), "ts"),
        "python": (f"# {head}", "py"),
        "json-schema": (f'{{\n  "$comment": "{head}"', "json"),
        "markdown": (f"<!-- {head} -->", "md"),
    }[option]
    if not directory.is_dir():
        return set()
    return {
        path
        for path in directory.glob(f"*.{ending}")
        if path.read_text(encoding="utf-8").startswith(beginning)
    }
