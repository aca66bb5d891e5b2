"""A broker as a child process, seen from its parent (docs/protocol.md, section 2.2)."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ionbus.channels.base import Opened, Receiver
from ionbus.channels.child_process import ChildProcess
from ionbus.errors import ConnectionLost

GRACE: Final = 5.0
"""Seconds that a broker has to end after its standard input was closed."""


class Child:
    """Starts a broker and opens channels to it; one that died is started again at the next attempt.

    Closing its standard input is what tells a broker to end, so it also ends when this process dies, however that happens.

    Args:
        command: program and arguments.
        cwd: where it runs; None: here.
        env: its whole environment; None: ours. `IONBUS_LAUNCH` and `IONBUS_TOKEN` are added.
        grace: seconds between the end of its input and `terminate`.
        on_stderr: gets each line of its standard error; None writes them to ours.
        role: what OPEN says of us.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        grace: float = GRACE,
        on_stderr: Callable[[str], object] | None = None,
        role: str = "client",
    ) -> None:
        if isinstance(command, str) or not command:
            raise ValueError(
                "command is a list: the program, then its arguments, as ['python', '-m', 'myapp']"
            )
        self._command = [os.fspath(part) for part in command]
        self._cwd = cwd
        self._env = env
        self._grace = grace
        self._on_stderr = on_stderr or _print_to_stderr
        self._role = role
        self._process: ChildProcess | None = None
        self._lock = asyncio.Lock()
        self._is_stopped = False

    @property
    def pid(self) -> int | None:
        """The process id of the newest process; None before the first."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the newest process, negative for a signal; None while it runs."""
        return self._process.exit_code if self._process else None

    @property
    def stderr_lines(self) -> list[str]:
        """The last lines that the newest process wrote to its standard error, at most 50."""
        return list(self._process.stderr_lines) if self._process else []

    async def open(self, receiver: Receiver) -> Opened:
        """Open a channel, starting the program where it does not run. This is an opener (channels/base.py).

        Raises:
            ConnectionLost: the program cannot be started, or `stop` was called.
        """
        async with self._lock:
            if self._process is not None and self._process.is_over:
                await self._process.finished()
            if self._is_stopped:
                raise ConnectionLost(f"{self._command[0]} was stopped")
            if self._process is None or self._process.is_over:
                self._process = await self._start()
            return Opened(self._process.open(receiver, self._role), self._process.token)

    async def stop(self) -> None:
        """End the program: close its input, wait `grace`, terminate it, kill it. Cancelled, it kills at once."""
        self._is_stopped = True
        if self._process is not None:
            await self._process.stop()

    async def __aenter__(self) -> Self:
        """Nothing is started before the first `open`."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _start(self) -> ChildProcess:
        token = secrets.token_urlsafe(32)
        env = {
            **(os.environ if self._env is None else self._env),
            "IONBUS_LAUNCH": "stdio",
            "IONBUS_TOKEN": token,
        }
        process = ChildProcess(self._command, token, self._grace, self._on_stderr)
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: process, *self._command, cwd=self._cwd, env=env
            )  # stdin, stdout and stderr are pipes by default
        except OSError as error:
            raise ConnectionLost(self._explain(error)) from error
        return process

    def _explain(self, error: OSError) -> str:
        program = self._command[0]
        if self._cwd is not None and not Path(self._cwd).is_dir():
            return f"cannot start {program}: the directory {os.fspath(self._cwd)} does not exist; check `cwd`"
        if isinstance(error, FileNotFoundError):
            return f"cannot start {program}: there is no such program; check its name, its path and PATH"
        if isinstance(error, PermissionError):
            return f"cannot start {program}: it is not executable ({error.strerror})"
        return f"cannot start {program}: {error}"


def _print_to_stderr(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")
