"""Ends the process where nothing else can: its parent is gone, or a handler will not end (docs/supervision.md).

Threads do it, since the event loop may be blocked. While C code holds the interpreter's lock nothing in the process can act,
and it ends when that code returns.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("ionbus")

LIFELINE = "IONBUS_LIFELINE"
"""In the environment: a descriptor to read from, whose other end the parent holds for as long as it lives."""

ORPHAN_GRACE = 1.0
"""Seconds that everything has to end once the parent is gone."""

LAST_WORDS = 0.2
"""Seconds that the log has to take why the process is ended: whoever reads it may be gone, or read no more."""


class HardExit:
    """Once started, ends the process when its time is over, whatever the event loop and the handlers do."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ends = 0.0
        self._reason = ""

    def start(self, reason: str, seconds: float) -> None:
        """Begin to count. Started again, the nearer end counts."""
        with self._changed:
            ends = time.monotonic() + seconds
            if self._thread is None:
                self._ends, self._reason = ends, reason
                self._thread = threading.Thread(target=self._count, name="ionbus-exit", daemon=True)
                self._thread.start()
            elif ends < self._ends:
                self._ends, self._reason = ends, reason
                self._changed.notify_all()

    def cancel(self) -> None:
        """Everything has ended by itself."""
        with self._changed:
            self._ends = float("inf")
            self._changed.notify_all()

    def _count(self) -> None:
        with self._changed:
            while (left := self._ends - time.monotonic()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            reason = self._reason
        end_now(f"{reason}, and something still ran: the process is ended")


def end_now(reason: str) -> None:
    """End the process, and those of its handlers with it."""
    last_words = threading.Thread(target=_say, args=(reason,), daemon=True)
    last_words.start()
    last_words.join(LAST_WORDS)
    end_children()
    os._exit(1)


def end_children() -> None:
    """Ask the processes to end that a hanging handler has started: those of this one's own session, and no grandchildren.

    A child that was detached (`start_new_session=True`) is meant to live on. Elsewhere than on Linux only multiprocessing tells
    which children there are.
    """
    for pid in _children():
        with contextlib.suppress(OSError):  # it has just ended
            if os.getsid(pid) == os.getsid(0):
                os.kill(pid, signal.SIGTERM)
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None:
        for child in multiprocessing.active_children():
            child.terminate()


def when_input_ends(input_fd: int, ended: Callable[[], object]) -> None:
    """Call `ended`, on a thread, when nobody will write to `input_fd` any more: the parent has closed it, or is gone."""
    _when_closed(input_fd, getattr(select, "POLLRDHUP", 0), ended)


def end_with_launcher(output_fd: int = 1) -> None:
    """End this process soon after the one that launched it and reads `output_fd`; once is enough.

    `import ionbus` comes here first where it was launched: what is imported after it may take long.
    """
    if not _launched:
        _launched.append(output_fd)
        with contextlib.suppress(OSError):  # it has none
            end_with_reader(output_fd)


_launched: list[int] = []


def end_with_reader(output_fd: int, seconds: float = ORPHAN_GRACE) -> None:
    """End this process `seconds` after the one that reads `output_fd` has gone.

    A parent that only wants the broker to end closes the broker's input and goes on reading: that is not this.
    """
    _when_closed(output_fd, 0, lambda: HardExit().start("the parent is gone", seconds))


def end_with_lifeline() -> None:
    """End this process soon after its parent where that has given it a lifeline."""
    text = os.environ.pop(LIFELINE, None)
    if text is not None:
        descriptor = int(text)
        when_input_ends(descriptor, lambda: HardExit().start("the parent is gone", ORPHAN_GRACE))
        os.close(descriptor)  # what is watched is a copy, which no child process inherits


def _when_closed(descriptor: int, events: int, closed: Callable[[], object]) -> None:
    """Call `closed`, once and on a thread, when the other end of a pipe is closed.

    Where the system cannot tell (Windows), the event loop's own reader is all there is. The descriptor is duplicated, so that
    its owner may close it, and its number be used again, meanwhile.
    """
    if sys.platform == "win32" or not hasattr(select, "poll"):
        return
    own = os.dup(descriptor)

    def wait() -> None:
        poll = select.poll()
        poll.register(own, events)
        ends = select.POLLHUP | select.POLLERR | select.POLLNVAL | events
        while not any(event & ends for _, event in poll.poll()):
            pass
        os.close(own)
        closed()

    threading.Thread(target=wait, name="ionbus-lifeline", daemon=True).start()


def _children() -> list[int]:
    """The processes that this one has started; none where the system does not tell."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has just ended
            found += map(int, path.read_text().split())
    return found


def _say(reason: str) -> None:
    log.error("%s", reason)
    logging.shutdown()
