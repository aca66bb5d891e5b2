"""An Electron application at work: `with Window("uvloop") as window`."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.answers import read_answer
from benchmarks.systems import SYSTEMS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Window:
    """Electron with one window, the servers that it has started, and what the window can call, all in this one run.

    IONBUS_ELECTRON names the executable.

    Raises:
        RunFailed: it does not start.
    """

    def __init__(self, loop: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ionbus-bench-")
        build(Path(self._folder.name))
        ionbus = SYSTEMS["ionbus-stdio"]
        told = {
            "fingerprint": ionbus.options()["fingerprint"],
            "ionbus": ionbus.command(loop),
            "rawStdio": SYSTEMS["raw-stdio"].command(loop),
            "rawWebsocket": SYSTEMS["raw-websocket"].command(loop),
        }
        paths = [str(ROOT), str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {"PYTHONPATH": os.pathsep.join(paths), "BENCH_WINDOW": json.dumps(told)}
        self._process = subprocess.Popen(
            [os.environ.get("IONBUS_ELECTRON", "electron"), *switches(), self._folder.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._answer()

    @property
    def pid(self) -> int:
        """Electron's main process."""
        return self._process.pid

    def run(self, system: str, workload: str, **job: Any) -> dict[str, float]:
        """Let the window do one round; give its figures.

        Raises:
            RunFailed: it could not be done, or took longer than `LONGEST_RUN`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"system": system, "workload": workload, **job}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        return read_answer(self._process, "the window", self._process.kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
        self._folder.cleanup()


def build(target: Path) -> None:
    """Bundle the application into `target`."""
    common = [
        str(ROOT / "node_modules" / ".bin" / "esbuild"),
        "--bundle",
        "--log-level=error",
        f"--outdir={target}",
    ]
    outside = ["--platform=node", "--format=cjs", "--external:electron", "--out-extension:.js=.cjs"]
    of_main = [*outside, "--conditions=require", "--log-override:empty-import-meta=silent"]
    for source, options in (("main", of_main), ("preload", outside), ("page", ["--format=iife"])):
        subprocess.run([*common, *options, str(HERE / f"{source}.mjs")], check=True)
    shutil.copy(HERE / "index.html", target)
    (target / "package.json").write_text('{ "name": "ionbus-bench", "main": "main.cjs" }\n', "utf-8")


def switches() -> list[str]:
    """What Electron needs where it runs as root, and without a graphics card."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return ["--disable-gpu", *(["--no-sandbox"] if is_root else [])]
