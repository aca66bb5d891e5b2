"""Which processes a test has started: found by a mark in their environment, which children inherit. Linux only."""

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
class Found:
    """A process that runs."""

    pid: int
    command: str


class Mark:
    """A mark, the environment that carries it, and whoever has it."""

    def __init__(self) -> None:
        self.text = secrets.token_hex(8)

    def env(self, **more: str) -> dict[str, str]:
        """This process's environment with the mark in it."""
        return {**os.environ, MARK: self.text, **more}

    def found(self) -> list[Found]:
        """The processes with the mark; those that are dead and not yet collected left out."""
        wanted = f"{MARK}={self.text}".encode()
        found: list[Found] = []
        for name in os.listdir("/proc"):  # noqa: PTH208 - a thousand paths are slow
            if not name.isdigit():
                continue
            folder = Path("/proc", name)
            with suppress(OSError):  # gone meanwhile
                if wanted not in (folder / "environ").read_bytes():
                    continue
                (folder / "exe").readlink()  # a dead one has none
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(Found(int(name), command.strip()))
        return found

    def gone_within(self, seconds: float) -> list[Found]:
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
