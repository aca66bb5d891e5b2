"""Measures how late an event loop is, and sees what holds it up.

A timer of the loop beats `BEATS` times a second, and how late each beat comes is the loop's lag. A thread beside the loop looks as often
whether a beat is overdue; then the loop is stuck in one callback, and where that is shows in the stack of the loop's thread.
"""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
from collections import Counter, deque
from pathlib import Path
from types import FrameType
from typing import Final

from ionbus.observe.health import Block
from ionbus.observe.histogram import Histogram

BEATS: Final = 20
"""A second."""

BLOCKED: Final = 0.1
"""Seconds by which a beat is late when the loop counts as blocked."""

KEPT: Final = 20
"""How many blocks are remembered."""

UNSEEN: Final = "something that let no other thread run"
"""What held the loop, where no look at its stack was possible."""


class LoopWatch:
    """See the module. Made in the loop's thread; it beats from then on, until `stop`.

    Args:
        loop: which one.
        lag: counts how late each beat is, in nanoseconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, lag: Histogram) -> None:
        self._loop = loop
        self._lag = lag
        self._thread_id = threading.get_ident()
        self._seen: list[str] = []  # by the thread, since the last beat
        self._stopping = threading.Event()
        self.blocks: deque[Block] = deque(maxlen=KEPT)
        """The newest, last."""
        self.blocked = 0
        """Nanoseconds of all of them."""
        self._due = loop.time() + 1 / BEATS
        self._timer = loop.call_at(self._due, self._beat)
        thread = threading.Thread(target=self._watch, name="ionbus-loop-watch", daemon=True)
        thread.start()
        self._thread = thread

    @property
    def current(self) -> Block | None:
        """The block that goes on now, for whoever asks from another thread; None: the loop runs."""
        now = self._loop.time()
        late, seen = now - self._due, self._seen
        return Block(now, late, _most_seen(seen)) if late >= BLOCKED and seen else None

    def stop(self) -> None:
        """No more beats."""
        self._timer.cancel()
        self._stopping.set()
        self._thread.join()

    def _beat(self) -> None:
        now = self._loop.time()
        late = now - self._due
        self._lag.add(int(late * 1e9))
        seen, self._seen = self._seen, []
        if late >= BLOCKED:
            self.blocks.append(Block(now, late, _most_seen(seen)))
            self.blocked += int(late * 1e9)
        self._due = now + 1 / BEATS
        self._timer = self._loop.call_at(self._due, self._beat)

    def _watch(self) -> None:
        while not self._stopping.wait(1 / BEATS):
            seen = self._seen  # taken first: what is added after a beat is not for the next block
            if self._loop.time() - self._due >= BLOCKED:
                frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - CPython documents it, for this
                if frame is not None:
                    seen.append(place_of(frame))


def place_of(frame: FrameType) -> str:
    """The innermost function of the application in a stack, up to the event loop; else the innermost of all.

    As in `crunch() at flows/numbers.py:41`.
    """
    at: FrameType | None = frame
    while at is not None:
        path = at.f_code.co_filename
        if path.startswith(_LOOP) and at.f_code.co_name in _RUNS:
            break
        if not path.startswith(_NOT_THE_APPLICATION):
            return _told(at)
        at = at.f_back
    return _told(frame)


def _told(frame: FrameType) -> str:
    code = frame.f_code
    short = "/".join(Path(code.co_filename).parts[-2:])
    return f"{code.co_qualname.replace('.<locals>', '')}() at {short}:{frame.f_lineno}"


def _most_seen(places: list[str]) -> str:
    return Counter(places).most_common(1)[0][0] if places else UNSEEN


_LOOP: Final = (f"{Path(asyncio.__file__).parent}{os.sep}",)
_RUNS: Final = frozenset({"_run", "_run_once", "run", "run_forever", "run_until_complete"})
"""What of asyncio calls callbacks: where the loop's own frames begin. Those of uvloop are not seen, and asyncio's runner is below
them. What an application calls of asyncio, as `loop.time()`, is above its own frames instead."""

_NOT_THE_APPLICATION: Final = (
    "<frozen ",
    f"{Path(__file__).parents[1]}{os.sep}",
    *(f"{sysconfig.get_paths()[name]}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
