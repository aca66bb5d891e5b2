"""Tells when source files have changed, by looking at them again and again: that works on every file system, and is for development."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

INTERVAL: Final = 0.3
"""Seconds between two looks; more where a look takes long."""

SHARE: Final = 20
"""A look may take one part of this many of the time."""

MAX_SHOWN: Final = 3
SKIPPED: Final = frozenset({"node_modules", "__pycache__", "site-packages"})

Look = dict[str, tuple[int, int]]
"""What tells one state of a file from another, by its path."""


def check_paths(paths: Iterable[str | os.PathLike[str]], cwd: str | os.PathLike[str] | None) -> list[Path]:
    """The paths to watch, from `cwd` on.

    Raises:
        ValueError: one is not there.
    """
    checked = [Path(cwd or ".", each) for each in paths]
    for path in checked:
        if not path.exists():
            raise ValueError(f"watch: {path} is not there")
    return checked


async def changes(paths: Iterable[Path]) -> AsyncIterator[str]:
    """The names of files that have changed, each time when they have stopped changing.

    Args:
        paths: files, and folders: of those the Python files in them and in what is below them, folders whose names begin with
            a dot left out.
    """
    known, _ = await asyncio.to_thread(look_at, paths)
    wait = INTERVAL
    while True:
        await asyncio.sleep(wait)
        seen, took = await asyncio.to_thread(look_at, paths)
        wait = max(INTERVAL, took * SHARE)
        if seen == known:
            continue
        settled: Look | None = None
        while settled != seen:  # who saves many files, saves them one after the other
            settled = seen
            await asyncio.sleep(wait)
            seen, _ = await asyncio.to_thread(look_at, paths)
        names = sorted({Path(path).name for path in {*known, *seen} if known.get(path) != seen.get(path)})
        known = seen
        if names:
            more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
            yield ", ".join(names[:MAX_SHOWN]) + more


def look_at(paths: Iterable[Path]) -> tuple[Look, float]:
    """How the files are now, and how many seconds it took to see."""
    start = time.monotonic()
    found: Look = {}
    for path in paths:
        for file in _files(path):
            with suppress(OSError):  # gone meanwhile
                state = file.stat()
                found[str(file)] = (state.st_mtime_ns, state.st_size)
    return found, time.monotonic() - start


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        for name in names:
            if name.endswith(".py"):
                yield Path(folder, name)
