"""Runs the generator again whenever a source changes, in one process, so that an answer takes milliseconds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ionbus.codegen.model import CodegenError
from ionbus.codegen.source import is_file

if TYPE_CHECKING:
    from threading import Event

__all__ = ["watch"]

DEBOUNCE_MS = 50
"""How long several changes in a row are waited for, as an editor makes when it saves."""
_INSTALLED = frozenset({"site-packages", "dist-packages", "node_modules"})


def watch(sources: Sequence[str], run: Callable[[], None], stop: Event | None = None) -> None:
    """Call `run` now, and again after each change of a source; until Ctrl-C.

    Modules are watched with all Python files of the current directory, and imported anew each time.

    Args:
        sources: as for `plan`.
        run: what to do; it tells of its own failures.
        stop: ends the watching where it is set.

    Raises:
        CodegenError: watchfiles is missing.
    """
    try:
        import watchfiles  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CodegenError("--watch needs watchfiles: pip install 'ionbus[codegen]'") from error
    files = {str(Path(source).resolve()) for source in sources if is_file(source)}
    has_modules = any(not is_file(source) for source in sources)
    places = {Path(file).parent for file in files} | ({Path.cwd()} if has_modules else set())

    class Wanted(watchfiles.DefaultFilter):
        def __call__(self, change: watchfiles.Change, path: str) -> bool:
            is_wanted = path in files or (has_modules and path.endswith(".py"))
            return is_wanted and super().__call__(change, path)

    changes = watchfiles.watch(
        *places,
        watch_filter=Wanted(),
        debounce=DEBOUNCE_MS,
        step=10,
        stop_event=stop,
        recursive=has_modules,
        yield_on_timeout=True,
        rust_timeout=1,
    )
    next(
        changes, None
    )  # the watching has begun: what is saved while the first run is under way is not missed
    with _modules_imported_anew() as forget:
        run()
        for found in changes:
            if found:
                forget()
                run()


@contextmanager
def _modules_imported_anew() -> Iterator[Callable[[], None]]:
    """Give a function that forgets the user's modules that were imported since."""
    before = set(sys.modules)
    writes_no_bytecode = sys.dont_write_bytecode
    # Bytecode is told apart by whole seconds: of two saves within one, the second would not be seen.
    sys.dont_write_bytecode = True

    def forget() -> None:
        here = Path.cwd()
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(here) and not _INSTALLED & set(Path(file).parts):
                del sys.modules[name]
        importlib.invalidate_caches()

    try:
        yield forget
    finally:
        sys.dont_write_bytecode = writes_no_bytecode
