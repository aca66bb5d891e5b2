"""Where a listener was added: captured for each in under a microsecond, written out only when somebody asks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from types import CodeType, FrameType
from typing import Final, NamedTuple

_OURS: Final = __name__.partition(".")[0]
_MOST_SHOWN: Final = 5


class CallSite(NamedTuple):
    """A line of the application's."""

    code: CodeType
    line: int

    def __str__(self) -> str:
        return f"{self.code.co_filename}:{self.line} in {self.code.co_name}"


def call_site() -> CallSite | None:
    """The innermost line on the stack that is not ionbus's own."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.currentframe() is the same, with a call more
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] != _OURS:
            return CallSite(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return None


def counted(sites: Iterable[CallSite | None]) -> str:
    """Say where from, the most frequent first: `3 at app.py:7 in mount, 1 at app.py:9 in show`."""
    counts = Counter(site for site in sites if site is not None).most_common()
    shown = [f"{count} at {site}" for site, count in counts[:_MOST_SHOWN]]
    if len(counts) > _MOST_SHOWN:
        shown.append(f"and {len(counts) - _MOST_SHOWN} other places")
    return ", ".join(shown) or "nobody knows where"
