"""Which processes a test has started: found by a mark in their environment, which children inherit, or by who their parent is.

Linux only.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "IONBUS_TEST_MARK"


@dataclass(frozen=True)
class Process:
    """A process that runs, or did: `born` tells it from another that got its id later."""

    pid: int
    born: str
    command: str

    def is_alive(self) -> bool:
        """Whether it still runs; one that is dead and not yet collected does not."""
        state = _stat(self.pid)
        return state is not None and state[0] != "Z" and state[19] == self.born

    def __str__(self) -> str:
        return f"{self.pid} {self.command}"


class Mark:
    """A mark, the environment that carries it, and whoever has it."""

    def __init__(self) -> None:
        self.text = secrets.token_hex(8)
        self.variable = {MARK: self.text}

    def env(self, **more: str) -> dict[str, str]:
        """This process's environment with the mark in it."""
        return {**os.environ, **self.variable, **more}

    def found(self) -> list[Process]:
        """The processes with the mark; those that are dead and not yet collected left out."""
        wanted = f"{MARK}={self.text}".encode()
        found: list[Process] = []
        for pid in _pids():
            with suppress(OSError):  # gone meanwhile
                if wanted in Path(f"/proc/{pid}/environ").read_bytes():
                    process = _process(pid)
                    if process is not None and process.is_alive():
                        found.append(process)
        return found

    def gone_within(self, seconds: float) -> list[Process]:
        """Wait until nobody has the mark; whoever still does when the time is over."""
        end = time.monotonic() + seconds
        while (left := self.found()) and time.monotonic() < end:
            time.sleep(0.02)
        return left

    def kill(self) -> None:
        """Leave nobody behind."""
        for process in self.found():
            with suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)


def descendants(pid: int) -> list[Process]:
    """A process's children, and theirs. Chromium's helpers write over their environment, where a mark was."""
    children: dict[int, list[int]] = {}
    for each in _pids():
        state = _stat(each)
        if state is not None:
            children.setdefault(int(state[1]), []).append(each)
    found: list[Process] = []
    waiting = children.get(pid, [])[:]
    while waiting:
        each = waiting.pop()
        waiting += children.get(each, [])
        process = _process(each)
        if process is not None:
            found.append(process)
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - a thousand paths are slow


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: 0 is the state, 1 the parent, 19 when it was started."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _process(pid: int) -> Process | None:
    state = _stat(pid)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return None if state is None else Process(pid, state[19], command.strip())
