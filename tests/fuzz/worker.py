"""Runs one target in a process of its own: `python -m fuzz.worker TARGET SEED INPUTS BOARD`. Its report goes to standard output, as JSON.

With `--guided` the inputs are made by atheris, by what they reach in ionbus's code; it ends the process itself, so that its report
is what is on the board, and a finding in the file beside it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from fuzz import registry
from fuzz.board import Board
from fuzz.driver import Finding, drive, judge


def plain(finding: Finding) -> dict[str, Any]:
    """A finding as JSON."""
    return {"kind": finding.kind, "text": finding.text, "hex": finding.data.hex()}


def end_with_parent() -> None:
    """End this process soon after the one that started it has gone: nobody would read its report."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(name: str, seed: int, inputs: int, board: Board) -> None:
    """Run a target with inputs of our own."""
    target = registry.load(name)
    try:
        report = drive(target, seed, inputs, board.put)
    finally:
        target.close()
    json.dump({**report.plain(), "found": [plain(finding) for finding in report.findings]}, sys.stdout)


def guided(name: str, seed: int, inputs: int, board: Board, found: Path) -> NoReturn:
    """Run a target with inputs of atheris's."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]  # installed by `make fuzz` alone

    with atheris.instrument_imports(include=["ionbus"]):
        target = registry.load(name)
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        board.put(data)
        outcome, finding = judge(target, data)
        count += outcome.inputs
        if finding is not None:
            found.write_text(json.dumps(plain(finding)))
            raise AssertionError(finding.text)

    with tempfile.TemporaryDirectory(prefix="ionbus-fuzz-") as folder:
        for index, data in enumerate(target.seeds):
            (Path(folder) / str(index)).write_bytes(data)
        options = [
            f"-runs={inputs}",
            f"-seed={seed}",
            f"-max_len={target.longest}",
            "-timeout=20",
            "-rss_limit_mb=2048",
        ]
        atheris.Setup([sys.argv[0], folder, *options, f"-artifact_prefix={folder}/", "-verbosity=0"], one)
        atheris.Fuzz()
        sys.exit(0)


if __name__ == "__main__":
    _, mode, *rest = sys.argv
    end_with_parent()
    if mode == "--guided":
        guided(rest[0], int(rest[1]), int(rest[2]), Board(Path(rest[3])), Path(rest[4]))
    main(mode, int(rest[0]), int(rest[1]), Board(Path(rest[2])))
