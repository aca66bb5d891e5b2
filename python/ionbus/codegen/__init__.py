"""Code from contracts: what `ionbus codegen` does, without its command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from ionbus.codegen.model import CodegenError
from ionbus.codegen.reader import read_contract
from ionbus.codegen.source import load
from ionbus.codegen.typescript import notice, write_typescript

__all__ = ["CodegenError", "check", "generate", "write"]


def generate(sources: Sequence[str]) -> dict[str, str]:
    """Make the TypeScript of every contract in the sources.

    Args:
        sources: each a module ("myapp.contracts") or one contract in it ("myapp.contracts:Conductor").

    Returns:
        Texts by file name, the same to the byte for the same contracts.

    Raises:
        CodegenError: a source has no contract, or a type in it cannot be expressed.
    """
    command = _command(sources)
    files: dict[str, str] = {}
    for source in sources:
        for contract in load(source):
            for name, text in write_typescript(read_contract(contract), command).items():
                if files.setdefault(name, text) != text:
                    raise CodegenError(
                        f"{source}: another source has a contract {contract.name!r} too; rename one"
                    )
    return files


def check(sources: Sequence[str], directory: Path) -> dict[str, str]:
    """Compare what is on disk with what would be generated.

    Args:
        sources: as for `generate`.
        directory: where the generated files are.

    Returns:
        A unified diff for each stale, missing or left-over file, by its name; empty where all is well.

    Raises:
        CodegenError: as for `generate`.
    """
    fresh = generate(sources)
    stale: dict[str, str] = {}
    for name in sorted({*fresh, *_generated_in(directory, sources)}):
        path = directory / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = fresh.get(name, "")
        if old != new:
            lines = difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                f"{name} (on disk)",
                f"{name} (generated)",
            )
            stale[name] = "".join(lines)
    return stale


def write(sources: Sequence[str], directory: Path) -> list[str]:
    """Bring the generated files of a directory up to date, and leave the others alone.

    Args:
        sources: as for `generate`.
        directory: made where it is missing.

    Returns:
        The names of the files that were written or, where nothing generates them any more, removed.

    Raises:
        CodegenError: as for `generate`; then nothing was written.
    """
    fresh = generate(sources)
    directory.mkdir(parents=True, exist_ok=True)
    changed = []
    for name in sorted({*fresh, *_generated_in(directory, sources)}):
        path = directory / name
        if name not in fresh:
            path.unlink()
        elif not path.exists() or path.read_text(encoding="utf-8") != fresh[name]:
            path.write_text(fresh[name], encoding="utf-8", newline="\n")
        else:
            continue
        changed.append(name)
    return changed


def _command(sources: Sequence[str]) -> str:
    return f"ionbus codegen {' '.join(sources)} --typescript DIR"


def _generated_in(directory: Path, sources: Sequence[str]) -> list[str]:
    """The files in a directory that an earlier run of the same command made."""
    if not directory.is_dir():
        return []
    first_line = notice(_command(sources))
    return [
        path.name
        for path in directory.glob("*.ts")
        if path.read_text(encoding="utf-8").startswith(first_line)
    ]
