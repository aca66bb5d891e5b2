"""A system at work: its client's process, which has started its server's."""

import json
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.answers import read_answer
from benchmarks.systems import System

ROOT = Path(__file__).parents[1]
DRIVER = ROOT / "benchmarks" / "client" / "driver.mjs"


class Driver:
    """Both processes of one system, to be told what to do: `with Driver(system, "uvloop") as driver`.

    They are started at once; entering the block waits for them.

    Raises:
        RunFailed: they do not start.
    """

    def __init__(self, system: System, loop: str, node_options: tuple[str, ...] = ()) -> None:
        self._system = system
        told = {"client": str(system.client), "command": system.command(loop), "options": system.options()}
        paths = [str(ROOT), str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            ["node", *node_options, str(DRIVER), json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        self.server_pid = 0
        """Known when the block is entered."""

    def run(self, workload: str, **job: Any) -> dict[str, float]:
        """Do one round; give its figures.

        Raises:
            RunFailed: it could not be done, or took longer than `LONGEST_RUN`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"workload": workload, **job}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        return read_answer(self._process, self._system.name, self._kill)

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        self.server_pid = self._answer()["pid"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._process.stdout.close()
