"""Ends the process where nothing else can: its parent is gone, or a handler will not end (docs/protocol.md, section 2.2)."""

from __future__ import annotations

import logging
import os
import select
import sys
import threading

log = logging.getLogger("ionbus")


class HardExit:
    """Once started, ends the process after `grace` seconds, whatever the event loop and the handlers do.

    Args:
        grace: seconds.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, reason: str) -> None:
        """Begin to count; a second time changes nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._count, args=(reason,), name="ionbus-exit", daemon=True
                )
                self._thread.start()

    def cancel(self) -> None:
        """Everything has ended by itself."""
        self._cancelled.set()

    def _count(self, reason: str) -> None:
        if not self._cancelled.wait(self._grace):
            log.error("%s, and something still ran %g s later: the process is ended", reason, self._grace)
            logging.shutdown()
            os._exit(1)


def watch_input(descriptor: int, hard_exit: HardExit) -> None:
    """Start `hard_exit` when the other end of the pipe is gone, noticed on a thread: the loop may be blocked.

    Where the system cannot tell (Windows), the event loop's own reader is all there is.
    """
    if sys.platform == "win32" or not hasattr(select, "poll"):
        return

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, getattr(select, "POLLRDHUP", 0))
        gone = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)
        while not any(event & gone for _, event in poll.poll()):
            pass
        hard_exit.start("the parent is gone")

    threading.Thread(target=watch, name="ionbus-lifeline", daemon=True).start()
